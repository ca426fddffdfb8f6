package clickhouse

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// TestEnded: the newest version counts, and only of sessions that have ended.
func TestEnded(t *testing.T) {
	s := newStore(t)
	rows := makeSessions(6, 10)
	for i := range rows.SessionID {
		rows.SessionID[i], rows.Status[i], rows.StartMs[i] = sessionID(i), engine.StatusActive, november
	}
	mustInsert(t, s, insertOf(10, rows))
	later := makeSessions(3, 100)
	for i, status := range []engine.SessionStatus{engine.StatusCompleted, engine.StatusProvisional, engine.StatusHeld} {
		later.SessionID[i], later.Status[i], later.StartMs[i], later.LastMs[i] = sessionID(i), status, november, november+60_000
		later.ChargePoint[i], later.Connector[i], later.Transaction[i], later.Location[i] = "CP1", int32(i), "7", "NL*WTL*L1"
		later.Tariff[i], later.Currency[i], later.Zone[i], later.Version[i] = "NL*WTL*T1", "EUR", "Europe/Amsterdam", int64(100<<16+i)
		later.Total[i] = rating.Total{ExclMicros: 5, InclMicros: 6, EnergyMwh: 7, ExclUnknown: i == 1}
		later.Flags[i] = engine.FlagHeld
	}
	mustInsert(t, s, insertOf(100, later))
	var ids []engine.SessionID
	for i := range 7 {
		ids = append(ids, sessionID(i))
	}
	got, err := s.Ended(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b engine.SessionView) int { return int(a.Connector - b.Connector) })
	view := func(i int, status engine.SessionStatus, total rating.Total) engine.SessionView {
		return engine.SessionView{
			ID: ids[i].String(), ChargePoint: "CP1", Connector: int32(i), Transaction: "7", Location: "NL*WTL*L1", Tariff: "NL*WTL*T1", Currency: "EUR", Zone: "Europe/Amsterdam",
			Status: status, StartMs: november, LastMs: november + 60_000, Total: total, Flags: engine.FlagHeld, Partition: testPartition, Position: int64(100<<16 + i),
			Tier: later.Tier[i],
		}
	}
	want := []engine.SessionView{
		view(0, engine.StatusCompleted, rating.Total{ExclMicros: 5, InclMicros: 6, EnergyMwh: 7}),
		view(1, engine.StatusProvisional, rating.Total{ExclUnknown: true, InclMicros: 6, EnergyMwh: 7}),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got, err := s.Ended(t.Context(), nil); err != nil || got != nil {
		t.Errorf("of none: %v %v", got, err)
	}
}

// TestBill: slices of one price are one line, settlement comes last, and a location narrows nothing down but time.
func TestBill(t *testing.T) {
	s := newStore(t)
	rows := makeCharges(6, 1, 7)
	for i := range rows.Charge {
		rows.SessionID[i], rows.Location[i], rows.Currency[i], rows.Position[i], rows.Line[i] = sessionID(1), "NL*WTL*L1", "EUR", int64(i), 0
		rows.Charge[i] = rating.Charge{
			PeriodStartMs: november, FromMs: november + int64(i), ToMs: november + int64(i) + 1, EnergyMwh: 10, ExclMicros: 100, InclMicros: 121, PriceNano: 400_000_000,
			VAT: 2100, Dimension: rating.Energy, HasDimension: true, Split: rating.SplitStart,
		}
	}
	rows.Charge[2].Dimension, rows.Charge[2].EnergyMwh, rows.Charge[2].DurationMs = rating.Time, 0, 5000
	rows.Charge[3].Period, rows.Charge[3].PeriodStartMs, rows.Charge[3].Split = 1, november+3, rating.SplitClock
	rows.Charge[4].HasDimension, rows.Charge[4].Kind, rows.Charge[4].Element, rows.Charge[4].InclMicros, rows.Charge[4].ExclUnknown = false, rating.ChargeMin, rating.NoElement, 7, true
	rows.SessionID[5] = sessionID(2)
	mustInsert(t, s, insertOf(1, rows))
	want := []BillLine{
		{PeriodMs: november, Split: "start", Kind: "usage", Dimension: "ENERGY", PriceNano: 400_000_000, VATBp: 2100, Currency: "EUR", EnergyMwh: 20, ExclMicros: 200, InclMicros: 242},
		{PeriodMs: november, Split: "start", Kind: "usage", Dimension: "TIME", PriceNano: 400_000_000, VATBp: 2100, Currency: "EUR", DurationMs: 5000, ExclMicros: 100, InclMicros: 121},
		{Period: 1, PeriodMs: november + 3, Split: "clock", Kind: "usage", Dimension: "ENERGY", PriceNano: 400_000_000, VATBp: 2100, Currency: "EUR", EnergyMwh: 10, ExclMicros: 100, InclMicros: 121},
	}
	for _, location := range []string{"", "NL*WTL*L1"} {
		got, err := s.Bill(t.Context(), sessionID(1), location)
		if err != nil || len(got) != 4 {
			t.Fatalf("%v: %+v", err, got)
		}
		if d := cmp.Diff(want, got[:3]); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		if l := got[3]; l.Kind != "min" || l.Element != -1 || l.InclMicros != 7 || l.ExclMicros != 0 {
			t.Errorf("%+v", l)
		}
	}
	if got, err := s.Bill(t.Context(), sessionID(1), "elsewhere"); err != nil || got != nil {
		t.Errorf("%v: %+v", err, got)
	}
}
