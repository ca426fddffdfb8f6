package bench

import (
	"fmt"
	"io"
)

// WriteTable prints the result for people.
func (r *RecoverResult) WriteTable(w io.Writer) {
	p := printer{w: w}
	what := "the same engine starts again at once"
	if r.Takeover {
		what = "another engine takes over"
	}
	p.line("recover: kill -9 of the engine, %s", what)
	p.line("  %s live sessions, %s readings a second by wall clock; %d partitions; %s readings in all", thousands(int64(r.Sessions)),
		thousands(r.ReadingsPerS), r.Partitions, thousands(r.Readings))
	p.line("  %s; %d cores, %s, load %.1f when it began; %s, ClickHouse %s", r.Host.CPU, r.Host.Cores, r.Host.OS+"/"+r.Host.Arch, r.Host.Load,
		r.Versions["go"], r.Versions["clickhouse"])
	if r.StoreNice != 0 {
		p.line("  the store has a nice value of %d: where both want a core the engine goes first, as if each had a machine", r.StoreNice)
	}
	p.line("  %d kills; the load was at most %d ms late", len(r.Runs), r.LoadBehindMs)
	p.line("")
	p.line("%-42s %10s %10s %10s  %s", "ms from the kill", "min", "median", "max", "goal")
	row := func(name, goal string, value func(*RecoverRun) float64) {
		values := make([]float64, len(r.Runs))
		for i := range r.Runs {
			values[i] = value(&r.Runs[i])
		}
		low, mid, high := spread(values)
		p.line("%-42s %10s %10s %10s  %s", name, short(low), short(mid), short(high), goal)
	}
	goal := fmt.Sprintf("< %.0f", r.GoalMs)
	waited := func(x *RecoverRun) float64 { return x.StartMs + x.ReferenceMs + x.JoinMs }
	if r.Takeover {
		row("until every partition is < 1 s behind", "", func(x *RecoverRun) float64 { return x.TotalMs })
		row(fmt.Sprintf("  wait for the group (session time-out %d s)", r.SessionTimeMs/1000), "", waited)
		row("  from there on", goal, func(x *RecoverRun) float64 { return x.TotalMs - waited(x) })
	} else {
		row("until every partition is < 1 s behind", goal, func(x *RecoverRun) float64 { return x.TotalMs })
	}
	row("  process starts", "", func(x *RecoverRun) float64 { return x.StartMs })
	row("  connect, read the reference log", "", func(x *RecoverRun) float64 { return x.ReferenceMs })
	row("  join the group", "", func(x *RecoverRun) float64 { return x.JoinMs })
	row("  load snapshots", "", func(x *RecoverRun) float64 { return x.LoadMs })
	row("  replay to the committed offsets", "", func(x *RecoverRun) float64 { return x.ReplayMs })
	row("  catch up", "", func(x *RecoverRun) float64 { return x.CatchUpMs })
	row("peak memory until then, MB", "", func(x *RecoverRun) float64 { return float64(x.PeakRSS) / 1e6 })
	p.line("")
	p.line("Longest time in which a shard rated nothing for the sake of a snapshot: %.1f ms (goal <= 5).", r.StallMaxMs)
	if r.SumsEqual {
		p.line("Sums and live sessions are equal to the truth.")
		return
	}
	p.line("SUMS DIFFER:")
	for _, c := range r.Checks {
		if c.Got != c.Want {
			p.line("  %s: %s found, %s true", c.Name, thousands(c.Got), thousands(c.Want))
		}
	}
}
