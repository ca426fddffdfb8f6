package verify

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
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
	// Topic and Partition restrict the run. Defaults "" and nil: all that the ledger knows
	// and all of the topics that the engines read.
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
	known  []engine.Partition // that have a row in the ledger
	part   int
	of     int
}

// Run asks everything and returns what it found. An error is not a finding: something could not be asked.
func Run(ctx context.Context, cfg Config, ends Ends) (*Report, error) {
	cfg = cfg.withDefaults()
	v := &run{
		cfg: cfg, ends: ends, ref: engine.NewReference(ends.Reference, ends.Tokens), kept: map[string]int{},
		report: &Report{Seed: cfg.Seed, Skipped: map[string]int64{}, Found: map[Check]int64{}, Findings: []Finding{}},
	}
	var err error
	if v.known, err = ends.Blocks.Partitions(ctx); err != nil {
		return nil, err
	}
	chosen, err := v.choose(ctx)
	if err != nil {
		return nil, err
	}
	if len(v.known) > 0 {
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

// choose lists the partitions to prove: those of the ledger, and those of the topics that the engines read, of which
// it may have lost all.
func (v *run) choose(ctx context.Context) ([]engine.Partition, error) {
	read, err := v.ends.Topic.Partitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the partitions of the topics: %w", err)
	}
	all := slices.Concat(v.known, read)
	slices.SortFunc(all, func(a, b engine.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
	})
	all = slices.Compact(all)
	topic, number := v.cfg.Topic, v.cfg.Partition
	var ofTopic, chosen []engine.Partition
	for _, p := range all {
		if topic == "" || topic == p.Topic {
			ofTopic = append(ofTopic, p)
			if number == nil || *number == p.Number {
				chosen = append(chosen, p)
			}
		}
	}
	switch {
	case len(chosen) > 0 || topic == "" && number == nil:
		return chosen, nil
	case topic != "" && len(ofTopic) == 0:
		return nil, fmt.Errorf("topic %s is not in kafka.readings, and the ledger has no row of it", topic)
	case topic != "":
		return nil, fmt.Errorf("topic %s has no partition %d, only %d to %d", topic, *number, ofTopic[0].Number, ofTopic[len(ofTopic)-1].Number)
	default:
		return nil, fmt.Errorf("no topic of kafka.readings or the ledger has a partition %d", *number)
	}
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
	if len(b.blocks) == 0 && committed >= 0 {
		// An engine at work may have stored and committed its first block between the two questions.
		if err := b.read(ctx); err != nil {
			return err
		}
		if start, end, committed, err = v.ends.Topic.Bounds(ctx, p); err != nil {
			return fmt.Errorf("ask where the log begins and ends: %w", err)
		}
	}
	if len(b.blocks) == 0 {
		return b.none(ctx, committed, slices.Contains(v.known, p))
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
