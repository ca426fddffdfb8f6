package verify

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/wattline/wattline/engine"
)

// Config is what a run can be told. The zero value of a field means its default.
type Config struct {
	// Engine has SliceMs and SessionTimeoutMs as the engines had them: other ones make other rows.
	Engine engine.Config
	// Sample is how many sessions of each partition are priced again, chosen by a hash of their id. Default 1,000;
	// more costs about 0.2 ms of one core each. All prices every one.
	Sample int
	All    bool
	// Seed chooses the sample. The same seed chooses the same sessions.
	Seed uint64
	// Topic and Partition restrict the run. Defaults "" and nil: all that the ledger knows.
	Topic     string
	Partition *int32
	// Database is named in the SQL of findings. Default wattline.
	Database string
	// Patience is how long a block that has rows but no row of its own may take to get it, asked while engines
	// work. Default 15 s.
	Patience time.Duration
	// Workers price sessions. Default: the number of cores.
	Workers int
	// List is how many findings of a check and partition are told word by word; all are counted. Default 100.
	List int
	// Progress is told now and then where the run is, from one goroutine. Default: nobody is.
	Progress func(Progress)
}

// Progress is where a run is.
type Progress struct {
	Partition engine.Partition
	Step      string // what is being done
	Part, Of  int    // of the partitions
	Done, All int64  // of the step, in messages; All 0: not known
}

func (c Config) withDefaults() Config {
	if c.Sample == 0 {
		c.Sample = 1000
	}
	if c.Database == "" {
		c.Database = "wattline"
	}
	if c.Patience == 0 {
		c.Patience = 15 * time.Second
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.List == 0 {
		c.List = 100
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return c
}

// run is one run.
type run struct {
	cfg    Config
	ends   Ends
	ref    *engine.Reference
	report *Report
	kept   map[string]int
	part   int
	of     int
}

// Run asks everything and returns what it found. An error is not a finding: something could not be asked.
func Run(ctx context.Context, cfg Config, ends Ends) (*Report, error) {
	cfg = cfg.withDefaults()
	v := &run{
		cfg: cfg, ends: ends, ref: engine.NewReference(ends.Reference), kept: map[string]int{},
		report: &Report{Seed: cfg.Seed, Skipped: map[string]int64{}, Found: map[Check]int64{}, Findings: []Finding{}},
	}
	partitions, err := ends.Blocks.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	var chosen []engine.Partition
	for _, p := range partitions {
		if (cfg.Topic == "" || cfg.Topic == p.Topic) && (cfg.Partition == nil || *cfg.Partition == p.Number) {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 0 && len(partitions) > 0 {
		return nil, fmt.Errorf("none of the ledger's %d partitions is topic %q partition %v", len(partitions), cfg.Topic, numberText(cfg.Partition))
	}
	if len(chosen) > 0 {
		if err := v.ref.Follow(ctx, ends.Topic, cfg.Engine.WithDefaults().ReferenceTopic); err != nil {
			return nil, err
		}
	}
	v.of = len(chosen)
	for i, p := range chosen {
		v.part = i + 1
		v.report.Partitions++
		if err := v.partition(ctx, p); err != nil {
			return nil, fmt.Errorf("verify %s: %w", p, err)
		}
	}
	return v.report, v.projections(ctx)
}

func numberText(n *int32) string {
	if n == nil {
		return "any"
	}
	return fmt.Sprint(*n)
}

func (v *run) projections(ctx context.Context) error {
	v.cfg.Progress(Progress{Step: "projections", Part: v.of, Of: v.of})
	equal, detail, err := v.ends.Rows.ProjectionsEqual(ctx)
	if err != nil {
		return err
	}
	if !equal {
		v.found(CheckProjection, engine.Partition{}, -1, "", detail, "the sums of the rows",
			"SELECT name FROM system.projections WHERE table = 'charges'; ALTER TABLE "+v.cfg.Database+".charges MATERIALIZE PROJECTION name mends one")
	}
	return nil
}

// partition proves one partition.
func (v *run) partition(ctx context.Context, p engine.Partition) error {
	b := &blockChecks{run: v, p: p}
	v.step(p, "blocks", 0, 0)
	if err := b.read(ctx); err != nil {
		return err
	}
	start, end, committed, err := v.ends.Topic.Bounds(ctx, p)
	if err != nil {
		return fmt.Errorf("ask where the log begins and ends: %w", err)
	}
	if len(b.blocks) == 0 {
		return b.none(ctx, committed)
	}
	b.tile(start, end, committed)
	v.step(p, "sums", 0, 0)
	if err := b.sums(ctx); err != nil {
		return err
	}
	v.step(p, "doubled rows", 0, 0)
	if err := b.doubled(ctx); err != nil {
		return err
	}
	s := &sessionChecks{blockChecks: b, start: start, pricer: &pricer{tariff: v.ref.Tariff, zones: map[string]*time.Location{}}}
	v.step(p, "sessions", 0, 0)
	if err := s.read(ctx); err != nil {
		return err
	}
	return s.replay(ctx)
}

func (v *run) step(p engine.Partition, what string, done, all int64) {
	v.cfg.Progress(Progress{Partition: p, Step: what, Part: v.part, Of: v.of, Done: done, All: all})
}
