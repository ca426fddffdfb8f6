package loadgen

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/oracle"
)

// Session is one session of the network.
type Session struct {
	ChargePoint string
	Connector   int32
	Transaction string
	SiteID      string
	Tariff      *rating.Tariff // belongs to the network
	Zone        string         // IANA name
	StartMs     int64          // of its first reading
	EndMs       int64          // of its stop
	Expired     bool           // a reservation that nobody used

	n         *Network
	connector int32
	plan      plan
}

// Finished says that the stop is among the readings measured before untilMs.
func (s *Session) Finished(untilMs int64) bool { return s.EndMs < untilMs }

// Sessions yields every session that has a reading measured before untilMs, connector by connector, in order of
// time on each. The Session is valid until the next one is yielded; copy it to keep it.
//
// untilMs is what Run or Stream stopped at: a multiple of TickMs. Beyond Config.EndMs it is all there ever is.
func (n *Network) Sessions(untilMs int64) iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		var s Session
		for i := range n.connectors {
			connector := int32(i)
			ok := n.firstPlan(&s.plan, connector)
			for ; ok && s.plan.startMs < untilMs; ok = n.followingPlan(&s.plan, connector) {
				n.describe(&s, connector)
				if !yield(&s) {
					return
				}
			}
		}
	}
}

// describe fills in what is known of the session of s.plan.
func (n *Network) describe(s *Session, connector int32) {
	con := &n.connectors[connector]
	st := &n.stations[con.station]
	var tx [24]byte
	p := s.plan
	*s = Session{
		ChargePoint: string(n.id(st)), Connector: int32(con.number),
		Transaction: string(appendTransaction(tx[:0], connector, p.number)),
		SiteID:      n.siteID(int(st.site)), Tariff: n.tariffs[n.tariffOf(connector, n.driverOf(connector, p.number))], Zone: n.sites[st.site].zone.Name(),
		StartMs: p.startMs, EndMs: p.endMs, Expired: p.expired,
		n: n, connector: connector, plan: p,
	}
}

// Points appends the readings measured before untilMs, in order of measurement and without duplicates, as the
// pricer takes them. The stop of a session has the state before it; all points of a reservation that was not used
// before untilMs are expired, which is how the oracle takes one.
func (s *Session) Points(dst []rating.Point, untilMs int64) []rating.Point {
	n := s.n
	st := &n.stations[n.connectors[s.connector].station]
	var c cursor
	c.begin(n, &s.plan)
	from := len(dst)
	var r rating.Reading
	for more := true; more && c.nextMs < untilMs; more = c.advance(n, &s.plan) {
		if n.late(&c, s.connector, c.j) && c.nextMs+int64(c.everyMs) >= untilMs {
			continue // it is sent with the reading after it
		}
		n.read(&r, &c, st, c.j)
		state := r.State
		if r.Kind == rating.KindStop {
			state = dst[len(dst)-1].State
		}
		dst = append(dst, rating.Point{
			AtMs: r.AtMs, RegisterMwh: r.RegisterMwh, PowerMicroW: r.PowerMicroW, CurrentNanoA: r.CurrentNanoA, State: state,
		})
	}
	if s.Expired && s.Finished(untilMs) {
		for i := from; i < len(dst); i++ {
			dst[i].State = rating.StateReservationExpired
		}
	}
	return dst
}

// Duplicates is how many of the readings measured before untilMs are sent twice.
func (s *Session) Duplicates(untilMs int64) int64 {
	n := s.n
	count := int64(0)
	var c cursor
	c.begin(n, &s.plan)
	for more := true; more && c.nextMs < untilMs; more = c.advance(n, &s.plan) {
		if n.late(&c, s.connector, c.j) && c.nextMs+int64(c.everyMs) >= untilMs {
			continue
		}
		if n.duplicated(&c, s.connector, c.j) {
			count++
		}
	}
	return count
}

// Truth is what a session holds and costs if it ended with its last reading before a time.
type Truth struct {
	LastMs      int64 // of that reading
	Readings    int64 // different ones
	Finished    bool
	EnergyMwh   int64
	ChargingMs  int64
	ParkingMs   int64
	ReservedMs  int64
	ExclMicros  int64 // 1e-6 currency units, settled; meaningless if ExclUnknown
	InclMicros  int64
	ExclUnknown bool // EXACTNESS 4.2
}

// Truth asks the oracle what the session costs by its readings before untilMs: settled, as a session that ended
// there. It is slow: about 5 microseconds a reading. An error is one of the oracle's, and a bug of this package.
func (s *Session) Truth(untilMs int64) (Truth, error) {
	points := s.Points(nil, untilMs)
	bill, err := oracle.Price(s.Tariff, s.n.zones[s.Zone], oracle.FromPoints(points))
	if err != nil {
		return Truth{}, fmt.Errorf("truth of session %s/%d/%s: %w", s.ChargePoint, s.Connector, s.Transaction, err)
	}
	t := Truth{
		LastMs: points[len(points)-1].AtMs, Readings: int64(len(points)), Finished: s.Finished(untilMs),
		EnergyMwh: bill.EnergyMwh, ChargingMs: bill.ChargingMs, ParkingMs: bill.ParkingMs, ReservedMs: bill.ReservationMs,
		ExclUnknown: !bill.ExclKnown,
	}
	if text, known := bill.ExclText(6); known {
		t.ExclMicros = micros(text)
	}
	t.InclMicros = micros(bill.InclText(6))
	return t, nil
}

// micros reads a decimal text with exactly six decimals.
func micros(text string) int64 {
	v, err := strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
	if err != nil {
		invariant.Bug("the oracle gave %q as an amount", text)
	}
	return v
}

// Sums is what all sessions hold and cost, by the fast pricer. Amounts of different currencies are added, which
// is nonsense as money and right as a check.
type Sums struct {
	Sessions   int64 // with a reading before the time asked for
	Finished   int64 // of them, with a stop
	Readings   int64 // different ones
	Duplicates int64 // sent beside them

	EnergyMwh int64 // of all sessions: last register minus first
	// The settled prices of the finished sessions, and what the running ones would cost if they ended with
	// their last reading. Sessions whose price without tax is unknown count 0 in Excl.
	FinishedEnergyMwh                int64
	FinishedExclMicros               int64
	FinishedInclMicros               int64
	RunningExclMicros                int64
	RunningInclMicros                int64
	ReservedMs, ChargingMs, ParkedMs int64

	// Rows are the charges that are closed: those that an engine has written. Their energy and durations have
	// what step_size bills beyond the measured ones.
	Rows           int64
	RowsEnergyMwh  int64
	RowsDurationMs int64
	RowsExclMicros int64
	RowsInclMicros int64
}

// Sums prices all sessions by their readings before untilMs, with rows cut at slices of sliceMs (ms, 0: at
// charging periods only). It takes about 50 ns a reading.
func (n *Network) Sums(untilMs, sliceMs int64) Sums {
	var sums Sums
	var points []rating.Point
	var rows []rating.Charge
	for s := range n.Sessions(untilMs) {
		points = s.Points(points[:0], untilMs)
		sums.Sessions++
		sums.Readings += int64(len(points))
		sums.Duplicates += s.Duplicates(untilMs)
		var total rating.Total
		rows, total = s.rate(points, untilMs, sliceMs, rows[:0])
		sums.EnergyMwh += total.EnergyMwh
		sums.ReservedMs += total.ReservationMs
		sums.ChargingMs += total.ChargingMs
		sums.ParkedMs += total.ParkingMs
		if s.Finished(untilMs) {
			sums.Finished++
			sums.FinishedEnergyMwh += total.EnergyMwh
			sums.FinishedExclMicros += total.ExclMicros
			sums.FinishedInclMicros += total.InclMicros
		} else {
			sums.RunningExclMicros += total.ExclMicros
			sums.RunningInclMicros += total.InclMicros
		}
		for i := range rows {
			sums.Rows++
			sums.RowsEnergyMwh += rows[i].EnergyMwh
			sums.RowsDurationMs += rows[i].DurationMs
			sums.RowsInclMicros += rows[i].InclMicros
			if !rows[i].ExclUnknown {
				sums.RowsExclMicros += rows[i].ExclMicros
			}
		}
	}
	return sums
}

// rate prices points with the fast pricer and appends the rows that it closed to out.
func (s *Session) rate(points []rating.Point, untilMs, sliceMs int64, out []rating.Charge) ([]rating.Charge, rating.Total) {
	p := s.n.plans[planKey{s.n.tariffOf(s.connector, s.n.driverOf(s.connector, s.plan.number)), s.Zone}]
	expired := s.Expired && s.Finished(untilMs)
	var st rating.State
	for i, pt := range points {
		if expired {
			pt.State = rating.StateReserved // an engine learns of it at the stop
		}
		switch {
		case i == 0:
			p.Start(&st, pt, sliceMs)
		case expired && i == len(points)-1:
			out = p.Expire(&st, pt.AtMs, out)
			pt.State = rating.StateUnchanged
			out = p.Advance(&st, pt, nil, sliceMs, out)
		default:
			out = p.Advance(&st, pt, nil, sliceMs, out)
		}
	}
	if s.Finished(untilMs) {
		return p.Close(&st, out)
	}
	return out, p.PriceNow(&st)
}

// ErrTruth is wrapped by SpotCheck: the two pricers do not agree.
var ErrTruth = errors.New("oracle and fast pricer differ")

// SpotCheck holds Sums to the oracle: about sample sessions, spread over all that have a reading before untilMs,
// are priced by both. It returns how many were. Errors: ErrTruth, wrapped with the session; those of Truth.
func (n *Network) SpotCheck(untilMs int64, sample int) (checked int, err error) {
	all := 0
	for range n.Sessions(untilMs) {
		all++
	}
	every, i := max(1, all/max(1, sample)), 0
	for s := range n.Sessions(untilMs) {
		if i++; i%every != 0 {
			continue
		}
		want, err := s.Truth(untilMs)
		if err != nil {
			return checked, err
		}
		_, got := s.rate(s.Points(nil, untilMs), untilMs, 0, nil)
		checked++
		if got.EnergyMwh != want.EnergyMwh || got.InclMicros != want.InclMicros || got.ExclUnknown != want.ExclUnknown ||
			!want.ExclUnknown && got.ExclMicros != want.ExclMicros {
			return checked, fmt.Errorf("%w: session %s/%d/%s by tariff %s: oracle %+v, fast %+v",
				ErrTruth, s.ChargePoint, s.Connector, s.Transaction, s.Tariff.ID, want, got)
		}
	}
	return checked, nil
}

// truthLine is a line of WriteTruth; docs/LOADGEN.md is its page.
type truthLine struct {
	Version     int    `json:"v"`
	ChargePoint string `json:"charge_point"`
	Connector   int32  `json:"connector"`
	Transaction string `json:"transaction"`
	Site        string `json:"site"`
	Tariff      string `json:"tariff"`
	Zone        string `json:"tz"`
	Start       string `json:"start"`
	Last        string `json:"last"`
	Finished    bool   `json:"finished"`
	Readings    int64  `json:"readings"`
	EnergyMwh   int64  `json:"energy_mwh"`
	Currency    string `json:"currency"`
	ExclMicros  *int64 `json:"excl_micros"`
	InclMicros  int64  `json:"incl_micros"`
}

const truthVersion = 1

// WriteTruth writes the oracle's truth of every session with a reading before untilMs as JSON lines. Errors: of w.
func (n *Network) WriteTruth(w io.Writer, untilMs int64) error {
	b := bufio.NewWriter(w)
	lines := json.NewEncoder(b)
	for s := range n.Sessions(untilMs) {
		t, err := s.Truth(untilMs)
		if err != nil {
			return err
		}
		line := truthLine{
			Version: truthVersion, ChargePoint: s.ChargePoint, Connector: s.Connector, Transaction: s.Transaction,
			Site: s.SiteID, Tariff: s.Tariff.ID, Zone: s.Zone, Start: timeText(s.StartMs), Last: timeText(t.LastMs),
			Finished: t.Finished, Readings: t.Readings, EnergyMwh: t.EnergyMwh, Currency: s.Tariff.Currency,
			InclMicros: t.InclMicros,
		}
		if !t.ExclUnknown {
			line.ExclMicros = &t.ExclMicros
		}
		if err := lines.Encode(&line); err != nil {
			return fmt.Errorf("write truth: %w", err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	return nil
}

func timeText(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
