package oracle

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// example is one random tariff with one random session.
type example struct {
	tariff   *rating.Tariff
	zone     string
	readings []Reading
}

// yaml gives the example as a file of `wattline price`; such a file cannot hold changes of state without register.
func (x example) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tariffs:\n  t: %s\n", ocpi.AppendTariffJSON(nil, x.tariff))
	fmt.Fprintf(&b, "sessions:\n- id: s\n  tariff: t\n  tz: %s\n  readings:\n", x.zone)
	for _, r := range x.readings {
		at := time.UnixMilli(r.AtMs).UTC().Format("2006-01-02T15:04:05.000Z")
		if !r.HasRegister {
			fmt.Fprintf(&b, "  # at %s, no register: %s\n", at, ocpi.StateText(r.State))
			continue
		}
		fmt.Fprintf(&b, "  - {at: %q, energy_wh: \"%s\", state: %s", at, Round(fraction(r.RegisterMwh, 1000), 3), ocpi.StateText(r.State))
		if r.PowerMicroW != rating.Unknown {
			fmt.Fprintf(&b, ", power_w: \"%s\"", Round(fraction(r.PowerMicroW, 1_000_000), 6))
		}
		if r.CurrentNanoA != rating.Unknown {
			fmt.Fprintf(&b, ", current_a: \"%s\"", Round(fraction(r.CurrentNanoA, 1_000_000_000), 9))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// scenario says how wide a random session is.
type scenario struct {
	maxReadings int
	gapsMs      []int64 // between readings; a gap is one of these or a random part of it
	energiesMwh []int64
	startsMs    []int64
	zones       []string
	limitsMwh   []int64
	durationsMs []int64
	minutes     []int32 // local clock times for start_time and end_time
	prices      []int64 // nil: sane ones
	vats        []int32
	steps       []int64
	changes     bool // changes of state without a register
}

// wide makes sessions of minutes to days over midnights and clock changes.
func wide() scenario {
	at := func(s string) int64 {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		return t.UnixMilli()
	}
	return scenario{
		maxReadings: 9,
		gapsMs:      []int64{0, 0, 1, 7, 999, 60_000, 300_000, 900_000, 3_600_000, 7_200_000, 36_000_000, 200_000_000},
		energiesMwh: []int64{0, 0, 1, 2, 3, 999, 1000, 500_000, 1_000_000, 2_345_678, 10_000_000, 55_555_555},
		startsMs: []int64{
			at("2024-01-15T08:00:00Z"), at("2024-03-30T22:30:00Z"), at("2024-03-31T00:30:00Z"), at("2024-03-31T00:59:59Z"),
			at("2024-10-27T00:00:00Z"), at("2024-10-26T21:00:00Z"), at("2024-10-27T00:59:59Z"), at("2024-12-31T22:00:00Z"),
			at("2024-11-03T04:30:00Z"), at("2024-03-10T06:00:00Z"), at("2024-04-06T14:00:00Z"), at("2024-10-05T15:00:00Z"),
			at("2011-12-29T20:00:00Z"), at("2024-03-10T00:00:00Z"), at("2024-04-14T01:00:00Z"), at("1987-10-25T00:30:00Z"),
		},
		zones: []string{
			"Europe/Amsterdam", "Europe/Amsterdam", "Europe/Berlin", "UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
			"America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia", "Europe/Dublin", "America/Sao_Paulo",
		},
		limitsMwh:   []int64{0, 1, 2, 1000, 1_000_000, 1_500_000, 2_000_000, 10_000_000, 20_000_000},
		durationsMs: []int64{0, 1000, 60_000, 300_000, 1_800_000, 3_600_000, 7_200_000, 86_400_000},
		minutes:     []int32{0, 1, 30, 60, 119, 120, 150, 179, 180, 240, 360, 480, 540, 1020, 1200, 1320, 1380, 1439},
		vats:        []int32{2100, 0, 1000, 520, 900, 2000, 1, rating.NoVAT},
		steps:       []int64{0, 1, 1, 7, 25, 60, 300, 500, 900, 1000},
		changes:     true,
	}
}

// narrow makes sessions of up to two seconds around boundaries, short enough to be priced millisecond by millisecond.
func narrow() scenario {
	s := wide()
	s.maxReadings = 6
	s.gapsMs = []int64{0, 0, 1, 1, 2, 3, 7, 30, 200, 700}
	s.energiesMwh = []int64{0, 0, 1, 1, 2, 3, 5, 17, 50, 400, 4000}
	for i := range s.startsMs {
		s.startsMs[i] -= 400
	}
	s.limitsMwh = []int64{0, 1, 2, 3, 5, 8, 20, 60, 400}
	s.durationsMs = []int64{0, 1000}
	return s
}

// newRand is a source of a new seed, which a failing test says.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return seeded(seed)
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// huge makes sessions near the bounds of what can be represented.
func huge() scenario {
	s := wide()
	s.gapsMs = append(s.gapsMs, 8_000_000_000)
	s.energiesMwh = append(s.energiesMwh, 1_000_000_000_000, 77_777_777_777_777_777)
	s.limitsMwh = append(s.limitsMwh, 1_000_000_000_000, 1_000_000_000_000_000_000)
	s.prices = []int64{rating.MaxPriceNano, -rating.MaxPriceNano, rating.MaxPriceNano - 1, 1, -1, 99_999_999_999_999_999}
	s.vats = []int32{rating.MaxVAT, rating.MaxVAT - 1, 1, 3333, rating.NoVAT, 0}
	s.steps = []int64{0, 1, 999_999_999_999, 1_000_000_000_000, 86_400}
	return s
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

func (sc scenario) example(r *rand.Rand) example {
	x := example{tariff: sc.tariff(r), zone: pick(r, sc.zones)}
	x.readings = sc.readings(r)
	return x
}

func (sc scenario) readings(r *rand.Rand) []Reading {
	session := []rating.ChargeState{
		rating.StateCharging, rating.StateCharging, rating.StateSuspendedEV, rating.StateSuspendedEVSE, rating.StateIdle,
	}
	n := 1 + r.IntN(sc.maxReadings)
	reserved, reservedState := 0, rating.StateReserved
	if chance(r, 30) {
		reserved = 1 + r.IntN(min(n, 3))
		if chance(r, 30) {
			reserved, reservedState = max(1, n-1), rating.StateReservationExpired
		}
	}
	at, register := pick(r, sc.startsMs)+r.Int64N(600), r.Int64N(3)*777
	readings := make([]Reading, 0, n)
	for i := range n {
		p := Reading{AtMs: at, RegisterMwh: register, HasRegister: true, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown}
		p.State = pick(r, session)
		if i < reserved {
			p.State = reservedState
		}
		if chance(r, 25) {
			p.PowerMicroW = pick(r, []int64{0, 6_999_999_999, 7_000_000_000, 11_000_000_000, 22_000_000_000})
		}
		if chance(r, 25) {
			p.CurrentNanoA = pick(r, []int64{0, 15_999_999_999, 16_000_000_000, 32_000_000_000})
		}
		readings = append(readings, p)
		gap := pick(r, sc.gapsMs)
		if gap > 0 && chance(r, 50) {
			gap = 1 + r.Int64N(gap)
		}
		if i >= reserved {
			energy := pick(r, sc.energiesMwh)
			if energy > 0 && chance(r, 30) {
				energy = 1 + r.Int64N(energy)
			}
			register += energy
			if sc.changes && i < n-1 {
				for t := at; gap > 0 && chance(r, 20); {
					t += r.Int64N(at + gap - t + 1)
					readings = append(readings, Reading{
						AtMs: t, State: pick(r, session), PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
					})
				}
			}
		}
		at += gap
	}
	return readings
}

func (sc scenario) tariff(r *rand.Rand) *rating.Tariff {
	t := &rating.Tariff{ID: "t", Currency: "EUR", ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown}
	t.TaxIncluded = rating.TaxIncluded(r.IntN(3))
	t.Min = rating.PriceLimit{ExclNano: randomLimit(r), InclNano: randomLimit(r)}
	t.Max = rating.PriceLimit{ExclNano: randomLimit(r), InclNano: randomLimit(r)}
	vats := slices.Clone(sc.vats)
	r.Shuffle(len(vats), func(i, j int) { vats[i], vats[j] = vats[j], vats[i] })
	vats = vats[:1+r.IntN(rating.MaxVATRates)]
	reservations := chance(r, 50)
	for range 1 + r.IntN(6) {
		var e rating.Element
		for range 1 + r.IntN(4) {
			e.Components = append(e.Components, rating.Component{
				Dimension: rating.Dimension(r.IntN(int(rating.NumDimensions))),
				PriceNano: sc.price(r),
				VAT:       pick(r, vats),
				StepSize:  pick(r, sc.steps),
			})
		}
		e.Restrictions = sc.restrictions(r)
		if reservations && chance(r, 50) {
			e.Restrictions.Reservation = rating.Reservation(1 + r.IntN(2))
		}
		t.Elements = append(t.Elements, e)
	}
	return t
}

func randomLimit(r *rand.Rand) int64 {
	if chance(r, 80) {
		return rating.Unknown
	}
	return pick(r, []int64{0, 1, 500_000_000, 1_234_567_891, 5_000_000_000, 50_000_000_000, -1_000_000_000})
}

func (sc scenario) price(r *rand.Rand) int64 {
	if sc.prices != nil {
		return pick(r, sc.prices)
	}
	switch r.IntN(8) {
	case 0:
		return 0
	case 1:
		return -r.Int64N(1_000_000_000)
	case 2, 3:
		return r.Int64N(10_000_000_000)
	default:
		return r.Int64N(100) * 10_000_000
	}
}

func (sc scenario) restrictions(r *rand.Rand) rating.Restrictions {
	res := rating.Restrictions{
		StartTimeMin: rating.NoTimeOfDay, EndTimeMin: rating.NoTimeOfDay, StartDate: rating.NoDate, EndDate: rating.NoDate,
		MinEnergyMwh: rating.NoLimit, MaxEnergyMwh: rating.NoLimit, MinCurrentNanoA: rating.NoLimit, MaxCurrentNanoA: rating.NoLimit,
		MinPowerMicroW: rating.NoLimit, MaxPowerMicroW: rating.NoLimit, MinDurationMs: rating.NoLimit, MaxDurationMs: rating.NoLimit,
		Weekdays: rating.EveryWeekday,
	}
	if chance(r, 35) {
		return res
	}
	const each = 18
	set := func(to *int64, from []int64) {
		if chance(r, each) {
			*to = pick(r, from)
		}
	}
	powers := []int64{0, 1, 7_000_000_000, 11_000_000_000, 36_000_000_000}
	currents := []int64{0, 16_000_000_000, 32_000_000_000}
	set(&res.MinEnergyMwh, sc.limitsMwh)
	set(&res.MaxEnergyMwh, sc.limitsMwh)
	set(&res.MinDurationMs, sc.durationsMs)
	set(&res.MaxDurationMs, sc.durationsMs)
	set(&res.MinPowerMicroW, powers)
	set(&res.MaxPowerMicroW, powers)
	set(&res.MinCurrentNanoA, currents)
	set(&res.MaxCurrentNanoA, currents)
	if chance(r, 25) {
		res.StartTimeMin = pick(r, sc.minutes)
	}
	if chance(r, 25) {
		res.EndTimeMin = pick(r, sc.minutes)
	}
	if chance(r, 6) {
		res.StartDate = int32(pick(r, sc.startsMs)/86_400_000) + int32(r.IntN(3)) - 1
	}
	if chance(r, 6) {
		res.EndDate = int32(pick(r, sc.startsMs)/86_400_000) + int32(r.IntN(3)) - 1
	}
	if chance(r, each) {
		res.Weekdays = 1 + uint8(r.IntN(int(rating.EveryWeekday)))
	}
	return res
}

// onTheLine adds a reading that says nothing new: exactly on the line between two others, of the same state, power
// and current. False when the example has no room for one.
func onTheLine(r *rand.Rand, x example) (example, bool) {
	var from int
	for i := 1; i < len(x.readings); i++ {
		a, b := x.readings[from], x.readings[i]
		if !b.HasRegister {
			continue
		}
		if i == from+1 && b.AtMs > a.AtMs {
			t := a.AtMs + r.Int64N(b.AtMs-a.AtMs+1)
			part := new(big.Int).Mul(big.NewInt(b.RegisterMwh-a.RegisterMwh), big.NewInt(t-a.AtMs))
			mwh, rest := part.QuoRem(part, big.NewInt(b.AtMs-a.AtMs), new(big.Int))
			if rest.Sign() == 0 && (t < b.AtMs || reserves(a.State) == reserves(b.State)) {
				added := a
				added.AtMs, added.RegisterMwh = t, a.RegisterMwh+mwh.Int64()
				x.readings = slices.Insert(slices.Clone(x.readings), i, added)
				return x, true
			}
		}
		from = i
	}
	return x, false
}

// expiresLate is an expired reservation as the engine sees it: reserved until a reading says that it has expired. False
// when the example has no expired reservation of more than one reading. A reservation is not metered.
func expiresLate(x example) (example, bool) {
	x.readings = slices.Clone(x.readings)
	n := 0
	for i := range x.readings {
		x.readings[i].PowerMicroW, x.readings[i].CurrentNanoA = rating.Unknown, rating.Unknown
		if x.readings[i].State == rating.StateReservationExpired {
			n = i
		}
	}
	for i := range n {
		x.readings[i].State = rating.StateReserved
	}
	return x, n > 0
}

// shrink makes a failing example as small as it gets while it still fails.
func shrink(x example, fails func(example) bool) example {
	for {
		smaller, found := x, false
		for _, candidate := range reductions(x) {
			if fails(candidate) {
				smaller, found = candidate, true
				break
			}
		}
		if !found {
			return x
		}
		x = smaller
	}
}

// reductions lists examples that are one step simpler than x.
func reductions(x example) []example {
	var out []example
	for i := range x.readings {
		y := x
		y.readings = slices.Delete(slices.Clone(x.readings), i, i+1)
		if check(y.readings) == nil {
			out = append(out, y)
		}
	}
	edit := func(change func(t *rating.Tariff)) {
		t := *x.tariff
		t.Elements = slices.Clone(t.Elements)
		for i := range t.Elements {
			t.Elements[i].Components = slices.Clone(t.Elements[i].Components)
		}
		before := string(ocpi.AppendTariffJSON(nil, &t))
		change(&t)
		if string(ocpi.AppendTariffJSON(nil, &t)) != before {
			out = append(out, example{tariff: &t, zone: x.zone, readings: x.readings})
		}
	}
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	edit(func(t *rating.Tariff) { t.Min = none })
	edit(func(t *rating.Tariff) { t.Max = none })
	edit(func(t *rating.Tariff) { t.TaxIncluded = rating.TaxIncludedNo })
	for i, e := range x.tariff.Elements {
		if len(x.tariff.Elements) > 1 {
			edit(func(t *rating.Tariff) { t.Elements = slices.Delete(t.Elements, i, i+1) })
		}
		for j := range e.Components {
			if len(e.Components) > 1 {
				edit(func(t *rating.Tariff) { t.Elements[i].Components = slices.Delete(t.Elements[i].Components, j, j+1) })
			}
			edit(func(t *rating.Tariff) { t.Elements[i].Components[j].VAT = rating.NoVAT })
			edit(func(t *rating.Tariff) { t.Elements[i].Components[j].StepSize = 0 })
			edit(func(t *rating.Tariff) { t.Elements[i].Components[j].PriceNano = 1_000_000_000 })
		}
		edit(func(t *rating.Tariff) { r := &t.Elements[i].Restrictions; r.StartTimeMin = rating.NoTimeOfDay })
		edit(func(t *rating.Tariff) { r := &t.Elements[i].Restrictions; r.EndTimeMin = rating.NoTimeOfDay })
		edit(func(t *rating.Tariff) { r := &t.Elements[i].Restrictions; r.StartDate = rating.NoDate })
		edit(func(t *rating.Tariff) { r := &t.Elements[i].Restrictions; r.EndDate = rating.NoDate })
		edit(func(t *rating.Tariff) { r := &t.Elements[i].Restrictions; r.Weekdays = rating.EveryWeekday })
		for _, field := range []func(*rating.Restrictions) *int64{
			func(r *rating.Restrictions) *int64 { return &r.MinEnergyMwh },
			func(r *rating.Restrictions) *int64 { return &r.MaxEnergyMwh },
			func(r *rating.Restrictions) *int64 { return &r.MinDurationMs },
			func(r *rating.Restrictions) *int64 { return &r.MaxDurationMs },
			func(r *rating.Restrictions) *int64 { return &r.MinPowerMicroW },
			func(r *rating.Restrictions) *int64 { return &r.MaxPowerMicroW },
			func(r *rating.Restrictions) *int64 { return &r.MinCurrentNanoA },
			func(r *rating.Restrictions) *int64 { return &r.MaxCurrentNanoA },
		} {
			edit(func(t *rating.Tariff) { *field(&t.Elements[i].Restrictions) = rating.NoLimit })
		}
	}
	return out
}
