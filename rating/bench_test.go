package rating

import (
	"syscall"
	"testing"
)

// benchStart is a Monday 00:00 UTC.
const benchStart = int64(1_705_276_800_000)

// reportCPU adds the CPU time an operation costs: on a busy machine ns/op says little.
func reportCPU(b *testing.B) {
	cpu := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	began := cpu()
	b.Cleanup(func() { b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op") })
}

func mustPlan(t testing.TB, tariff *Tariff, zone string) *Plan {
	t.Helper()
	z, err := LoadZone(zone)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(tariff, z)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func noLimits() PriceLimit { return PriceLimit{ExclNano: Unknown, InclNano: Unknown} }

// simpleTariff is energy, time, parking and a start fee, one VAT rate.
func simpleTariff() *Tariff {
	return &Tariff{ID: "simple", Currency: "EUR", Min: noLimits(), Max: noLimits(), Elements: []Element{{
		Restrictions: Unrestricted(),
		Components: []Component{
			{Dimension: Flat, PriceNano: 500_000_000, VAT: 2000},
			{Dimension: Energy, PriceNano: 250_000_000, VAT: 2000, StepSize: 1},
			{Dimension: Time, PriceNano: 1_000_000_000, VAT: 2000, StepSize: 60},
			{Dimension: ParkingTime, PriceNano: 2_000_000_000, VAT: 2000, StepSize: 300},
		},
	}}}
}

// hourlyTariff has 48 elements: an energy and a time price for every hour of the day.
func hourlyTariff() *Tariff {
	t := &Tariff{ID: "hourly", Currency: "EUR", Min: noLimits(), Max: noLimits()}
	for _, d := range []Dimension{Energy, Time} {
		for h := range int32(24) {
			r := Unrestricted()
			r.StartTimeMin, r.EndTimeMin = h*60, (h+1)%24*60
			t.Elements = append(t.Elements, Element{
				Restrictions: r,
				Components:   []Component{{Dimension: d, PriceNano: int64(200_000_000 + 1_000_000*h), VAT: 1000 + int32(d)*100, StepSize: 1}},
			})
		}
	}
	return t
}

// powerTariff has three classes of power.
func powerTariff() *Tariff {
	t := &Tariff{ID: "power", Currency: "EUR", Min: noLimits(), Max: noLimits()}
	for i, kw := range []int64{16, 32, NoLimit} {
		r := Unrestricted()
		if kw != NoLimit {
			r.MaxPowerMicroW = kw * 1_000_000_000
		}
		t.Elements = append(t.Elements, Element{Restrictions: r, Components: []Component{
			{Dimension: Energy, PriceNano: int64(i+2) * 100_000_000, VAT: 2000, StepSize: 1},
		}})
	}
	return t
}

// BenchmarkAdvance answers what a reading costs, rows included: every 5 s, 11 kW.
func BenchmarkAdvance(b *testing.B) {
	for _, c := range []struct {
		name    string
		tariff  *Tariff
		stepMs  int64
		sliceMs int64
	}{
		{"quiet", simpleTariff(), 5_000, 0},
		{"slices-15min", simpleTariff(), 5_000, 900_000},
		{"every-reading-closes-rows", simpleTariff(), 5_000, 5_000},
		{"48-elements-5s", hourlyTariff(), 5_000, 900_000},
		{"48-elements-every-reading-a-boundary", hourlyTariff(), 3_600_000, 0},
		{"power-classes", powerTariff(), 5_000, 900_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := mustPlan(b, c.tariff, "Europe/Amsterdam")
			var s State
			out := make([]Charge, 0, 64)
			pt := Point{AtMs: benchStart, PowerMicroW: Unknown, CurrentNanoA: Unknown, State: StateCharging}
			p.Start(&s, pt, c.sliceMs)
			mwh := c.stepMs * 11_000 / 3_600
			b.ReportAllocs()
			reportCPU(b)
			for b.Loop() {
				pt.AtMs += c.stepMs
				pt.RegisterMwh += mwh
				out = p.Advance(&s, pt, nil, c.sliceMs, out[:0])
			}
		})
	}
}

// BenchmarkSession answers what a whole session of one hour costs: start, 60 readings, 15-minute slices, end.
func BenchmarkSession(b *testing.B) {
	p := mustPlan(b, simpleTariff(), "Europe/Amsterdam")
	out := make([]Charge, 0, 64)
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		var s State
		pt := Point{AtMs: benchStart, PowerMicroW: Unknown, CurrentNanoA: Unknown, State: StateCharging}
		p.Start(&s, pt, 900_000)
		out = out[:0]
		for range 60 {
			pt.AtMs += 60_000
			pt.RegisterMwh += 183_333
			out = p.Advance(&s, pt, nil, 900_000, out)
		}
		out, _ = p.Close(&s, out)
	}
}

// BenchmarkPriceNow answers what a running price costs.
func BenchmarkPriceNow(b *testing.B) {
	for _, tax := range []TaxIncluded{TaxIncludedNo, TaxIncludedYes} {
		name := map[TaxIncluded]string{TaxIncludedNo: "tax-excluded", TaxIncludedYes: "tax-included"}[tax]
		b.Run(name, func(b *testing.B) {
			t := hourlyTariff()
			t.TaxIncluded = tax
			p := mustPlan(b, t, "Europe/Amsterdam")
			var s State
			p.Start(&s, Point{AtMs: benchStart, State: StateCharging}, 0)
			p.Advance(&s, Point{AtMs: benchStart + 7_200_000, RegisterMwh: 20_000_000, State: StateCharging}, nil, 0, nil)
			b.ReportAllocs()
			reportCPU(b)
			for b.Loop() {
				p.PriceNow(&s)
			}
		})
	}
}

// BenchmarkState answers what a snapshot of one session costs.
func BenchmarkState(b *testing.B) {
	var s State
	mustPlan(b, simpleTariff(), "UTC").Start(&s, Point{AtMs: benchStart, State: StateCharging}, 0)
	buf := AppendState(nil, &s)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		buf = AppendState(buf[:0], &s)
		if _, err := DecodeState(buf, &s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadZone answers what a zone costs at the load of a book.
func BenchmarkLoadZone(b *testing.B) {
	for b.Loop() {
		if _, err := LoadZone("Europe/Amsterdam"); err != nil {
			b.Fatal(err)
		}
	}
}
