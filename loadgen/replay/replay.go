package replay

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/wattline/wattline/internal/murmur2"
	"github.com/wattline/wattline/rating"
)

const (
	minuteMs = 60_000
	hourMs   = 3_600_000

	chargingEveryMs = 5 * minuteMs
	parkedEveryMs   = 15 * minuteMs
)

// PowerW is what a station of the garage delivers by its plate: 32 A at 208 V.
const PowerW = 6_656

// End says when a session stops.
type End uint8

// The ends. The file has two departures: the one that happened, and the one that the driver announced on arrival.
const (
	EndDeparture End = iota
	EndAnnounced     // or the real one, if it was earlier: who goes by announcements makes impossible sessions
)

// Replay is sessions at three garages, each with a tariff of its own.
type Replay struct {
	sessions []Session
	stays    []stay
	stations int
	events   []event
}

// stay is what is made up of a session.
type stay struct {
	baseMwh int64 // register at arrival
	fullMs  int64 // when the car has its energy
	leaveMs int64
}

// event is reading index of a session at a garage.
type event struct {
	atMs    int64
	session int32
	index   int32
	garage  uint8
}

// New lays out the readings of sessions, which are in order of arrival.
//
// A car takes what the station delivers by its plate until it has its energy, or, where that would be too late, just
// so much that it has it when it stops. A reading comes every five minutes while it charges, every 15 after that.
func New(sessions []Session, end End) *Replay {
	r := &Replay{sessions: sessions}
	var registers []int64
	for i := range sessions {
		s := &sessions[i]
		for len(registers) <= s.Station {
			registers = append(registers, int64(len(registers)+1)*1_000_000_000)
		}
		t := stay{baseMwh: registers[s.Station], leaveMs: s.LeaveMs}
		if end == EndAnnounced {
			t.leaveMs = min(t.leaveMs, s.AnnouncedMs)
		}
		t.fullMs = min(t.leaveMs, s.ArriveMs+max(1, (s.EnergyMwh*3600+PowerW-1)/PowerW))
		registers[s.Station] += s.EnergyMwh
		r.stays = append(r.stays, t)
		for g := range Garages {
			for index := range r.count(i) {
				r.events = append(r.events, event{r.timeOf(i, index), int32(i), int32(index), uint8(g)})
			}
		}
	}
	r.stations = len(registers)
	slices.SortFunc(r.events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.atMs, b.atMs), cmp.Compare(a.garage, b.garage), cmp.Compare(a.session, b.session), cmp.Compare(a.index, b.index))
	})
	return r
}

// Sessions is how many sessions there are: those of the file, times three.
func (r *Replay) Sessions() int { return len(r.sessions) * Garages }

// Readings is how many messages there are.
func (r *Replay) Readings() int { return len(r.events) }

// charging is how many readings session i has before it is full.
func (r *Replay) charging(i int) int {
	return int((r.stays[i].fullMs - r.sessions[i].ArriveMs + chargingEveryMs - 1) / chargingEveryMs)
}

// count is how many readings session i has, start and stop included.
func (r *Replay) count(i int) int {
	return r.charging(i) + int((r.stays[i].leaveMs-r.stays[i].fullMs+parkedEveryMs-1)/parkedEveryMs) + 1
}

// timeOf is when reading index of session i is measured.
func (r *Replay) timeOf(i, index int) int64 {
	n := r.charging(i)
	switch {
	case index == r.count(i)-1:
		return r.stays[i].leaveMs
	case index < n:
		return r.sessions[i].ArriveMs + int64(index)*chargingEveryMs
	}
	return r.stays[i].fullMs + int64(index-n)*parkedEveryMs
}

// point is reading index of session i as the pricer takes it. The stop has the state before it.
func (r *Replay) point(i, index int) rating.Point {
	s, t := &r.sessions[i], &r.stays[i]
	p := rating.Point{
		AtMs: r.timeOf(i, index), RegisterMwh: t.baseMwh + s.EnergyMwh, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
		State: rating.StateSuspendedEV,
	}
	if p.AtMs < t.fullMs {
		p.State = rating.StateCharging
		p.RegisterMwh = t.baseMwh + s.EnergyMwh*(p.AtMs-s.ArriveMs)/(t.fullMs-s.ArriveMs)
	}
	if index == r.count(i)-1 && index == r.charging(i) {
		p.State = rating.StateCharging
	}
	return p
}

// reading makes the message of an event, but for the charge point.
func (r *Replay) reading(dst *rating.Reading, e *event) {
	i := int(e.session)
	p := r.point(i, int(e.index))
	*dst = rating.Reading{
		AtMs: p.AtMs, RegisterMwh: p.RegisterMwh, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
		Seq: int64(e.index), Connector: 1, State: p.State, Transaction: fmt.Append(dst.Transaction[:0], r.sessions[i].Number),
	}
	switch int(e.index) {
	case 0:
		dst.Kind = rating.KindStart
	case r.count(i) - 1:
		dst.Kind, dst.State = rating.KindStop, rating.StateUnchanged
	}
}

// ChargePoint is what a station of a garage calls itself.
func ChargePoint(garage, station int) string {
	return fmt.Sprintf("%s-S%02d", garageID(garage), station+1)
}

// Impossible says whether session i of the file takes more than its station can deliver by the rule of flag
// "impossible": a quarter more than the plate says, and one kWh.
func (r *Replay) Impossible(i int) bool {
	return r.sessions[i].EnergyMwh > PowerW*(r.stays[i].leaveMs-r.sessions[i].ArriveMs)/3600*5/4+1_000_000
}

// ImpossibleNumbers are the lines of the file whose sessions are impossible, in order.
func (r *Replay) ImpossibleNumbers() []int {
	list := []int{}
	for i := range r.sessions {
		if r.Impossible(i) {
			list = append(list, r.sessions[i].Number)
		}
	}
	return list
}

// partitions are those of all charge points.
func (r *Replay) partitions(count int32) (keys [Garages][][]byte, of [Garages][]int32) {
	for g := range Garages {
		for s := range r.stations {
			key := []byte(ChargePoint(g, s))
			keys[g], of[g] = append(keys[g], key), append(of[g], murmur2.Partition(key, count))
		}
	}
	return keys, of
}
