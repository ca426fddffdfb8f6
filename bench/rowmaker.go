package bench

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

const (
	hourMs  = 3_600_000
	sliceMs = 900_000 // engine.Config.SliceMs by default
	// rowSlices is how many slices rows are made over: a month of 31 days.
	rowSlices = 31 * 96
	// sessionSlices is how many slices a session of made rows has.
	sessionSlices = 8
)

// rowMaker makes rows of charges as engines write them: slice by slice, in each a row of energy of every charge point,
// then rows of time, as many as make up the number that a slice has. It keeps the sums of what it made.
type rowMaker struct {
	chargePoints []string
	locations    []string
	perSite      int
	perSlice     int
	slice        int64 // the one at hand
	i            int   // row of it
	firstMs      int64
	filledMs     int64 // beginning of the hour after the rows that count
	offset       int64
	rows         engine.ChargeRows
	totals       []siteSum // by hour * sites + site
}

func newRowMaker(cfg *RowsConfig) *rowMaker {
	m := &rowMaker{
		perSite: cfg.ChargePointsPerSite, perSlice: (cfg.Rows + rowSlices - 1) / rowSlices,
		firstMs: time.Date(2026, time.October, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
	}
	for s := range cfg.Sites {
		m.locations = append(m.locations, fmt.Sprintf("NL*WTL*SITE%05d", s))
		for c := range cfg.ChargePointsPerSite {
			m.chargePoints = append(m.chargePoints, fmt.Sprintf("NL-WTL-SITE%05d-CP%03d", s, c))
		}
	}
	return m
}

// nextMonth goes on in November: the rows that count are all made.
func (m *rowMaker) nextMonth() { m.slice, m.i = rowSlices, 0 }

// insert makes the next n rows, or fewer at the end of a month. counts says that they are asked for.
func (m *rowMaker) insert(n int, counts bool) *engine.Insert {
	r := &m.rows
	r.Position, r.Line, r.SessionID, r.ChargePoint = r.Position[:0], r.Line[:0], r.SessionID[:0], r.ChargePoint[:0]
	r.Connector, r.Location, r.Tariff, r.Currency, r.Tier, r.Charge = r.Connector[:0], r.Location[:0], r.Tariff[:0], r.Currency[:0], r.Tier[:0], r.Charge[:0]
	first := m.offset
	for range n {
		m.row(counts)
	}
	if counts {
		m.filledMs = m.firstMs + (m.slice*sliceMs+hourMs)/hourMs*hourMs
	}
	r.Month = 202610
	if !counts {
		r.Month = 202611
	}
	id := fmt.Sprintf("bench-rows-%d", first)
	return &engine.Insert{
		Partition: engine.Partition{Topic: "wattline.bench.rows"}, First: first, Table: engine.TableCharges, Month: r.Month,
		Token: id, QueryID: id, Charges: r,
	}
}

// row appends the next row.
func (m *rowMaker) row(counts bool) {
	r := &m.rows
	cp := m.i % len(m.chargePoints)
	site := cp / m.perSite
	fromMs := m.firstMs + m.slice*sliceMs
	session := m.slice/sessionSlices*int64(len(m.chargePoints)) + int64(cp)
	x := scramble(uint64(m.offset))
	c := rating.Charge{
		PeriodStartMs: m.firstMs + m.slice/sessionSlices*sessionSlices*sliceMs, FromMs: fromMs, ToMs: fromMs + sliceMs,
		Element: 0, Component: 0, VAT: 2100, HasDimension: true, Dimension: rating.Energy, PriceNano: 350_000_000,
	}
	if m.i < len(m.chargePoints) {
		c.EnergyMwh = int64(x % 5_500_000)
		c.ExclMicros = c.EnergyMwh * 35 / 100
	} else {
		c.Dimension, c.Component, c.PriceNano = rating.Time, 1, 1_200_000_000
		c.DurationMs = int64(x % sliceMs)
		c.ExclMicros = c.DurationMs / 3
	}
	c.InclMicros = c.ExclMicros * 121 / 100
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], scramble(uint64(session)))
	binary.BigEndian.PutUint64(id[8:], uint64(session))
	r.Position = append(r.Position, m.offset<<16)
	r.Line = append(r.Line, uint16(c.Component))
	r.SessionID = append(r.SessionID, id)
	r.ChargePoint = append(r.ChargePoint, m.chargePoints[cp])
	r.Connector = append(r.Connector, 1)
	r.Location = append(r.Location, m.locations[site])
	r.Tariff = append(r.Tariff, "NL*WTL*DAYNIGHT")
	r.Currency = append(r.Currency, "EUR")
	r.Tier = append(r.Tier, "")
	r.Charge = append(r.Charge, c)
	if counts {
		at := int((fromMs-m.firstMs)/hourMs)*len(m.locations) + site
		for len(m.totals) <= at {
			m.totals = append(m.totals, siteSum{})
		}
		m.totals[at].energyMwh += c.EnergyMwh
		m.totals[at].inclMicros += c.InclMicros
	}
	m.offset++
	if m.i++; m.i == m.perSlice {
		m.i = 0
		m.slice++
	}
}

// sums is the truth of the hours from fromMs to toMs. A site and hour without rows has none.
func (m *rowMaker) sums(fromMs, toMs int64) answer {
	a := answer{}
	for i, s := range m.totals {
		ms := m.firstMs + int64(i/len(m.locations))*hourMs
		if ms >= fromMs && ms < toMs && s != (siteSum{}) {
			a[siteHour{m.locations[i%len(m.locations)], ms / 1000}] = s
		}
	}
	return a
}

// scramble spreads the bits of x (the finalizer of SplitMix64).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
