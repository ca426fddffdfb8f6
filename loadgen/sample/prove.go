package sample

import (
	"fmt"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/murmur2"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/oracle"
)

// note keeps of a block's rows what prove looks at.
func (m *maker) note(b *engine.Block) {
	for i := range b.Sessions {
		s := &b.Sessions[i]
		for j := range s.Version {
			n := name{s.ChargePoint[j], s.Connector[j], strings.Clone(s.Transaction[j])}
			d := m.made[n]
			if d == nil {
				d = &made{version: -1}
				m.made[n] = d
				m.summary.Sessions++
			}
			if s.Version[j] > d.version {
				d.version, d.status, d.flags, d.total, d.id = s.Version[j], s.Status[j], s.Flags[j], s.Total[j], s.SessionID[j]
			}
		}
	}
	for i := range b.Charges {
		c := &b.Charges[i]
		for j := range c.Position {
			r := m.rows[c.SessionID[j]]
			r.incl += c.Charge[j].InclMicros
			if c.Charge[j].ExclUnknown {
				r.exclUnknown = true
			} else {
				r.excl += c.Charge[j].ExclMicros
			}
			m.rows[c.SessionID[j]] = r
		}
	}
}

// prove holds every session that has ended to the oracle (E2).
func (m *maker) prove() error {
	zones := map[string]*time.Location{}
	v2, member := dearer(m.network), memberTariff()
	for s := range m.network.Sessions(UntilMs) {
		endMs := m.parts[murmur2.Partition([]byte(s.ChargePoint), Partitions)].endMs
		if !s.Finished(endMs) {
			continue
		}
		t := s.Tariff
		if driver := driverOf([]byte(s.ChargePoint), s.Transaction); driver > 0 && driver <= members {
			t = member
		} else if t.ID == v2.ID && s.StartMs >= tariffChangedMs {
			t = v2
		}
		n := name{s.ChargePoint, s.Connector, s.Transaction}
		if err := m.proveOne(n, t, zone(zones, s.Zone), s.Points(nil, endMs), engine.StatusCompleted, 0); err != nil {
			return err
		}
	}
	for i := range m.scenes {
		s := &m.scenes[i]
		t := tariffOf(m.network, week)
		if s.site == yardSite {
			t = tariffOf(m.network, dayNight)
			if s.events[0].sendMs >= tariffChangedMs {
				t = v2
			}
		}
		if err := m.proveOne(s.name, t, zone(zones, yardZone), s.points, s.status, s.flags); err != nil {
			return err
		}
	}
	return nil
}

// zone is the location of a zone's clock; the network has compiled it, so it exists.
func zone(known map[string]*time.Location, id string) *time.Location {
	if known[id] == nil {
		if data, err := rating.ZoneData(id); err == nil {
			known[id], _ = time.LoadLocationFromTZData(id, data)
		}
	}
	return known[id]
}

// proveOne compares what the rows say of a session with what is to come of it.
func (m *maker) proveOne(n name, t *rating.Tariff, z *time.Location, points []rating.Point, status engine.SessionStatus, flags engine.SessionFlags) error {
	d := m.made[n]
	if d == nil {
		return fmt.Errorf("%w: session %v has no version", ErrTruth, n)
	}
	if d.status != status || d.flags&flags != flags {
		return fmt.Errorf("%w: session %v has status %d and flags %v, want %d and %v", ErrTruth, n, d.status, d.flags.Names(), status, flags.Names())
	}
	if points == nil {
		return nil
	}
	bill, err := oracle.Price(t, z, oracle.FromPoints(points))
	if err != nil {
		return fmt.Errorf("%w: session %v: %w", ErrTruth, n, err)
	}
	excl, known := bill.ExclText(6)
	got := fmt.Sprintf("%d mWh, incl %s, excl %s %v", d.total.EnergyMwh, micros(d.total.InclMicros), exclText(d.total.ExclMicros, !d.total.ExclUnknown), !d.total.ExclUnknown)
	want := fmt.Sprintf("%d mWh, incl %s, excl %s %v", bill.EnergyMwh, bill.InclText(6), excl, known)
	sum := m.rows[d.id]
	rows := fmt.Sprintf("incl %s, excl %s %v", micros(sum.incl), exclText(sum.excl, !sum.exclUnknown), !sum.exclUnknown)
	if got != want || !strings.HasSuffix(want, rows) {
		return fmt.Errorf("%w: session %v by %s: newest version %s; rows %s; oracle %s", ErrTruth, n, t.ID, got, rows, want)
	}
	m.summary.Proven++
	m.summary.EnergyMwh += bill.EnergyMwh
	return nil
}

func exclText(micro int64, known bool) string {
	if !known {
		return ""
	}
	return micros(micro)
}

// micros is 1e-6 of a currency as the decimal text that the oracle writes.
func micros(v int64) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	return fmt.Sprintf("%s%d.%06d", sign, v/1_000_000, v%1_000_000)
}
