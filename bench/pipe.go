package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// PipeRun is one run.
type PipeRun struct {
	NsPerReading   float64       `json:"engine_cpu_ns_per_reading"`
	ReadingsPerS   float64       `json:"readings_per_s"` // delivered readings over the time from first fetch to last commit
	Engine         engineResult  `json:"engine"`
	BrokerCPU      time.Duration `json:"broker_cpu_ns"` // -1: not known; of the whole run, starting and stopping included
	StoreCPU       time.Duration `json:"store_cpu_ns"`
	CollectorShare float64       `json:"gc_share"` // of the engine's CPU
	Checks         []Check       `json:"checks"`
}

// PipeResult is a measurement. The figures of the first fields are those of the run with the median CPU, of memory and
// stalls the greatest of all runs.
type PipeResult struct {
	NsPerReading float64 `json:"engine_cpu_ns_per_reading"`
	ReadingsPerS float64 `json:"readings_per_s"`
	PeakRSS      int64   `json:"peak_rss_bytes"`
	SumsEqual    bool    `json:"sums_equal"`
	StallMaxMs   float64 `json:"snapshot_stall_max_ms"` // of all runs

	Readings       int64             `json:"readings"` // delivered, duplicates included
	Duplicates     int64             `json:"duplicates"`
	Sessions       int64             `json:"sessions"`
	Rows           int64             `json:"rows"`
	ChargePoints   int               `json:"charge_points"`
	Partitions     int32             `json:"partitions"`
	BatchRecords   int               `json:"batch_records"`
	Format         string            `json:"format"`
	SpotChecked    int               `json:"spot_checked"` // sessions of the truth priced by the oracle, too
	Warmups        int               `json:"warmups"`
	Runs           []PipeRun         `json:"runs"` // in order of CPU
	Profiled       bool              `json:"profiled"`
	GOGC           int               `json:"gogc"` // 0: the process's own
	Versions       map[string]string `json:"versions"`
	Host           Host              `json:"host"`
	LoadedIn       time.Duration     `json:"loaded_in_ns"`
	LoadedPerS     float64           `json:"loaded_per_s"`
	GoalNs         float64           `json:"goal_ns"`
	RatingVersion  int32             `json:"rating_version"`
	ReferenceBooks int               `json:"reference_records"`
}

// pipeGoalNs is what a reading may cost the engine at 100,000 live sessions.
const pipeGoalNs = 600

// RunPipe measures the pipe. An error that wraps ErrWrong comes with the result, for the run at fault.
func RunPipe(ctx context.Context, cfg PipeConfig) (res *PipeResult, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := makeProfileDir(cfg.ProfileDir); err != nil {
		return nil, err
	}
	n, untilMs, err := cfg.network()
	if err != nil {
		return nil, err
	}
	s, err := newStage(ctx, &cfg.Ends, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p := &pipe{cfg: &cfg, s: s, n: n, untilMs: untilMs}
	return p.run(ctx)
}

// pipe is RunPipe at work.
type pipe struct {
	cfg     *PipeConfig
	s       *stage
	n       *loadgen.Network
	untilMs int64
	client  *kafka.Client
	topics  topicSet
	truth   loadgen.Sums
	ends    []int64
}

func (p *pipe) run(ctx context.Context) (*PipeResult, error) {
	cfg := p.cfg
	res := p.result()
	var err error
	if p.client, err = kafka.New(kafka.Config{Brokers: []string{p.s.kafka}, Insecure: true}); err != nil {
		return nil, err
	}
	defer p.client.Close()
	cfg.note("asking the oracle for the truth")
	p.truth = p.n.Sums(p.untilMs, sliceMs)
	if res.SpotChecked, err = p.n.SpotCheck(p.untilMs, cfg.SpotChecks); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := p.load(ctx); err != nil {
		return nil, err
	}
	res.LoadedIn = time.Since(began)
	res.Readings, res.Duplicates = p.readings(), p.truth.Duplicates
	res.Sessions, res.Rows = p.truth.Sessions, p.truth.Rows
	res.LoadedPerS = float64(res.Readings) / res.LoadedIn.Seconds()
	for i := -cfg.Warmups; i < cfg.Runs; i++ {
		r, err := p.once(ctx, i)
		if err != nil {
			if r != nil {
				res.Runs, res.SumsEqual = []PipeRun{*r}, false
				return res, err
			}
			return nil, err
		}
		if i >= 0 {
			res.Runs = append(res.Runs, *r)
		}
	}
	slices.SortFunc(res.Runs, func(a, b PipeRun) int { return int(a.NsPerReading - b.NsPerReading) })
	median := &res.Runs[len(res.Runs)/2]
	res.NsPerReading, res.ReadingsPerS, res.SumsEqual = median.NsPerReading, median.ReadingsPerS, true
	for i := range res.Runs {
		res.PeakRSS = max(res.PeakRSS, res.Runs[i].Engine.PeakRSS)
		res.StallMaxMs = max(res.StallMaxMs, res.Runs[i].Engine.StallMaxMs)
	}
	return res, nil
}

// result is what is known before the first run.
func (p *pipe) result() *PipeResult {
	cfg := p.cfg
	res := &PipeResult{
		ChargePoints: cfg.ChargePoints, Partitions: cfg.Partitions, BatchRecords: cfg.BatchRecords, Format: cfg.Format, Warmups: cfg.Warmups,
		Profiled: cfg.ProfileDir != "", GOGC: cfg.GOGC, Host: describeHost(), GoalNs: pipeGoalNs, RatingVersion: rating.RatingVersion,
		ReferenceBooks: len(p.n.Tariffs()) + p.n.Sites() + 1,
		Versions:       map[string]string{"go": runtime.Version(), "clickhouse": p.s.storeVersion},
	}
	if p.s.kafkaVersion != "" {
		res.Versions["kafka"] = p.s.kafkaVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" || s.Key == "vcs.modified" || s.Key == "-pgo" {
				res.Versions[s.Key] = s.Value
			}
		}
	}
	return res
}

// readings is how many were loaded, duplicates included: what the network has. verify holds it to the topic.
func (p *pipe) readings() int64 { return p.truth.Readings + p.truth.Duplicates }

// format is that of the messages; Validate has looked.
func (c *PipeConfig) format() *format {
	f, _ := formatNamed(c.Format)
	return &f
}

// load fills the readings topic and the reference log.
func (p *pipe) load(ctx context.Context) error {
	p.topics.Readings, p.topics.Reference = p.s.topic("readings"), p.s.topic("reference")
	readings := kafka.ReadingsTopic(p.topics.Readings, p.cfg.Partitions)
	// The records have simulated times.
	readings.Configs = map[string]string{"retention.ms": "-1", "message.timestamp.after.max.ms": "9223372036854775807"}
	if _, err := p.client.EnsureTopics(ctx, []kafka.TopicSpec{readings, kafka.ReferenceTopic(p.topics.Reference)}); err != nil {
		return err
	}
	producer := p.client.Producer()
	p.cfg.note("publishing tariffs and locations")
	if err := loadReference(ctx, p.n, producer, p.topics.Reference); err != nil {
		return err
	}
	var err error
	p.ends, err = loadReadings(ctx, p.cfg, p.n, p.untilMs, producer, p.topics.Readings)
	return err
}

// once makes run i, from 0; a negative one warms up. A run that is wrong is returned with its error.
func (p *pipe) once(ctx context.Context, i int) (*PipeRun, error) {
	k := i + p.cfg.Warmups
	name := fmt.Sprintf("run %d of %d", i+1, p.cfg.Runs)
	if i < 0 {
		name = "warm-up"
	}
	topics := p.topics
	topics.State, topics.Rejects = p.s.topic(fmt.Sprintf("state-%d", k)), p.s.topic(fmt.Sprintf("rejects-%d", k))
	topics.CDRs, topics.Prices = p.s.topic(fmt.Sprintf("cdrs-%d", k)), p.s.topic(fmt.Sprintf("prices-%d", k))
	specs := topics.own(p.cfg.Partitions)
	if _, err := p.client.EnsureTopics(ctx, specs); err != nil {
		return nil, err
	}
	db := p.s.ch
	db.Database = p.s.database(k)
	if err := migrate(ctx, &db); err != nil {
		return nil, err
	}
	spec := engineSpec{
		Kafka: p.s.kafka, ClickHouse: db, Topics: topics, Group: fmt.Sprintf("wattline.bench.%s.%d", p.s.id, k),
		Ends: p.ends, GOGC: p.cfg.GOGC, Format: p.cfg.Format,
	}
	if p.cfg.ProfileDir != "" && i >= 0 {
		spec.Profile = filepath.Join(p.cfg.ProfileDir, fmt.Sprintf("engine-%d.pprof", i+1))
	}
	broker, store := p.s.cpu()
	r, err := p.engine(ctx, name, &spec)
	if err != nil {
		return nil, err
	}
	afterBroker, afterStore := p.s.cpu()
	r.BrokerCPU, r.StoreCPU = difference(broker, afterBroker), difference(store, afterStore)
	conn, err := p.s.ch.connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if r.Checks, err = verify(ctx, conn, db.Database, &p.truth, p.ends, p.cfg.format()); err != nil {
		return nil, err
	}
	if err := wrong(r.Checks); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// engine runs an engine process to its end.
func (p *pipe) engine(ctx context.Context, name string, spec *engineSpec) (*PipeRun, error) {
	total := p.readings()
	c, err := startChild(ctx, p.cfg.Self, roleEngine, spec)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var line engineLine
	for line.Result == nil {
		if err := c.next(&line); err != nil {
			return nil, err
		}
		p.cfg.say(name+": rating", "readings", line.Rated, total, began)
	}
	if err := c.stop(); err != nil {
		return nil, err
	}
	e := *line.Result
	r := &PipeRun{Engine: e}
	cpu := float64(e.User + e.System)
	r.NsPerReading, r.ReadingsPerS = cpu/float64(total), float64(total)/e.Wall.Seconds()
	r.CollectorShare = float64(e.CollectorCPU) / cpu
	return r, nil
}

func migrate(ctx context.Context, db *chAddr) error {
	store, err := clickhouse.Open(ctx, db.config())
	if err != nil {
		return err
	}
	return errors.Join(store.Migrate(ctx, nil), store.Close())
}

// difference is b - a, or -1 where one is not known.
func difference(a, b time.Duration) time.Duration {
	if a < 0 || b < 0 {
		return -1
	}
	return b - a
}
