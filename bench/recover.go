package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/loadgen"
)

// RecoverConfig is a measurement of kill -9. DefaultRecover gives the one that figures are quoted of.
type RecoverConfig struct {
	Ends
	// Sessions is how many are live at any time, one a charge point, each with a reading every 5 s. All of the load
	// is sent by wall clock, whatever becomes of the engine.
	Sessions int
	// Partitions of the readings topic.
	Partitions int32
	// Runs is how many kills are made.
	Runs int
	// Takeover has an engine of another instance id go on after each kill. Else the same one starts again.
	Takeover bool
	// SessionTimeout is after how long the group gives away the partitions of an engine that is silent.
	SessionTimeout time.Duration
	// Settle is how long an engine runs, at least, from the end of a recovery to the next kill.
	Settle time.Duration
	// SnapshotReplay is the engine's. Default 0: its own default.
	SnapshotReplay time.Duration
	// GCPercent is the engine's garbage collection target, percent. Default: that of the program.
	GCPercent int
	// ProfileDir gets recover-N.pprof, a CPU profile of each life from its beginning to its next snapshots. Default
	// "": none.
	ProfileDir string
}

// DefaultRecover is the workload of the figures: 1 M sessions, 200,000 readings a second.
func DefaultRecover() RecoverConfig {
	return RecoverConfig{
		Ends:     Ends{StoreNice: 10},
		Sessions: 1_000_000, Partitions: 16, Runs: 5, SessionTimeout: 30 * time.Second, Settle: 15 * time.Second,
		GCPercent: 300, // cmd/wattline
	}
}

// Validate joins all faults of the Config, each with the name of its field.
func (c *RecoverConfig) Validate() error {
	faults := []error{c.validate()}
	hold := func(field string, value, low, high int64) {
		if value < low || value > high {
			faults = append(faults, fmt.Errorf("bench.%s: %d is not in %d..%d", field, value, low, high))
		}
	}
	hold("Sessions", int64(c.Sessions), 100, 10_000_000)
	hold("Partitions", int64(c.Partitions), 1, 1_000)
	hold("Runs", int64(c.Runs), 1, 1_000)
	hold("SessionTimeout", int64(c.SessionTimeout), int64(6*time.Second), int64(30*time.Minute)) // below it Kafka refuses
	hold("Settle", int64(c.Settle), 0, int64(time.Hour))
	hold("GCPercent", int64(c.GCPercent), 0, 10_000)
	return errors.Join(faults...)
}

// RecoverRun is one kill and what came after it, all times since the kill but Lag.
type RecoverRun struct {
	TotalMs     float64 `json:"total_ms"`       // until no partition was more than a second behind
	StartMs     float64 `json:"start_ms"`       // until the new process ran
	ReferenceMs float64 `json:"reference_ms"`   // from there: connect, read the reference log
	JoinMs      float64 `json:"join_ms"`        // from there: until the group gave all partitions
	LoadMs      float64 `json:"load_ms"`        // from there: until the last partition's snapshot was restored
	ReplayMs    float64 `json:"replay_ms"`      // from there: until the last partition was at its committed offset
	CatchUpMs   float64 `json:"catch_up_ms"`    // from there: until no partition was more than a second behind
	PeakRSS     int64   `json:"peak_rss_bytes"` // of the new process, until then
	Fallbacks   int64   `json:"fallbacks"`      // partitions whose newest snapshot could not be used
}

// RecoverResult is a measurement.
type RecoverResult struct {
	MedianMs      float64           `json:"recovery_ms"` // of the runs' totals; for a takeover the wait for the group is in it
	MinMs         float64           `json:"recovery_min_ms"`
	MaxMs         float64           `json:"recovery_max_ms"`
	StallMaxMs    float64           `json:"snapshot_stall_max_ms"` // the longest time in which a shard rated nothing for the sake of a snapshot
	LoadBehindMs  int64             `json:"load_behind_ms"`        // how late the load was at most: the machine was too busy
	SumsEqual     bool              `json:"sums_equal"`
	Takeover      bool              `json:"takeover"`
	SessionTimeMs int64             `json:"session_timeout_ms"`
	StoreNice     int               `json:"store_nice"`
	Sessions      int               `json:"sessions"`
	Partitions    int32             `json:"partitions"`
	ReadingsPerS  int64             `json:"readings_per_s"`
	Readings      int64             `json:"readings"` // in all, duplicates included
	GCPercent     int               `json:"gc_percent"`
	Runs          []RecoverRun      `json:"runs"`
	Checks        []Check           `json:"checks"`
	Versions      map[string]string `json:"versions"`
	Host          Host              `json:"host"`
	GoalMs        float64           `json:"goal_ms"`
}

// recoverGoalMs is how long a million sessions may be away.
const recoverGoalMs = 5_000

// RunRecover measures. An error that wraps ErrWrong comes with the result.
func RunRecover(ctx context.Context, cfg RecoverConfig) (res *RecoverResult, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := makeProfileDir(cfg.ProfileDir); err != nil {
		return nil, err
	}
	nc := loadgen.Bench()
	nc.ChargePoints, nc.Partitions = cfg.Sessions, cfg.Partitions
	n, err := loadgen.New(nc)
	if err != nil {
		return nil, err
	}
	s, err := newStage(ctx, &cfg.Ends, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	k := &killer{cfg: &cfg, s: s, n: n}
	return k.run(ctx)
}

// killer is RunRecover at work.
type killer struct {
	cfg    *RecoverConfig
	s      *stage
	n      *loadgen.Network
	client *kafka.Client
	spec   lifeSpec
	lives  int
	stall  int64
	load   *liveLoad
}

func (k *killer) run(ctx context.Context) (*RecoverResult, error) {
	cfg := k.cfg
	res := &RecoverResult{
		Takeover: cfg.Takeover, SessionTimeMs: cfg.SessionTimeout.Milliseconds(), StoreNice: cfg.StoreNice, Sessions: cfg.Sessions, Partitions: cfg.Partitions,
		ReadingsPerS: int64(cfg.Sessions) * 1000 / k.n.Config().ChargingEveryMs, GCPercent: cfg.GCPercent, Host: describeHost(), GoalMs: recoverGoalMs,
		Versions: map[string]string{"go": runtime.Version(), "clickhouse": k.s.storeVersion, "kafka": k.s.kafkaVersion},
	}
	var err error
	if k.client, err = kafka.New(kafka.Config{Brokers: []string{k.s.kafka}, Insecure: true}); err != nil {
		return nil, err
	}
	defer k.client.Close()
	if err := k.prepare(ctx); err != nil {
		return nil, err
	}
	life, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { life.end() }()
	k.load = startLoad(ctx, k)
	defer func() { _, _ = k.load.stop() }() // after an error; else finish has asked
	if _, err := k.caughtUp(ctx, life, "rating the first readings"); err != nil {
		return nil, err
	}
	for i := range cfg.Runs {
		if err := k.settle(ctx, life, i); err != nil {
			return nil, err
		}
		life.end()
		killed := time.Now()
		next, err := k.begin(ctx)
		if err != nil {
			return nil, err
		}
		life = next
		line, err := k.caughtUp(ctx, life, fmt.Sprintf("kill %d of %d: recovering", i+1, cfg.Runs))
		if err != nil {
			return nil, err
		}
		res.Runs = append(res.Runs, phases(killed, line))
	}
	return k.finish(ctx, life, res)
}

// phases cuts the time between a kill and a line into pieces.
func phases(killed time.Time, line *lifeLine) RecoverRun {
	last := killed.UnixNano()
	piece := func(at int64) float64 {
		if at < last {
			return 0 // done beside what came before it
		}
		d := at - last
		last = at
		return float64(d) / 1e6
	}
	m := &line.Milestones
	r := RecoverRun{PeakRSS: line.PeakRSS, Fallbacks: line.Fallbacks, TotalMs: float64(line.AtNs-killed.UnixNano()) / 1e6}
	r.StartMs, r.ReferenceMs, r.JoinMs = piece(m.Began), piece(m.Reference), piece(m.Assigned)
	r.LoadMs, r.ReplayMs, r.CatchUpMs = piece(m.Loaded), piece(m.Recovered), piece(line.AtNs)
	return r
}

// prepare makes topics and database, and loads the reference log and the beginning of every session.
func (k *killer) prepare(ctx context.Context) error {
	cfg, s := k.cfg, k.s
	t := topicSet{
		Readings: s.topic("readings"), Reference: s.topic("reference"), State: s.topic("state"), Rejects: s.topic("rejects"),
		CDRs: s.topic("cdrs"), Prices: s.topic("prices"),
	}
	readings := kafka.ReadingsTopic(t.Readings, cfg.Partitions)
	readings.Configs = map[string]string{"retention.ms": "-1", "message.timestamp.after.max.ms": "9223372036854775807"} // simulated times
	specs := append([]kafka.TopicSpec{readings, kafka.ReferenceTopic(t.Reference)}, t.own(cfg.Partitions)...)
	if _, err := k.client.EnsureTopics(ctx, specs); err != nil {
		return err
	}
	db := s.ch
	db.Database = s.database(0)
	if err := migrate(ctx, &db); err != nil {
		return err
	}
	cfg.note("publishing tariffs and locations")
	producer := k.client.Producer()
	if err := loadReference(ctx, k.n, producer, t.Reference); err != nil {
		return err
	}
	pipe := PipeConfig{Ends: cfg.Ends, Readings: int64(cfg.Sessions), Partitions: cfg.Partitions, BatchRecords: loadBatch}
	ends, err := loadReadings(ctx, &pipe, k.n, k.liveMs(), producer, t.Readings)
	if err != nil {
		return err
	}
	k.spec = lifeSpec{
		Engine:         engineSpec{Kafka: s.kafka, ClickHouse: db, Topics: t, Group: "wattline.bench." + s.id, Ends: ends},
		SessionTimeout: cfg.SessionTimeout, SnapshotReplay: cfg.SnapshotReplay, GCPercent: cfg.GCPercent,
	}
	return nil
}

// liveMs is the simulated time from which on it passes as fast as ours: all sessions have begun.
func (k *killer) liveMs() int64 { return k.n.Config().EpochMs + k.n.Config().ChargingEveryMs }

// begin starts an engine's process.
func (k *killer) begin(ctx context.Context) (*life, error) {
	spec := k.spec
	spec.Instance = spec.Engine.Group
	if k.cfg.Takeover {
		spec.Instance = fmt.Sprintf("%s.%d", spec.Instance, k.lives)
	}
	if k.cfg.ProfileDir != "" {
		spec.Engine.Profile = filepath.Join(k.cfg.ProfileDir, fmt.Sprintf("recover-%d.pprof", k.lives))
	}
	k.lives++
	c, err := startChild(ctx, k.cfg.Self, roleLife, &spec)
	if err != nil {
		return nil, err
	}
	l := &life{c: c, lines: make(chan *lifeLine, 1024), gone: make(chan struct{})}
	go l.read()
	return l, nil
}

// next returns the life's next line.
func (k *killer) next(ctx context.Context, l *life) (*lifeLine, error) {
	select {
	case line, ok := <-l.lines:
		if !ok {
			return nil, l.err
		}
		k.stall = max(k.stall, line.StallMaxNs)
		return line, nil
	case <-k.load.ended:
		return nil, fmt.Errorf("the load ended: %w", k.load.err)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lagGoalMs is how far a partition may be behind, to count as caught up.
const lagGoalMs = 1_000

// caughtUp returns the first line in which no partition is more than a second behind.
func (k *killer) caughtUp(ctx context.Context, l *life, doing string) (*lifeLine, error) {
	k.cfg.note(doing)
	for {
		line, err := k.next(ctx, l)
		if err != nil {
			return nil, err
		}
		if line.WatermarkMs > 0 && k.load.nowMs(line.AtNs)-line.WatermarkMs < lagGoalMs {
			return line, nil
		}
	}
}

// settle returns when the engine may be killed: every partition has a snapshot of all sessions, none is behind, and it
// has been so for a while. The pauses differ, for what a recovery costs depends on how old the snapshots are.
func (k *killer) settle(ctx context.Context, l *life, i int) error {
	k.cfg.note("waiting for snapshots of all sessions")
	until := time.Now().Add(k.cfg.Settle + time.Duration(i%3)*k.cfg.Settle/4)
	for {
		line, err := k.next(ctx, l)
		if err != nil {
			return err
		}
		if line.Snapshots == int(k.cfg.Partitions) && k.load.nowMs(line.AtNs)-line.WatermarkMs < lagGoalMs && time.Now().After(until) {
			return nil
		}
	}
}

// finish stops the load, waits until all of it is committed, and compares everything with the truth.
func (k *killer) finish(ctx context.Context, l *life, res *RecoverResult) (*RecoverResult, error) {
	k.cfg.note("waiting for the last commit")
	total := make([]float64, len(res.Runs))
	for i := range res.Runs {
		total[i] = res.Runs[i].TotalMs
	}
	res.MinMs, res.MedianMs, res.MaxMs = spread(total)
	progress, err := k.load.stop()
	if err != nil {
		return nil, err
	}
	ends := slices.Clone(k.spec.Engine.Ends)
	for i, n := range k.load.counts {
		ends[i] += n
	}
	var line *lifeLine
	for line == nil || !reached(line.Committed, ends) {
		var ok bool
		select {
		case line, ok = <-l.lines:
			if !ok {
				return nil, l.err
			}
			k.stall = max(k.stall, line.StallMaxNs)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	k.cfg.note("comparing with the truth")
	truth := k.n.Sums(progress.SimulatedMs, sliceMs)
	res.Readings, res.LoadBehindMs, res.StallMaxMs = progressSum(ends), k.load.behindMs.Load(), float64(k.stall)/1e6
	conn, err := k.s.ch.connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if res.Checks, err = verify(ctx, conn, k.spec.Engine.ClickHouse.Database, &truth, ends, &format{}); err != nil {
		return nil, err
	}
	res.Checks = append(res.Checks, Check{"live_sessions", line.Live, truth.Sessions - truth.Finished})
	err = wrong(res.Checks)
	res.SumsEqual = err == nil
	return res, err
}

// reached says that every partition is at its end.
func reached(at, ends []int64) bool {
	for i := range ends {
		if at[i] < ends[i] {
			return false
		}
	}
	return true
}

// life is an engine's process that is going to be killed.
type life struct {
	c     *child
	lines chan *lifeLine
	gone  chan struct{} // closed when the process has ended
	err   error         // why, valid once lines is closed
}

// read hands the lines on until the process has ended. One that nobody takes makes way for newer ones.
func (l *life) read() {
	defer close(l.gone)
	defer close(l.lines)
	for {
		line := new(lifeLine)
		if l.err = l.c.next(line); l.err != nil {
			return
		}
		select {
		case l.lines <- line:
		default:
			<-l.lines
			l.lines <- line
		}
	}
}

// end kills the process and waits until it is gone.
func (l *life) end() {
	l.c.kill()
	<-l.gone
}

// loadBatch is how many records a batch of the load has at most.
const loadBatch = 1_000

// liveLoad sends readings by wall clock until it is stopped.
type liveLoad struct {
	counts   []int64 // by partition, valid once ended is closed
	behindMs atomic.Int64
	fromMs   int64
	startNs  atomic.Int64 // when simulated time was fromMs; 0: not yet
	cancel   context.CancelFunc
	ended    chan struct{}
	progress loadgen.Progress
	err      error // nil after stop
}

// startLoad begins to send what comes after the beginning of the sessions.
func startLoad(ctx context.Context, k *killer) *liveLoad {
	run, cancel := context.WithCancel(ctx)
	l := &liveLoad{counts: make([]int64, k.cfg.Partitions), fromMs: k.liveMs(), cancel: cancel, ended: make(chan struct{})}
	var done atomic.Int64
	// A stop ends the load between two ticks; what was appended is sent all the same.
	out := &unstopped{newBatcher(k.client.Producer(), k.spec.Engine.Topics.Readings, loadBatch, l.counts, &done)}
	go func() {
		defer close(l.ended)
		l.progress, l.err = loadgen.Run(run, loadgen.RunConfig{
			Network: k.n, FromMs: l.fromMs, Speed: 1, Clock: l, ProgressEvery: 100 * time.Millisecond,
			Progress: func(p loadgen.Progress) { l.behindMs.Store(max(l.behindMs.Load(), p.Behind.Milliseconds())) },
		}, out)
		if run.Err() != nil && ctx.Err() == nil {
			l.err = out.Flush(ctx)
		}
	}()
	return l
}

// Now implements loadgen.Clock. The first answer is when time begins to pass.
func (l *liveLoad) Now() time.Time {
	now := time.Now()
	l.startNs.CompareAndSwap(0, now.UnixNano())
	return now
}

// After implements loadgen.Clock.
func (l *liveLoad) After(d time.Duration) <-chan time.Time { return time.After(d) }

// nowMs is the simulated time at a moment, ns since 1970: that of the newest reading if the load is on time.
func (l *liveLoad) nowMs(atNs int64) int64 {
	start := l.startNs.Load()
	if start == 0 {
		return l.fromMs
	}
	return l.fromMs + (atNs-start)/int64(time.Millisecond)
}

// stop ends the load and returns how far it came. It may be called again.
func (l *liveLoad) stop() (loadgen.Progress, error) {
	l.cancel()
	<-l.ended
	return l.progress, l.err
}

// unstopped is a producer that a stop of the load does not interrupt.
type unstopped struct{ *batcher }

// Append implements loadgen.Producer.
func (u *unstopped) Append(ctx context.Context, r *loadgen.Record) error {
	return u.batcher.Append(context.WithoutCancel(ctx), r)
}

// Flush implements loadgen.Producer.
func (u *unstopped) Flush(ctx context.Context) error {
	return u.batcher.Flush(context.WithoutCancel(ctx))
}
