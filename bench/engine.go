package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/rating/ocpi"
)

// engineSpec is what the engine's process is told.
type engineSpec struct {
	Kafka      string   `json:"kafka"` // host:port
	ClickHouse chAddr   `json:"clickhouse"`
	Topics     topicSet `json:"topics"`
	Group      string   `json:"group"`
	// Ends are the offsets by partition at which everything is rated.
	Ends    []int64 `json:"ends"`
	GOGC    int     `json:"gogc"`    // 0: as it is
	Profile string  `json:"profile"` // file for a CPU profile; "": none
	Format  string  `json:"format"`  // of the readings; "": Protobuf
}

// chAddr is where a database is.
type chAddr struct {
	Addr     string `json:"addr"`
	User     string `json:"user"`
	Password string `json:"password"`
	Database string `json:"database"`
}

func (a *chAddr) config() clickhouse.Config {
	return clickhouse.Config{Addrs: []string{a.Addr}, User: a.User, Password: secret.New(a.Password), Database: a.Database}
}

// topicSet names the topics of a run.
type topicSet struct {
	Readings  string `json:"readings"`
	Reference string `json:"reference"`
	State     string `json:"state"`
	Rejects   string `json:"rejects"`
	CDRs      string `json:"cdrs"`
	Prices    string `json:"prices"`
}

// own are the topics that a run has for itself.
func (t *topicSet) own(partitions int32) []kafka.TopicSpec {
	return []kafka.TopicSpec{
		kafka.StateTopic(t.State, partitions), kafka.RejectsTopic(t.Rejects, 1), kafka.CDRsTopic(t.CDRs, partitions), kafka.PricesTopic(t.Prices, partitions),
	}
}

// engineLine is a line of the engine's process: how far it is, and once, at the end, the result.
type engineLine struct {
	Rated  int64         `json:"rated"`
	Result *engineResult `json:"result,omitempty"`
}

// engineResult is what a run cost the engine's process, from the first fetch to the last commit.
type engineResult struct {
	User          time.Duration `json:"user_ns"`
	System        time.Duration `json:"system_ns"`
	Wall          time.Duration `json:"wall_ns"`
	PeakRSS       int64         `json:"peak_rss_bytes"` // of the process's whole life, the reference log's reading included
	Mallocs       uint64        `json:"mallocs"`
	Allocated     uint64        `json:"allocated_bytes"`
	Collections   uint32        `json:"gc_cycles"`
	CollectorCPU  time.Duration `json:"gc_cpu_ns"`
	Commits       int64         `json:"commits"`
	Snapshots     []int64       `json:"snapshots"` // by partition, in the measured time
	SnapshotBytes int64         `json:"snapshot_bytes"`
	Blocks        int64         `json:"blocks"`
	RateNs        int64         `json:"rate_ns"` // time that the shards spent rating, waiting for a core included
	// Stopped: the readings were too few for a snapshot of every partition, so the clean stop, which makes them, is
	// in the figures.
	Stopped     bool          `json:"stopped"`
	StallMaxMs  float64       `json:"snapshot_stall_max_ms"` // the longest time in which a shard rated nothing for the sake of a snapshot
	StopCPU     time.Duration `json:"stop_cpu_ns"`           // of the clean stop after it, not in User and System unless Stopped
	PrepareCPU  time.Duration `json:"prepare_cpu_ns"`        // before the first fetch: reference log, joining
	Preemptions int64         `json:"preemptions"`           // by other work on the machine
	GoMaxProcs  int           `json:"gomaxprocs"`
}

// engineChild runs one engine over what is in its topic.
func engineChild(ctx context.Context, in *json.Decoder, out *json.Encoder) error {
	var spec engineSpec
	if err := in.Decode(&spec); err != nil {
		return fmt.Errorf("read the engine's orders: %w", err)
	}
	ctx, cancel := untilEOF(ctx, in)
	defer cancel()
	if spec.GOGC > 0 {
		debug.SetGCPercent(spec.GOGC)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ends, err := connectEngine(ctx, &spec, kafka.GroupConfig{ID: spec.Group, InstanceID: spec.Group}, logger)
	if err != nil {
		return err
	}
	defer ends.close()
	m := newMeter(&spec, ends.group)
	e, err := ends.engine(&spec, engine.Config{EngineID: spec.Group}, engine.Ends{Source: m, Committer: m, Logs: ends.client, Logger: logger})
	if err != nil {
		return err
	}
	return m.watch(ctx, e, out)
}

// engineEnds are the real ends of an engine's process.
type engineEnds struct {
	client *kafka.Client
	store  *clickhouse.Store
	group  *kafka.Group
}

// connectEngine connects to Kafka and ClickHouse and joins a group, whose topics spec names. The caller closes the ends.
func connectEngine(ctx context.Context, spec *engineSpec, group kafka.GroupConfig, logger *slog.Logger) (ends *engineEnds, err error) {
	ends = &engineEnds{}
	defer func() {
		if err != nil {
			ends.close()
			ends = nil
		}
	}()
	group.Topics = []string{spec.Topics.Readings}
	ends.client, err = kafka.New(kafka.Config{
		Brokers: []string{spec.Kafka}, Insecure: true, Logger: logger, Produce: kafka.ProduceConfig{Compression: kafka.CompressionLZ4}, // as `wattline run`
		Group: group,
	})
	if err != nil {
		return ends, err
	}
	if ends.store, err = clickhouse.Open(ctx, spec.ClickHouse.config()); err != nil {
		return ends, err
	}
	ends.group, err = ends.client.Join(ctx)
	return ends, err
}

// close closes what is open. What fails to close is of a process that ends.
func (x *engineEnds) close() {
	if x.group != nil {
		_ = x.group.Close()
	}
	if x.store != nil {
		_ = x.store.Close()
	}
	if x.client != nil {
		_ = x.client.Close()
	}
}

// engine makes the engine of spec. Source, Committer, Logs, Membership and Logger are the caller's.
func (x *engineEnds) engine(spec *engineSpec, cfg engine.Config, ends engine.Ends) (*engine.Engine, error) {
	cfg.ReferenceTopic, cfg.StateTopic, cfg.RejectsTopic = spec.Topics.Reference, spec.Topics.State, spec.Topics.Rejects
	cfg.CDRsTopic, cfg.PricesTopic, cfg.NoPrices = spec.Topics.CDRs, spec.Topics.Prices, true // docs/BENCHMARKS.md: a message a reading, else
	ends.Producer, ends.Sink, ends.Ledger, ends.Clock = x.client.Producer(), x.store, x.store, engine.SystemClock{}
	f, ok := formatNamed(spec.Format)
	if !ok {
		return nil, fmt.Errorf("there is no format %q", spec.Format)
	}
	ends.Decoders, ends.Reference, ends.Installation = f.decoders(), reference.Decode, installation
	return engine.New(cfg, ends)
}

func installation() (engine.Message, error) {
	r := ocpi.Reference{Kind: ocpi.ReferenceInstallation, By: "wattline bench", AtMs: time.Now().UnixMilli()}
	rand.Read(r.HashKey[:]) // never fails
	key, value, err := ocpi.AppendReference(nil, nil, &r)
	return engine.Message{Key: key, Value: value, TimestampMs: r.AtMs}, err
}

// meter stands between the engine and its group: it sees the first fetch begin and every commit.
type meter struct {
	*kafka.Group
	spec *engineSpec

	mu        sync.Mutex
	open      bool // the first fetch has begun
	start     usage
	end       usage
	profile   *os.File
	committed []int64  // by partition
	snapshot  []uint64 // by partition, the newest one that a commit names
	snapshots []int64
	bytes     int64
	commits   int64
	err       error
	rated     chan struct{} // closed when all offsets are committed
	whole     chan struct{} // closed when each partition has a snapshot, too: end is valid
}

var (
	_ engine.Source    = (*meter)(nil)
	_ engine.Committer = (*meter)(nil)
)

func newMeter(spec *engineSpec, g *kafka.Group) *meter {
	n := len(spec.Ends)
	return &meter{
		Group: g, spec: spec, committed: make([]int64, n), snapshot: make([]uint64, n), snapshots: make([]int64, n),
		rated: make(chan struct{}), whole: make(chan struct{}),
	}
}

// Open implements engine.Source: the first one begins the measurement.
func (m *meter) Open(p engine.Partition, from int64) (engine.Feed, error) {
	if err := m.begin(); err != nil {
		return nil, err
	}
	return m.Group.Open(p, from)
}

func (m *meter) begin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open {
		return m.err
	}
	m.open = true
	if m.spec.Profile != "" {
		f, err := os.Create(m.spec.Profile)
		if err == nil {
			m.profile, err = f, pprof.StartCPUProfile(f)
		}
		if err != nil {
			m.err = fmt.Errorf("CPU profile: %w", err)
			return m.err
		}
	}
	m.start = takeUsage()
	return nil
}

// Commit implements engine.Committer: the last one ends the measurement.
func (m *meter) Commit(ctx context.Context, p engine.Partition, c engine.Commit) error {
	if err := m.Group.Commit(ctx, p, c); err != nil {
		return err
	}
	meta, err := engine.ParseMetadata(c.Metadata)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if closed(m.whole) {
		return nil
	}
	m.commits++
	m.committed[p.Number] = c.Offset
	if s := meta.Snapshot; s.Count > 0 && s.ID != m.snapshot[p.Number] {
		m.snapshot[p.Number] = s.ID
		m.snapshots[p.Number]++
		m.bytes += s.Bytes
	}
	all, snapped := true, true
	for i, end := range m.spec.Ends {
		all = all && m.committed[i] >= end
		snapped = snapped && (m.snapshots[i] > 0 || end == 0)
	}
	if all && !closed(m.rated) {
		close(m.rated)
	}
	if all && snapped {
		m.end = takeUsage()
		close(m.whole)
	}
	return nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// watch runs the engine until all is committed, tells how far it is meanwhile, and what it cost at the end.
func (m *meter) watch(ctx context.Context, e *engine.Engine, out *json.Encoder) error {
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(run) }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	rated := m.rated
	var res engineResult
	for rated != nil {
		select {
		case err := <-ended:
			return errors.Join(errors.New("the engine ended before everything was committed"), err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), <-ended)
		case <-rated:
			rated = nil
		case <-tick.C:
			line, halted := progress(e)
			if halted != nil {
				return halted
			}
			if err := out.Encode(line); err != nil {
				return err
			}
		}
	}
	for _, st := range e.Stats() {
		res.RateNs += st.RateNs
		res.Blocks += st.Blocks
		res.StallMaxMs = max(res.StallMaxMs, float64(st.StallMaxNs)/1e6)
	}
	res.Stopped = !closed(m.whole)
	if !res.Stopped {
		if err := m.endProfile(); err != nil {
			return err
		}
	}
	stop()
	if err := <-ended; err != nil {
		return err
	}
	if !closed(m.whole) {
		return errors.New("the engine stopped without a snapshot of every partition")
	}
	m.fill(&res)
	if err := m.endProfile(); err != nil {
		return err
	}
	return out.Encode(engineLine{Rated: progressSum(m.committed), Result: &res})
}

func (m *meter) fill(r *engineResult) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := takeUsage()
	a, b := &m.start, &m.end
	r.User, r.System, r.Wall = b.user-a.user, b.system-a.system, b.at.Sub(a.at)
	r.PeakRSS, r.Mallocs, r.Allocated = b.peakRSS, b.mallocs-a.mallocs, b.allocated-a.allocated
	r.Collections, r.CollectorCPU = b.collections-a.collections, b.collectorCPU-a.collectorCPU
	r.Preemptions = b.preemptions - a.preemptions
	r.Commits, r.Snapshots, r.SnapshotBytes = m.commits, m.snapshots, m.bytes
	r.StopCPU, r.PrepareCPU = now.cpu()-b.cpu(), a.cpu()
	r.GoMaxProcs = runtime.GOMAXPROCS(0)
}

func (m *meter) endProfile() error {
	f := m.profile
	if m.profile = nil; f == nil {
		return nil
	}
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		return fmt.Errorf("CPU profile: %w", err)
	}
	return nil
}

// progress is how far the engine is; an error when a partition stands still for good.
func progress(e *engine.Engine) (engineLine, error) {
	var line engineLine
	for _, st := range e.Stats() {
		if st.Halted != "" {
			return line, errors.New(st.Halted)
		}
		line.Rated += st.Readings
	}
	return line, nil
}

func progressSum(offsets []int64) (sum int64) {
	for _, o := range offsets {
		sum += o
	}
	return sum
}
