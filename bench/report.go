package bench

import (
	"fmt"
	"io"
	"time"
)

// WriteTable prints the result for people.
func (r *PipeResult) WriteTable(w io.Writer) {
	p := printer{w: w}
	what := map[string]string{"json": "one JSON reading", "ocpp201": "one TransactionEvent of OCPP 2.0.1", "packed": "up to 100 Protobuf readings", "arrow": "up to 100 Arrow readings"}[r.Format]
	if what == "" {
		what = "one Protobuf reading"
	}
	p.line("pipe: Apache Kafka -> rated -> ClickHouse, %s a message", what)
	p.line("  %s readings, %s of them duplicates; %s live sessions; %d partitions; %s rows", thousands(r.Readings), thousands(r.Duplicates),
		thousands(int64(r.ChargePoints)), r.Partitions, thousands(r.Rows))
	p.line("  %s; %d cores, %s, load %.1f when it began; %s, ClickHouse %s", r.Host.CPU, r.Host.Cores, r.Host.OS+"/"+r.Host.Arch, r.Host.Load,
		r.Versions["go"], r.Versions["clickhouse"])
	p.line("  %d warm-up, %d runs, %d sessions of the truth priced by the oracle, too", r.Warmups, len(r.Runs), r.SpotChecked)
	p.line("")
	p.line("%-34s %12s %12s %12s  %s", "", "min", "median", "max", "goal")
	n := float64(r.Readings)
	p.row(r, "engine CPU, ns a reading", fmt.Sprintf("<= %.0f", r.GoalNs), func(x *PipeRun) float64 { return x.NsPerReading })
	p.row(r, "  of it in the kernel", "", func(x *PipeRun) float64 { return float64(x.Engine.System) / n })
	p.row(r, "  of it garbage collection", "", func(x *PipeRun) float64 { return float64(x.Engine.CollectorCPU) / n })
	p.row(r, "readings a second", "", func(x *PipeRun) float64 { return x.ReadingsPerS })
	p.row(r, "peak memory, MB", "", func(x *PipeRun) float64 { return float64(x.Engine.PeakRSS) / 1e6 })
	p.row(r, "broker CPU, ns a reading", "", func(x *PipeRun) float64 { return per(x.BrokerCPU, n) })
	p.row(r, "store CPU, ns a reading", "", func(x *PipeRun) float64 { return per(x.StoreCPU, n) })
	p.row(r, "allocations a 1,000 readings", "", func(x *PipeRun) float64 { return float64(x.Engine.Mallocs) / n * 1000 })
	p.row(r, "allocated, bytes a reading", "", func(x *PipeRun) float64 { return float64(x.Engine.Allocated) / n })
	p.row(r, "snapshots", fmt.Sprintf(">= %d", r.Partitions), func(x *PipeRun) float64 { return float64(progressSum(x.Engine.Snapshots)) })
	p.row(r, "longest stall by a snapshot, ms", "<= 5", func(x *PipeRun) float64 { return x.Engine.StallMaxMs })
	p.row(r, "blocks", "", func(x *PipeRun) float64 { return float64(x.Engine.Blocks) })
	p.line("")
	if r.SumsEqual {
		p.line("Sums are equal in every run.")
	} else {
		p.line("SUMS DIFFER:")
		for _, c := range r.Runs[0].Checks {
			if c.Got != c.Want {
				p.line("  %s: %s in ClickHouse, %s true", c.Name, thousands(c.Got), thousands(c.Want))
			}
		}
	}
}

// per is a duration over n, NaN-free: -1 stands for not known.
func per(d time.Duration, n float64) float64 {
	if d < 0 {
		return -1
	}
	return float64(d) / n
}

// printer writes lines; what the writer refuses is lost, as with any output for people.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }

func (p printer) row(r *PipeResult, name, goal string, value func(*PipeRun) float64) {
	values := make([]float64, len(r.Runs))
	for i := range r.Runs {
		values[i] = value(&r.Runs[i])
	}
	low, mid, high := spread(values)
	p.line("%-34s %12s %12s %12s  %s", name, short(low), short(mid), short(high), goal)
}

// short is a number with a sensible count of digits; "-" for one that is not known.
func short(v float64) string {
	switch {
	case v < 0:
		return "-"
	case v >= 10_000:
		return thousands(int64(v + 0.5))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// thousands writes an integer with commas.
func thousands(v int64) string {
	s := fmt.Sprint(v)
	from := len(s) % 3
	if v < 0 {
		from = 1 + (len(s)-1)%3
	}
	for i := len(s) - 3; i >= max(from, 1) && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
