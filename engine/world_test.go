package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/rating"
)

// world is Kafka and ClickHouse in memory, as unkind as they are: calls fail before or after they had their
// effect, and a token may be noted without its rows.
type world struct {
	mu       sync.Mutex
	logs     map[string][]Record // topic/partition
	commits  map[Partition]Commit
	charges  []chargeRow
	sessions map[string]sessionRow // session -> newest version
	versions []versionRow
	blocks   []BlockRow
	tokens   map[string]bool
	reject   map[string]string // key -> value
	cdrs     map[string]string // the same; one that came otherwise is there as DIFFERS, too
	rnd      *rand.Rand
	faults   float64 // chance of a fault per call
	crash    int     // calls until everything fails for good; -1 never
	batch    int     // most records a batch
	dead     bool
}

type chargeRow struct {
	key   string // session, position, line
	block int64
	part  Partition
	text  string // all of the row but its block
	c     rating.Charge
	id    [16]byte
}

type versionRow struct {
	part  Partition
	block int64
	month int32
	sums  Sums
}

type sessionRow struct {
	version int64
	text    string
	status  SessionStatus
	total   rating.Total
	tx      string
	flags   SessionFlags
}

var errInjected = errors.New("injected")

func newWorld(seed uint64) *world {
	return &world{
		logs: map[string][]Record{}, commits: map[Partition]Commit{}, sessions: map[string]sessionRow{}, tokens: map[string]bool{},
		reject: map[string]string{}, cdrs: map[string]string{}, rnd: rand.New(rand.NewPCG(seed, 1)), crash: -1, batch: 100,
	}
}

// fault is called with mu held at every effect: it says whether to fail before it, or after it.
func (w *world) fault() (before, after error) {
	if w.dead {
		return context.Canceled, context.Canceled
	}
	if w.crash == 0 {
		w.dead = true
		if w.rnd.IntN(2) == 0 {
			return errInjected, nil
		}
		return nil, errInjected
	}
	if w.crash > 0 {
		w.crash--
	}
	if w.rnd.Float64() >= w.faults {
		return nil, nil
	}
	if w.rnd.IntN(2) == 0 {
		return errInjected, nil
	}
	return nil, errInjected
}

func (w *world) append(topic string, p int32, recs ...Record) int64 {
	k := fmt.Sprintf("%s/%d", topic, p)
	first := int64(len(w.logs[k]))
	for _, r := range recs {
		r.Offset = int64(len(w.logs[k]))
		w.logs[k] = append(w.logs[k], r)
	}
	return first
}

type memSource struct {
	w     *world
	parts []Partition
	once  chan struct{}
}

func (s *memSource) Next(ctx context.Context) (Assignment, error) {
	select {
	case s.once <- struct{}{}:
		return Assignment{Generation: 1, Partitions: s.parts}, nil
	case <-ctx.Done():
		return Assignment{}, ctx.Err()
	}
}

func (s *memSource) Bounds(_ context.Context, p Partition) (int64, int64, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return 0, int64(len(s.w.logs[p.String()])), nil
}

func (s *memSource) Open(p Partition, from int64) (Feed, error) {
	f := &memFeed{ch: make(chan Batch), stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		defer close(f.ch)
		for {
			s.w.mu.Lock()
			log := s.w.logs[p.String()]
			n := min(int64(len(log)), from+1+int64(s.w.rnd.IntN(s.w.batch)))
			b := &memBatch{recs: slices.Clone(log[min(from, int64(len(log))):n]), next: n}
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

type memFeed struct {
	ch    chan Batch
	stop  chan struct{}
	ended chan struct{} // nothing of it looks at the world any longer
	once  sync.Once
}

func (f *memFeed) Batches() <-chan Batch { return f.ch }
func (f *memFeed) Err() error            { return nil }

func (f *memFeed) Close() {
	f.once.Do(func() { close(f.stop) })
	if f.ended != nil {
		<-f.ended
	}
}

type memBatch struct {
	recs []Record
	next int64
}

func (b *memBatch) Read(dst []Record) (int, error) {
	n := copy(dst, b.recs)
	b.recs = b.recs[n:]
	return n, nil
}
func (b *memBatch) NextOffset() int64 { return b.next }
func (b *memBatch) Release()          {}

func (w *world) Committed(_ context.Context, p Partition) (Commit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.commits[p]; ok {
		return c, nil
	}
	return Commit{Offset: -1}, nil
}

func (w *world) Commit(_ context.Context, p Partition, c Commit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.fault()
	if before == nil || !w.dead { // a Committer tries again what can be tried again
		w.commits[p] = c
	}
	if !w.dead {
		return nil
	}
	return errors.Join(before, after)
}

func (w *world) Produce(_ context.Context, topic string, p int32, msgs []Message) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.fault()
	if before != nil {
		return 0, before
	}
	var recs []Record
	for _, m := range msgs {
		recs = append(recs, Record{Key: m.Key, Value: m.Value, TimestampMs: m.TimestampMs})
		if topic == "wattline.rejects" {
			w.reject[string(m.Key)] = string(m.Value)
		}
		if topic == "wattline.cdrs" {
			if was, ok := w.cdrs[string(m.Key)]; ok && was != string(m.Value) {
				w.cdrs["DIFFERS "+string(m.Key)] = string(m.Value)
				continue
			}
			w.cdrs[string(m.Key)] = string(m.Value)
		}
	}
	return w.append(topic, p, recs...), after
}

func (w *world) ReadLog(_ context.Context, topic string, p int32, from int64, fn func(Record) error) (int64, error) {
	w.mu.Lock()
	recs := slices.Clone(w.logs[fmt.Sprintf("%s/%d", topic, p)])
	w.mu.Unlock()
	for _, r := range recs[min(from, int64(len(recs))):] {
		if err := fn(r); err != nil {
			return r.Offset, err
		}
	}
	return int64(len(recs)), nil
}

func (w *world) Insert(_ context.Context, in *Insert) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after := w.fault()
	if before != nil {
		if w.rnd.IntN(3) == 0 {
			w.tokens[in.Token] = true // noted, and the rows never came
		}
		return before
	}
	if w.tokens[in.Token] {
		return after
	}
	w.tokens[in.Token] = true
	switch {
	case in.Charges != nil:
		w.putCharges(in)
	case in.Sessions != nil:
		w.putSessions(in)
	default:
		w.blocks = append(w.blocks, *in.Block)
	}
	return after
}

func (w *world) putCharges(in *Insert) {
	r := in.Charges
	for i := range r.Position {
		w.charges = append(w.charges, chargeRow{
			key: fmt.Sprintf("%x %d %d", r.SessionID[i], r.Position[i], r.Line[i]), block: in.First, part: in.Partition, c: r.Charge[i], id: r.SessionID[i],
			text: fmt.Sprint(r.ChargePoint[i], r.Connector[i], r.Location[i], r.Tariff[i], r.Currency[i], r.Tier[i], r.Charge[i]),
		})
	}
}

func (w *world) putSessions(in *Insert) {
	r := in.Sessions
	w.versions = append(w.versions, versionRow{in.Partition, in.First, in.Month, r.Sums()})
	for i := range r.Version {
		id := fmt.Sprintf("%x", r.SessionID[i])
		if old, ok := w.sessions[id]; ok && old.version > r.Version[i] {
			continue
		}
		w.sessions[id] = sessionRow{
			version: r.Version[i], status: r.Status[i], total: r.Total[i], tx: strings.Clone(r.Transaction[i]), flags: r.Flags[i],
			text: fmt.Sprint(r.ChargePoint[i], r.Connector[i], r.Transaction[i], r.Location[i], r.Tariff[i], r.Status[i], r.StartMs[i],
				r.LastMs[i], r.StartMwh[i], r.LastMwh[i], r.Total[i], r.AccruedExcl[i], r.AccruedIncl[i], r.Flags[i], r.Readings[i],
				r.HeldReason[i], r.FirstOffset[i], r.Driver(i), r.TokenKey[i], r.Contract[i], r.Tier[i]),
		}
	}
}

func (w *world) Quiesce(context.Context, string) error { return nil }

func (w *world) ReadBack(_ context.Context, p Partition, first int64, t Table, month int32) (Sums, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, after := w.fault(); before != nil || after != nil {
		return Sums{}, errors.Join(before, after)
	}
	var s Sums
	if t == TableBlocks {
		for _, b := range w.blocks {
			if b.First == first && b.Partition == p {
				s.Rows++
			}
		}
		return s, nil
	}
	if t == TableSessions {
		for _, v := range w.versions {
			if v.block == first && v.part == p && v.month == month {
				s.add(v.sums)
			}
		}
		return s, nil
	}
	var m monthCache
	for _, r := range w.charges {
		if r.block != first || r.part != p || m.of(r.c.FromMs) != month {
			continue
		}
		var pos int64
		var line int
		var id string
		if _, err := fmt.Sscanf(r.key, "%s %d %d", &id, &pos, &line); err != nil {
			return s, err
		}
		one := ChargeRows{Position: []int64{pos}, Charge: []rating.Charge{r.c}}
		s.add(one.Sums())
	}
	return s, nil
}

func (w *world) LastBlock(_ context.Context, p Partition) (BlockRow, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := -1
	for i, b := range w.blocks { // two in flight may land in either order
		if b.Partition == p && (found < 0 || b.First > w.blocks[found].First) {
			found = i
		}
	}
	if found >= 0 {
		return w.blocks[found], true, nil
	}
	return BlockRow{}, false, nil
}

func (w *world) Blocks(_ context.Context, p Partition) iter.Seq2[BlockRow, error] {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(w.blocks), func(b BlockRow) bool { return b.Partition != p })
	slices.SortStableFunc(list, func(a, b BlockRow) int { return int(a.First - b.First) })
	return func(yield func(BlockRow, error) bool) {
		for _, b := range list {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// message is the test's wire format: a rating.Reading as JSON.
type message struct {
	Kind    rating.Kind
	CP, Tx  string
	Conn    int32
	At, Reg int64
	Seq     int64
	State   rating.ChargeState
	Context rating.Context
	Res     int64
	Flags   rating.ReadingFlags
	MsgID   string
	Power   int64 // microwatt; 0 = not sent
	Token   string
}

func decodeJSON(_, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	var ms []message
	if err := json.Unmarshal(value, &ms); err != nil {
		return dst, err
	}
	for _, m := range ms {
		if m.Power == 0 {
			m.Power = rating.Unknown
		}
		dst = append(dst, rating.Reading{
			AtMs: m.At, RegisterMwh: m.Reg, PowerMicroW: m.Power, CurrentNanoA: rating.Unknown, Seq: m.Seq, ResolutionMwh: m.Res,
			Connector: m.Conn, Kind: m.Kind, State: m.State, Context: m.Context, Flags: m.Flags,
			ChargePoint: []byte(m.CP), Transaction: []byte(m.Tx), MessageID: []byte(m.MsgID), Token: []byte(m.Token),
		})
	}
	return dst, nil
}

// send appends one message with the readings ms, stamped recordMs.
func (w *world) send(p Partition, recordMs int64, ms ...message) {
	v, err := json.Marshal(ms)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.append(p.Topic, p.Number, Record{TimestampMs: recordMs, Value: v})
}

// publish appends a record to the reference log; refs is what its index decodes to.
func (w *world) publish(refs *[]ReferenceRecord, r ReferenceRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*refs = append(*refs, r)
	w.append("wattline.reference", 0, Record{Value: fmt.Append(nil, len(*refs)-1)})
}

func decodeRefs(w *world, refs *[]ReferenceRecord) DecodeReference {
	return func(_, value []byte) (ReferenceRecord, error) {
		var i int
		if _, err := fmt.Sscan(string(value), &i); err != nil {
			return ReferenceRecord{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return (*refs)[i], nil
	}
}

func testConfig() Config {
	return Config{
		EngineID: "test", BlockAge: 10 * time.Millisecond, BlockAgeMax: 20 * time.Millisecond, BlocksPerSecond: 1000,
		InsertBackoffMax: time.Millisecond, ReferencePoll: 5 * time.Millisecond, BookEvery: 5 * time.Millisecond, StopTimeout: 3 * time.Second,
	}
}

func (w *world) engine(t testing.TB, cfg Config, refs *[]ReferenceRecord, parts ...Partition) *Engine {
	t.Helper()
	out := io.Discard
	e, err := New(cfg, Ends{
		Source: &memSource{w: w, parts: parts, once: make(chan struct{}, 1)}, Committer: w, Producer: w, Logs: w, Sink: w, Ledger: w,
		Clock: SystemClock{}, Decoders: func(string, []byte) Decode { return decodeJSON }, Reference: decodeRefs(w, refs),
		Installation: func() (Message, error) { return Message{}, errors.New("the test's log has a key") },
		Logger:       slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
