package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
)

// lifeSpec is what an engine's process is told that lives until it is killed.
type lifeSpec struct {
	Engine         engineSpec    `json:"engine"` // Ends: by partition, the offsets that a snapshot must be at to count
	Instance       string        `json:"instance"`
	SessionTimeout time.Duration `json:"session_timeout_ns"`
	SnapshotReplay time.Duration `json:"snapshot_replay_ns"` // 0: the engine's own
	GCPercent      int           `json:"gc_percent"`         // as the program that is measured has it; 0: as it is
}

// lifeLine is where such a process stands.
type lifeLine struct {
	AtNs        int64   `json:"at_ns"`        // when that was, ns since 1970
	WatermarkMs int64   `json:"watermark_ms"` // the least of all partitions; 0 while one of them is not rating
	Committed   []int64 `json:"committed"`    // by partition, of this life; 0: nothing yet
	Live        int64   `json:"live"`
	Snapshots   int     `json:"snapshots"` // partitions with a snapshot of all sessions
	StallMaxNs  int64   `json:"stall_max_ns"`
	PeakRSS     int64   `json:"peak_rss_bytes"`
	Fallbacks   int64   `json:"fallbacks"` // partitions whose newest snapshot could not be used
	Milestones  stones  `json:"milestones"`
}

// stones are when a life reached what it has to, ns since 1970; 0: not yet.
type stones struct {
	Began     int64 `json:"began_ns"`     // main, or nearly
	Reference int64 `json:"reference_ns"` // the reference log is read
	Assigned  int64 `json:"assigned_ns"`  // the group gave all partitions
	Loaded    int64 `json:"loaded_ns"`    // the last partition's snapshot is restored
	Recovered int64 `json:"recovered_ns"` // the last partition is at its committed offset
}

// lifeEvery is how often a life says where it stands: the grain of what is measured.
const lifeEvery = 10 * time.Millisecond

// lifeChild runs one engine until it is killed, or its standard input ends.
func lifeChild(ctx context.Context, in *json.Decoder, out *json.Encoder) error {
	began := time.Now()
	var spec lifeSpec
	if err := in.Decode(&spec); err != nil {
		return fmt.Errorf("read the engine's orders: %w", err)
	}
	ctx, cancel := untilEOF(ctx, in)
	defer cancel()
	if spec.GCPercent > 0 {
		debug.SetGCPercent(spec.GCPercent)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ends, err := connectEngine(ctx, &spec.Engine, kafka.GroupConfig{
		ID: spec.Engine.Group, InstanceID: spec.Instance, SessionTimeout: spec.SessionTimeout, HeartbeatInterval: min(2*time.Second, spec.SessionTimeout/5),
	}, logger)
	if err != nil {
		return err
	}
	defer ends.close()
	n := len(spec.Engine.Ends)
	w := &watcher{
		Group: ends.group, client: ends.client, spec: &spec, committed: make([]int64, n), whole: make([]bool, n), opened: make([]bool, n),
		at: stones{Began: began.UnixNano()},
	}
	e, err := ends.engine(&spec.Engine, engine.Config{EngineID: spec.Instance, SnapshotReplay: spec.SnapshotReplay}, engine.Ends{
		Source: w, Committer: w, Logs: w, Membership: ends.group, Logger: logger,
	})
	if err != nil {
		return err
	}
	return w.watch(ctx, e, out)
}

// watcher stands between an engine and its group: it sees what the engine has reached.
type watcher struct {
	*kafka.Group
	client *kafka.Client
	spec   *lifeSpec

	mu        sync.Mutex
	at        stones
	committed []int64
	whole     []bool // by partition: a commit names a snapshot of all sessions
	opened    []bool
}

var (
	_ engine.Source    = (*watcher)(nil)
	_ engine.Committer = (*watcher)(nil)
	_ engine.LogReader = (*watcher)(nil)
)

// ReadLog implements engine.LogReader: the end of the first one is that of the reference log.
func (w *watcher) ReadLog(ctx context.Context, topic string, partition int32, from int64, fn func(engine.Record) error) (int64, error) {
	next, err := w.client.ReadLog(ctx, topic, partition, from, fn)
	if topic == w.spec.Engine.Topics.Reference && err == nil {
		w.note(&w.at.Reference)
	}
	return next, err
}

// Next implements engine.Source.
func (w *watcher) Next(ctx context.Context) (engine.Assignment, error) {
	a, err := w.Group.Next(ctx)
	if err == nil && len(a.Partitions) == len(w.committed) {
		w.note(&w.at.Assigned)
	}
	return a, err
}

// Open implements engine.Source: a partition is opened once its snapshot is restored.
func (w *watcher) Open(p engine.Partition, from int64) (engine.Feed, error) {
	w.mu.Lock()
	w.opened[p.Number] = true
	all := true
	for _, o := range w.opened {
		all = all && o
	}
	w.mu.Unlock()
	if all {
		w.note(&w.at.Loaded)
	}
	return w.Group.Open(p, from)
}

// note notes the first time of something.
func (w *watcher) note(stone *int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *stone == 0 {
		*stone = time.Now().UnixNano()
	}
}

// Commit implements engine.Committer.
func (w *watcher) Commit(ctx context.Context, p engine.Partition, c engine.Commit) error {
	if err := w.Group.Commit(ctx, p, c); err != nil {
		return err
	}
	meta, err := engine.ParseMetadata(c.Metadata)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committed[p.Number] = c.Offset
	w.whole[p.Number] = meta.Snapshot.Count > 0 && meta.Snapshot.Offset >= w.spec.Engine.Ends[p.Number]
	return nil
}

// watch runs the engine, and says where it stands, until ctx ends.
func (w *watcher) watch(ctx context.Context, e *engine.Engine, out *json.Encoder) (err error) {
	stopProfile, err := startProfile(w.spec.Engine.Profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	tick := time.NewTicker(lifeEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if ctx.Err() == nil {
				err = errors.Join(errors.New("the engine ended by itself"), err)
			}
			return err
		case <-tick.C:
			line, err := w.line(e.Stats())
			if err != nil {
				return err
			}
			if w.spec.Engine.Profile != "" && line.Snapshots == len(w.committed) && line.WatermarkMs > 0 {
				if err := stopProfile(); err != nil { // the recovery is over
					return err
				}
				stopProfile = func() error { return nil }
			}
			if err := out.Encode(line); err != nil {
				return err
			}
		}
	}
}

// line is where the engine stands; an error when a partition stands still for good.
func (w *watcher) line(stats []engine.PartitionStats) (*lifeLine, error) {
	line := &lifeLine{}
	rating := 0
	for i := range stats {
		st := &stats[i]
		if st.Halted != "" {
			return nil, errors.New(st.Halted)
		}
		line.Live += st.Live
		line.StallMaxNs = max(line.StallMaxNs, st.StallMaxNs)
		line.Fallbacks += st.FallbackBefore + st.FallbackLedger
		if st.Recoveries == 0 || st.WatermarkMs <= 0 {
			continue
		}
		rating++
		if line.WatermarkMs == 0 || st.WatermarkMs < line.WatermarkMs {
			line.WatermarkMs = st.WatermarkMs
		}
	}
	if rating < len(w.committed) {
		line.WatermarkMs = 0
	} else {
		w.note(&w.at.Recovered)
	}
	line.AtNs, line.PeakRSS = time.Now().UnixNano(), peakRSS()
	w.mu.Lock()
	defer w.mu.Unlock()
	line.Committed, line.Milestones = append(line.Committed, w.committed...), w.at
	for _, whole := range w.whole {
		if whole {
			line.Snapshots++
		}
	}
	return line, nil
}

// startProfile begins a CPU profile into a file, if there is one, and returns what ends it.
func startProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			return fmt.Errorf("CPU profile: %w", err)
		}
		return nil
	}, nil
}
