package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// world is Kafka and ClickHouse in memory, for an engine to fill and a test to spoil.
type world struct {
	mu       sync.Mutex
	logs     map[string][]engine.Record // topic/partition -> records, their index is their offset
	starts   map[string]int64           // first offset that retention left
	commits  map[engine.Partition]engine.Commit
	charges  []chargeRow
	sessions map[[16]byte]versionRow
	blocks   []engine.BlockRow
	refs     []engine.ReferenceRecord

	brought     []brought
	projections string // what differs
	late        []engine.BlockRow
	asked       int // how often Blocks was asked
}

type versionRow struct {
	Version
	p engine.Partition
}

// brought is what a block brought into sessions.
type brought struct {
	p     engine.Partition
	block int64
	sums  engine.Sums
}

type chargeRow struct {
	p     engine.Partition
	block int64
	key   RowKey
	c     rating.Charge
}

func newWorld() *world {
	return &world{
		logs: map[string][]engine.Record{}, starts: map[string]int64{}, commits: map[engine.Partition]engine.Commit{}, sessions: map[[16]byte]versionRow{},
	}
}

func (w *world) append(topic string, p int32, recs ...engine.Record) int64 {
	k := fmt.Sprintf("%s/%d", topic, p)
	first := int64(len(w.logs[k]))
	for _, r := range recs {
		r.Offset = int64(len(w.logs[k]))
		w.logs[k] = append(w.logs[k], r)
	}
	return first
}

// The engine's ends.

type source struct {
	w     *world
	parts []engine.Partition
	once  chan struct{}
}

func (s *source) Next(ctx context.Context) (engine.Assignment, error) {
	select {
	case s.once <- struct{}{}:
		return engine.Assignment{Generation: 1, Partitions: s.parts}, nil
	case <-ctx.Done():
		return engine.Assignment{}, ctx.Err()
	}
}

func (s *source) Bounds(_ context.Context, p engine.Partition) (start, end int64, err error) {
	start, end, _, err = s.w.Bounds(context.Background(), p)
	return start, end, err
}

func (s *source) Open(p engine.Partition, from int64) (engine.Feed, error) {
	f := &feed{ch: make(chan engine.Batch), stop: make(chan struct{})}
	go func() {
		defer close(f.ch)
		for {
			s.w.mu.Lock()
			log := s.w.logs[p.String()]
			n := min(int64(len(log)), from+37)
			b := &batch{recs: slices.Clone(log[min(from, n):n]), next: n}
			s.w.mu.Unlock()
			if len(b.recs) == 0 {
				select {
				case <-time.After(time.Millisecond):
					continue
				case <-f.stop:
					return
				}
			}
			select {
			case f.ch <- b:
				from = n
			case <-f.stop:
				return
			}
		}
	}()
	return f, nil
}

type feed struct {
	ch   chan engine.Batch
	stop chan struct{}
	once sync.Once
}

func (f *feed) Batches() <-chan engine.Batch { return f.ch }
func (f *feed) Err() error                   { return nil }
func (f *feed) Close()                       { f.once.Do(func() { close(f.stop) }) }

type batch struct {
	recs []engine.Record
	next int64
}

func (b *batch) Read(dst []engine.Record) (int, error) {
	n := copy(dst, b.recs)
	b.recs = b.recs[n:]
	return n, nil
}
func (b *batch) NextOffset() int64 { return b.next }
func (b *batch) Release()          {}

func (w *world) Committed(_ context.Context, p engine.Partition) (engine.Commit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.commits[p]; ok {
		return c, nil
	}
	return engine.Commit{Offset: -1}, nil
}

func (w *world) Commit(_ context.Context, p engine.Partition, c engine.Commit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits[p] = c
	return nil
}

func (w *world) Produce(_ context.Context, topic string, p int32, msgs []engine.Message) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var recs []engine.Record
	for _, m := range msgs {
		recs = append(recs, engine.Record{Key: m.Key, Value: m.Value, TimestampMs: m.TimestampMs})
	}
	return w.append(topic, p, recs...), nil
}

func (w *world) ReadLog(_ context.Context, topic string, p int32, from int64, fn func(engine.Record) error) (int64, error) {
	w.mu.Lock()
	k := fmt.Sprintf("%s/%d", topic, p)
	recs, start := slices.Clone(w.logs[k]), w.starts[k]
	w.mu.Unlock()
	if from < start {
		return 0, &engine.Halt{Reason: "offset-below-log-start"}
	}
	for _, r := range recs[min(from, int64(len(recs))):] {
		if err := fn(r); err != nil {
			return 0, err
		}
	}
	return int64(len(recs)), nil
}

func (w *world) Bounds(_ context.Context, p engine.Partition) (start, end, committed int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	committed = -1
	if c, ok := w.commits[p]; ok {
		committed = c.Offset
	}
	return w.starts[p.String()], int64(len(w.logs[p.String()])), committed, nil
}

// Partitions implements Topic.
func (w *world) Partitions(context.Context) (list []engine.Partition, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.commits {
		list = append(list, p)
	}
	return list, nil
}

func (w *world) Insert(_ context.Context, in *engine.Insert) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case in.Charges != nil:
		r := in.Charges
		for i := range r.Position {
			w.charges = append(w.charges, chargeRow{in.Partition, in.First, RowKey{Session: r.SessionID[i], Position: r.Position[i], Line: r.Line[i]}, r.Charge[i]})
		}
	case in.Sessions != nil:
		w.putSessions(in)
	default:
		w.blocks = append(w.blocks, *in.Block)
	}
	return nil
}

func (w *world) putSessions(in *engine.Insert) {
	r := in.Sessions
	w.brought = append(w.brought, brought{in.Partition, in.First, r.Sums()})
	for i, id := range r.SessionID {
		if old := w.sessions[id]; old.There && old.Position > r.Version[i] {
			continue
		}
		w.sessions[id] = versionRow{p: in.Partition, Version: Version{
			There: true, Position: r.Version[i], BlockFirst: in.First, FirstOffset: r.FirstOffset[i], Status: r.Status[i], Tariff: r.Tariff[i],
			TariffFrom: r.TariffFrom[i], Zone: r.Zone[i], LastMs: r.LastMs[i], LastMwh: r.LastMwh[i], ExclMicros: r.Total[i].ExclMicros,
			InclMicros: r.Total[i].InclMicros, ExclUnknown: r.Total[i].ExclUnknown, AccruedExcl: r.AccruedExcl[i], AccruedIncl: r.AccruedIncl[i],
		}}
	}
}

func (w *world) Quiesce(context.Context, string) error { return nil }

func (w *world) ReadBack(context.Context, engine.Partition, int64, engine.Table, int32) (engine.Sums, error) {
	return engine.Sums{}, errors.New("nothing fails here, so nothing is read back")
}

func (w *world) LastBlock(_ context.Context, p engine.Partition) (row engine.BlockRow, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.blocks {
		if b.Partition == p && (!ok || b.First > row.First) { // two in flight may land in either order
			row, ok = b, true
		}
	}
	return row, ok, nil
}

// Blocks is for an engine that rates everything again: none here loses its snapshots.
func (w *world) Blocks(context.Context, engine.Partition) iter.Seq2[engine.BlockRow, error] {
	return func(yield func(engine.BlockRow, error) bool) {
		yield(engine.BlockRow{}, errors.New("no snapshot is lost here"))
	}
}

// The ledger as verify asks it.

type ledger struct{ *world }

func (w ledger) Partitions(context.Context) ([]engine.Partition, error) {
	seen := map[engine.Partition]bool{}
	for _, b := range w.blocks {
		seen[b.Partition] = true
	}
	for _, r := range w.charges {
		seen[r.p] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b engine.Partition) int { return int(a.Number - b.Number) }), nil
}

func (w ledger) Blocks(_ context.Context, p engine.Partition) iter.Seq2[engine.BlockRow, error] {
	if w.asked++; w.asked == 4 {
		w.blocks = append(w.blocks, w.late...)
	}
	list := slices.DeleteFunc(slices.Clone(w.blocks), func(b engine.BlockRow) bool { return b.Partition != p })
	slices.SortStableFunc(list, func(a, b engine.BlockRow) int { return int(a.First - b.First) })
	return each(list)
}

func each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range list {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func (w ledger) Sums(_ context.Context, p engine.Partition) iter.Seq2[BlockSums, error] {
	sums := map[int64]*BlockSums{}
	for _, r := range w.charges {
		if r.p != p {
			continue
		}
		if sums[r.block] == nil {
			sums[r.block] = &BlockSums{First: r.block}
		}
		one := engine.ChargeRows{Position: []int64{r.key.Position}, Charge: []rating.Charge{r.c}}
		s, o := &sums[r.block].Charges, one.Sums()
		s.Rows, s.EnergyMwh, s.DurationMs, s.ExclMicros = s.Rows+o.Rows, s.EnergyMwh+o.EnergyMwh, s.DurationMs+o.DurationMs, s.ExclMicros+o.ExclMicros
		s.InclMicros, s.Versions = s.InclMicros+o.InclMicros, s.Versions+o.Versions
	}
	for _, r := range w.brought {
		if r.p != p {
			continue
		}
		if sums[r.block] == nil {
			sums[r.block] = &BlockSums{First: r.block}
		}
		s, o := &sums[r.block].Sessions, r.sums
		s.Rows, s.EnergyMwh, s.DurationMs, s.ExclMicros = s.Rows+o.Rows, s.EnergyMwh+o.EnergyMwh, s.DurationMs+o.DurationMs, s.ExclMicros+o.ExclMicros
		s.InclMicros, s.Versions = s.InclMicros+o.InclMicros, s.Versions+o.Versions
	}
	var list []BlockSums
	for _, first := range slices.Sorted(maps.Keys(sums)) {
		list = append(list, *sums[first])
	}
	return each(list)
}

func (w ledger) Doubled(_ context.Context, p engine.Partition) iter.Seq2[RowKey, error] {
	n, block := map[RowKey]int64{}, map[RowKey]int64{}
	for _, r := range w.charges {
		if r.p == p {
			if n[r.key]++; n[r.key] == 1 {
				block[r.key] = r.block
			}
		}
	}
	var list []RowKey
	for k, times := range n {
		if times > 1 {
			k.Times, k.Block = times, block[k]
			list = append(list, k)
		}
	}
	return each(list)
}

func (w ledger) Sessions(_ context.Context, p engine.Partition, upTo int64) iter.Seq2[Session, error] {
	all := map[[16]byte]Session{}
	for _, r := range w.charges {
		if r.p == p && r.block <= upTo {
			x := all[r.key.Session]
			x.ID = r.key.Session
			x.Rows.add(&r.c)
			all[x.ID] = x
		}
	}
	for id, s := range w.sessions {
		if s.p == p {
			x := all[id]
			x.ID, x.Version = id, s.Version
			all[id] = x
		}
	}
	return each(slices.Collect(maps.Values(all)))
}

func (r *RowSums) add(c *rating.Charge) {
	r.Rows++
	r.InclMicros += c.InclMicros
	if c.ExclUnknown {
		r.ExclUnknown = true
	} else {
		r.ExclMicros += c.ExclMicros
	}
	switch c.Kind {
	case rating.ChargeUsage:
		if c.Dimension == rating.Flat {
			r.Flats++
		}
	case rating.ChargeExpiry:
		r.Expiry++
	default:
		r.Settled++
		return
	}
	switch c.Dimension {
	case rating.Energy:
		r.EnergyMwh += c.EnergyMwh
	case rating.Time:
		r.TimeMs += c.DurationMs
	case rating.ParkingTime:
		r.ParkingMs += c.DurationMs
	}
}

func (w ledger) ProjectionsEqual(context.Context) (bool, string, error) {
	return w.projections == "", w.projections, nil
}

// message is the test's wire format: a rating.Reading as JSON.
type message struct {
	Kind    rating.Kind
	CP, Tx  string
	At, Reg int64
	Seq     int64
	State   rating.ChargeState
	Power   int64
}

func decode(_, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	var m message
	if err := json.Unmarshal(value, &m); err != nil {
		return dst, err
	}
	return append(dst, rating.Reading{
		AtMs: m.At, RegisterMwh: m.Reg, PowerMicroW: m.Power, CurrentNanoA: rating.Unknown, Seq: m.Seq, Connector: 1, Kind: m.Kind, State: m.State,
		ChargePoint: []byte(m.CP), Transaction: []byte(m.Tx),
	}), nil
}

func decoders(string, []byte) engine.Decode { return decode }

func (w *world) send(p engine.Partition, recordMs int64, m message) {
	v, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(p.Topic, p.Number, engine.Record{TimestampMs: recordMs, Value: v})
}

func (w *world) publish(r engine.ReferenceRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refs = append(w.refs, r)
	w.append("wattline.reference", 0, engine.Record{Value: fmt.Append(nil, len(w.refs)-1)})
}

func (w *world) decodeReference(_, value []byte) (engine.ReferenceRecord, error) {
	var i int
	if _, err := fmt.Sscan(string(value), &i); err != nil {
		return engine.ReferenceRecord{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refs[i], nil
}

func engineConfig() engine.Config {
	return engine.Config{
		EngineID: "test", BlockAge: 10 * time.Millisecond, BlockAgeMax: 10 * time.Millisecond, BlocksPerSecond: 1000, BlockOffsets: 100,
		InsertBackoffMax: time.Millisecond, ReferencePoll: 5 * time.Millisecond, BookEvery: 5 * time.Millisecond,
	}
}

// rate runs an engine until all messages are committed.
func (w *world) rate(t testing.TB, parts ...engine.Partition) {
	t.Helper()
	e, err := engine.New(engineConfig(), engine.Ends{
		Source: &source{w: w, parts: parts, once: make(chan struct{}, 1)}, Committer: w, Producer: w, Logs: w, Sink: w, Ledger: w,
		Clock: engine.SystemClock{}, Decoders: decoders, Reference: w.decodeReference,
		Installation: func() (engine.Message, error) { return engine.Message{}, errors.New("the test's log has a key") },
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		w.mu.Lock()
		all := true
		for _, p := range parts {
			all = all && w.commits[p].Offset == int64(len(w.logs[p.String()]))
		}
		w.mu.Unlock()
		if all {
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not done: %+v, ready: %v", e.Stats(), e.Ready())
		}
	}
}

func (w *world) verify(t testing.TB, change func(*Config)) *Report {
	t.Helper()
	cfg := Config{Engine: engineConfig(), All: true, Patience: time.Second}
	if change != nil {
		change(&cfg)
	}
	w.asked = 0
	r, err := Run(t.Context(), cfg, Ends{Blocks: ledger{w}, Rows: ledger{w}, Topic: w, Decoders: decoders, Reference: w.decodeReference})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
