package outbox

import (
	"math/rand/v2"
	"testing"

	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// everyTariff has an element of every kind: a reservation that is used or expires, hours of the day, energy, duration,
// power, a FLAT, free parking at night, steps and limits.
func everyTariff(rnd *rand.Rand) *rating.Tariff {
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	t := &rating.Tariff{
		CountryCode: "NL", PartyID: "WTL", ID: "EVERY", Currency: "EUR", Min: none, Max: none,
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
	}
	c := func(d rating.Dimension, nano int64) rating.Component {
		return rating.Component{Dimension: d, PriceNano: nano + rnd.Int64N(1_000_000_000), VAT: []int32{2100, 900, 0, rating.NoVAT}[rnd.IntN(4)], StepSize: []int64{0, 1, 60, 300}[rnd.IntN(4)]}
	}
	add := func(set func(r *rating.Restrictions), cs ...rating.Component) {
		r := rating.Unrestricted()
		set(&r)
		t.Elements = append(t.Elements, rating.Element{Components: cs, Restrictions: r})
	}
	add(func(r *rating.Restrictions) { r.Reservation = rating.ReservationExpires }, c(rating.Flat, 1e9), c(rating.Time, 2e9))
	add(func(r *rating.Restrictions) { r.Reservation = rating.ReservationUsed }, c(rating.Time, 1e9), c(rating.Flat, 5e8))
	add(func(r *rating.Restrictions) { r.StartTimeMin, r.EndTimeMin = 10*60, 16*60 }, c(rating.Energy, 3e8))
	add(func(r *rating.Restrictions) { r.MinDurationMs = 2 * 3_600_000 }, c(rating.Time, 3e9), c(rating.ParkingTime, 1e9))
	add(func(r *rating.Restrictions) { r.MinEnergyMwh = 20_000_000 }, c(rating.Energy, 5e8))
	add(func(r *rating.Restrictions) { r.MinPowerMicroW = 11_000_000_000 }, c(rating.Energy, 4e8))
	add(func(*rating.Restrictions) {}, c(rating.Flat, 2e8), c(rating.Energy, 2e8))
	if rnd.IntN(3) == 0 {
		t.Max = rating.PriceLimit{ExclNano: rnd.Int64N(20e9), InclNano: rnd.Int64N(20e9)}
	}
	if rnd.IntN(3) == 0 {
		t.Min = rating.PriceLimit{ExclNano: rnd.Int64N(9e9), InclNano: rnd.Int64N(9e9)}
	}
	return t
}

// sums is what rows add up to, beside a sheet.
type sums struct {
	excl, incl, limitExcl, limitIncl int64
	mwh                              int64
	ms                               [3]int64
}

func (x *sums) add(rows []rating.Charge) {
	for i := range rows {
		c := &rows[i]
		x.excl += c.ExclMicros
		x.incl += c.InclMicros
		if !c.HasDimension {
			x.limitExcl += c.ExclMicros
			x.limitIncl += c.InclMicros
		}
	}
}

// TestAdd: costs and periods of a sheet add up to the rows, whatever the session and its tariff are.
func TestAdd(t *testing.T) {
	zone, err := rating.LoadZone("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	expired, reserved, parked := 0, 0, 0
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		plan, err := rating.Compile(everyTariff(rnd), zone)
		if err != nil {
			t.Fatal(err)
		}
		sheets := slab.NewSheets()
		i := sheets.Take()
		var want sums
		var s rating.State
		add := func(rows []rating.Charge) {
			want.add(rows)
			Add(&sheets, i, rows, plan.Tariff(), &s)
		}
		at, reg := int64(1_750_000_000_000)+rnd.Int64N(86_400_000), rnd.Int64N(1e12)
		pt := func(state rating.ChargeState) rating.Point {
			return rating.Point{AtMs: at, RegisterMwh: reg, PowerMicroW: rnd.Int64N(22_000_000_000), CurrentNanoA: rating.Unknown, State: state}
		}
		first := rating.StateCharging
		if rnd.IntN(2) == 0 {
			first = rating.StateReserved
		}
		plan.Start(&s, pt(first), 900_000)
		for n := range rnd.IntN(30) {
			at += rnd.Int64N(1_800_000)
			state := rating.ChargeState(1 + rnd.IntN(4))
			switch {
			case first == rating.StateReserved && n < 3:
				state = rating.StateReserved
			default:
				reg += rnd.Int64N(5_000_000)
			}
			if first == rating.StateReserved && n < 3 && rnd.IntN(8) == 0 {
				add(plan.Expire(&s, at, nil))
				break
			}
			add(plan.Advance(&s, pt(state), nil, 900_000, nil))
		}
		rows, total := plan.Close(&s, nil)
		add(rows)

		sh := sheets.At(i)
		got := sums{limitExcl: want.limitExcl, limitIncl: want.limitIncl, excl: want.limitExcl, incl: want.limitIncl}
		for _, c := range sh.Costs {
			got.excl += c.Excl
			got.incl += c.Incl
		}
		want.mwh, want.ms = total.EnergyMwh, [3]int64{total.ChargingMs, total.ParkingMs, total.ReservationMs}
		periods := sheets.AppendPeriods(nil, i)
		for k, p := range periods {
			end := s.LastMs
			if k+1 < len(periods) {
				end = periods[k+1].StartMs
			}
			if k == 0 && p.StartMs != s.FirstMs || end < p.StartMs {
				t.Errorf("seed %d: period %d begins at %d and ends at %d, the session began at %d", seed, k, p.StartMs, end, s.FirstMs)
			}
			got.mwh += p.EnergyMwh()
			got.ms[p.Phase()] += end - p.StartMs
		}
		if got != want {
			t.Fatalf("seed %d: the sheet %+v with periods %v says\n%+v, want\n%+v", seed, *sh, periods, got, want)
		}
		if s.Charge == rating.StateReservationExpired {
			expired++
		}
		if sh.Costs[snapshot.CostReservation] != (snapshot.Cost{}) {
			reserved++
		}
		if sh.Costs[snapshot.CostParking] != (snapshot.Cost{}) {
			parked++
		}
	}
	if expired < 100 || reserved < 500 || parked < 500 {
		t.Errorf("only %d expired, %d reserved, %d parked: they prove little", expired, reserved, parked)
	}
}
