package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// scripted is everything that a settler talks to: each call is noted, and answered by the next word of the
// script that is for it. Without a word: it works.
type scripted struct {
	script []string // "insert err", "readback none", ...
	calls  []string
	now    time.Time
	fenced error
}

func (s *scripted) Now() time.Time { return s.now }

// After is over at once: a wait only moves the clock.
func (s *scripted) After(d time.Duration) <-chan time.Time {
	s.now = s.now.Add(d)
	c := make(chan time.Time, 1)
	c <- s.now
	return c
}

// answer notes a call and takes the script's next word for it.
func (s *scripted) answer(call, note string) string {
	s.calls = append(s.calls, strings.TrimSpace(call+" "+note))
	if len(s.script) > 0 {
		if word, ok := strings.CutPrefix(s.script[0], call+" "); ok {
			s.script = s.script[1:]
			if d, ok := strings.CutPrefix(word, "after "); ok {
				text, rest, _ := strings.Cut(d, " ")
				wait, err := time.ParseDuration(text)
				if err != nil {
					panic(err)
				}
				s.now = s.now.Add(wait)
				word = rest
			}
			return word
		}
	}
	return ""
}

func failed(word, call string) error {
	if word == "err" {
		return fmt.Errorf("%s failed: %w", call, errInjected)
	}
	return nil
}

func (s *scripted) Insert(_ context.Context, in *Insert) error {
	_, suffix, hash := strings.Cut(in.Token, "#")
	note := in.Table.String()
	if hash {
		note += " #" + suffix
	}
	if !strings.HasPrefix(in.QueryID, queryPrefix(strings.TrimSuffix(in.Token, "#"+suffix))) {
		note += " query id " + in.QueryID
	}
	return failed(s.answer("insert", note), "insert")
}

func (s *scripted) Quiesce(_ context.Context, prefix string) error {
	note := ""
	if !strings.HasPrefix(prefix, "wl-") || !strings.HasSuffix(prefix, "-") {
		note = prefix
	}
	return failed(s.answer("quiesce", note), "quiesce")
}

func (s *scripted) ReadBack(_ context.Context, _ Partition, first int64, t Table, month int32) (Sums, error) {
	all := map[Table]Sums{TableCharges: testSums(), TableSessions: {Rows: 1, Versions: 100 << 16}, TableBlocks: {Rows: 1, EnergyMwh: 99}}[t]
	switch word := s.answer("readback", fmt.Sprintf("%s %d", t, month)); word {
	case "all":
		return all, nil
	case "part":
		all.Rows--
		return all, nil
	case "more":
		all.Rows *= 2
		return all, nil
	case "other":
		all.InclMicros++
		return all, nil
	case "", "none":
		return Sums{}, nil
	default:
		return Sums{}, failed(word, "readback")
	}
}

func (s *scripted) Produce(_ context.Context, topic string, p int32, msgs []Message) (int64, error) {
	word := s.answer("produce", fmt.Sprintf("%s/%d x %d", topic, p, len(msgs)))
	return 70, failed(word, "produce")
}

func (s *scripted) fence(context.Context) error {
	s.answer("fence", "")
	return s.fenced
}

// testBlock is a block of two charges and a version of one month.
func testBlock() *Block {
	b := newBlock()
	b.reset(readings, 100, 3)
	c := b.charges(202506)
	for i := range int64(2) {
		c.Position, c.Line, c.SessionID = append(c.Position, 100<<16+i), append(c.Line, 0), append(c.SessionID, [16]byte{1})
		c.ChargePoint, c.Connector, c.Location = append(c.ChargePoint, "CP1"), append(c.Connector, 1), append(c.Location, "L1")
		c.Tariff, c.Currency, c.Tier = append(c.Tariff, "T"), append(c.Currency, "EUR"), append(c.Tier, "")
		c.Charge = append(c.Charge, rating.Charge{FromMs: t0, EnergyMwh: 1000, DurationMs: 60, ExclMicros: 100, InclMicros: 121})
	}
	v := b.sessions(202506)
	v.grow()
	v.Version[0] = 100 << 16
	b.close(199, t0, "test")
	return b
}

func testSums() Sums {
	return Sums{Rows: 2, EnergyMwh: 2000, DurationMs: 120, ExclMicros: 200, InclMicros: 242, Versions: 2*100<<16 + 1}
}

func newScripted(script string) (*scripted, *settler) {
	s := &scripted{now: time.UnixMilli(t0)}
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" {
			s.script = append(s.script, line)
		}
	}
	cfg := Config{EngineID: "test"}.WithDefaults()
	log := slog.New(slog.DiscardHandler)
	return s, &settler{cfg: &cfg, sink: s, producer: s, gate: &outbox.NewTeller(nil).Gate, clock: s, log: log, store: ends.New(ends.Store, s, log), fence: s.fence}
}

// TestSettle: what ClickHouse may do to an insert, one by one, and what is done about it (EMBEDDED-FACTS 11).
// script is what the ends answer, in order; want is every call that was made.
func TestSettle(t *testing.T) {
	f := func(name string, recovered bool, script, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s, w := newScripted(script)
			err := w.settle(t.Context(), testBlock(), recovered)
			if err != nil {
				s.calls = append(s.calls, haltText(err))
			}
			for _, unused := range s.script {
				s.calls = append(s.calls, "NOT ASKED: "+unused)
			}
			if diff := cmp.Diff(strings.Fields(want), strings.Fields(strings.Join(s.calls, "\n"))); diff != "" {
				t.Errorf("%s\nall calls:\n%s", diff, strings.Join(s.calls, "\n"))
			}
		})
	}

	f("OK the first time: nothing is read back", false, ``, `
		insert charges
		insert sessions
		insert blocks`)

	f("an error, and the rows are there", false, `
		insert err
		readback all`, `
		insert charges
		quiesce
		readback charges 202506
		insert sessions
		insert blocks`)

	f("an error, and nothing is there: the same token again, and its OK is not believed", false, `
		insert err
		readback none
		readback all`, `
		insert charges
		quiesce readback charges 202506
		insert charges
		quiesce readback charges 202506
		insert sessions
		insert blocks`)

	f("the token was noted without rows", false, `
		insert err
		readback none
		readback none
		readback none
		readback all`, `
		insert charges
		quiesce readback charges 202506
		insert charges
		quiesce readback charges 202506
		quiesce readback charges 202506
		insert charges #1
		quiesce readback charges 202506
		insert sessions
		insert blocks`)

	f("the next token fails too, then is noted in vain", false, `
		insert err
		readback none
		readback none
		readback none
		insert err
		readback none
		readback none
		readback none
		readback all`, `
		insert charges
		quiesce readback charges 202506
		insert charges
		quiesce readback charges 202506
		quiesce readback charges 202506
		insert charges #1
		quiesce readback charges 202506
		insert charges #1
		quiesce readback charges 202506
		quiesce readback charges 202506
		insert charges #2
		quiesce readback charges 202506
		insert sessions
		insert blocks`)

	f("the rows come late, after they were not there", false, `
		insert err
		readback none
		insert err
		readback all`, `
		insert charges
		quiesce readback charges 202506
		insert charges
		quiesce readback charges 202506
		insert sessions
		insert blocks`)

	f("an error, and neither quiet nor readable at once", false, `
		insert err
		quiesce err
		readback err
		readback all`, `
		insert charges
		quiesce
		quiesce readback charges 202506
		quiesce readback charges 202506
		insert sessions
		insert blocks`)

	f("OK to a second attempt that can not be read back is asked for again, not inserted again", false, `
		insert err
		readback none
		readback err
		readback all`, `
		insert charges
		quiesce readback charges 202506
		insert charges
		quiesce readback charges 202506
		quiesce readback charges 202506
		insert sessions
		insert blocks`)

	f("a part of the rows", false, `
		insert err
		readback part`, `
		insert charges
		quiesce readback charges 202506
		halt: block-differs`)

	f("the rows twice", false, `
		insert err
		readback more`, `
		insert charges
		quiesce readback charges 202506
		halt: block-differs`)

	f("as many rows, another sum", false, `
		insert err
		readback other`, `
		insert charges
		quiesce readback charges 202506
		halt: block-differs`)

	f("the block's row: only counted", false, `
		insert ok
		insert ok
		insert err
		readback all`, `
		insert charges
		insert sessions
		insert blocks
		quiesce readback blocks 0`)

	f("the block's row twice", false, `
		insert ok
		insert ok
		insert err
		readback more`, `
		insert charges
		insert sessions
		insert blocks
		quiesce readback blocks 0
		halt: block-differs`)

	f("versions are read back like charges", false, `
		insert ok
		insert err
		readback none
		readback none
		readback none
		readback all`, `
		insert charges
		insert sessions
		quiesce readback sessions 202506
		insert sessions
		quiesce readback sessions 202506
		quiesce readback sessions 202506
		insert sessions #1
		quiesce readback sessions 202506
		insert blocks`)

	f("other versions", false, `
		insert ok
		insert err
		readback more`, `
		insert charges
		insert sessions
		quiesce readback sessions 202506
		halt: block-differs`)

	f("recovered, and all is there", true, `
		readback all
		readback all
		readback all`, `
		quiesce readback charges 202506
		quiesce readback sessions 202506
		quiesce readback blocks 0`)

	f("recovered, nothing is there: a first OK is not believed", true, `
		readback none
		readback all
		readback none
		readback all
		readback none
		readback all`, `
		quiesce readback charges 202506
		insert charges
		quiesce readback charges 202506
		quiesce readback sessions 202506
		insert sessions
		quiesce readback sessions 202506
		quiesce readback blocks 0
		insert blocks
		quiesce readback blocks 0`)

	f("recovered, another engine's rows", true, `
		readback other`, `
		quiesce readback charges 202506
		halt: block-differs`)

	f("a plan older than ten minutes is committed again before the next attempt", false, `
		insert after 9m59s err
		readback none
		insert after 2m err
		readback none
		readback all`, `
		insert charges
		quiesce readback charges 202506
		insert charges
		fence
		quiesce readback charges 202506
		insert charges
		quiesce readback charges 202506
		insert sessions
		insert blocks`)

	f("the plan's age counts over all inserts of the block", false, `
		insert after 6m ok
		insert after 6m ok`, `
		insert charges
		insert sessions
		fence
		insert blocks`)
}

func haltText(err error) string {
	if h, ok := errors.AsType[*Halt](err); ok {
		return "halt: " + h.Reason
	}
	return "error: " + err.Error()
}

// TestSettleOutOfGroup: an engine that lost the partition meanwhile inserts nothing after the fence told it.
func TestSettleOutOfGroup(t *testing.T) {
	s, w := newScripted("insert after 11m err")
	s.fenced = ErrLost
	err := w.settle(t.Context(), testBlock(), false)
	if !errors.Is(err, ErrLost) {
		t.Errorf("error %v, want ErrLost", err)
	}
	if diff := cmp.Diff([]string{"insert charges", "fence"}, s.calls); diff != "" {
		t.Error(diff)
	}
}

// TestSettlePlanAgesWithReadBack: a read-back may take long, too (I5; the simulation's seed 1106 found it).
func TestSettlePlanAgesWithReadBack(t *testing.T) {
	s, w := newScripted("insert err\nreadback after 11m none\nreadback all")
	if err := w.settle(t.Context(), testBlock(), false); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"insert charges", "quiesce", "readback charges 202506", "fence", "insert charges", "quiesce", "readback charges 202506",
	}
	if diff := cmp.Diff(want, s.calls[:min(len(want), len(s.calls))]); diff != "" {
		t.Error(diff)
	}
}

// TestSettlePlanAgesWithRejects: the plan was committed before the rejects were produced, which may take long.
func TestSettlePlanAgesWithRejects(t *testing.T) {
	s, w := newScripted("produce after 11m ok")
	b := testBlock()
	b.Rejects = []Message{{}}
	if err := w.settle(t.Context(), b, false); err != nil {
		t.Fatal(err)
	}
	want := []string{"produce wattline.rejects/0 x 1", "fence", "insert charges", "insert sessions", "insert blocks"}
	if diff := cmp.Diff(want, s.calls); diff != "" {
		t.Error(diff)
	}
}

// TestSettleOrder: rejects, rows, the block's row (I4); what the broker does not take is tried again.
func TestSettleOrder(t *testing.T) {
	s, w := newScripted("produce err\nproduce err\nproduce ok\ninsert ok\ninsert ok\ninsert ok")
	b := testBlock()
	b.Rejects = []Message{{Key: []byte("a")}, {Key: []byte("b")}}
	if err := w.settle(t.Context(), b, false); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"produce wattline.rejects/0 x 2", "produce wattline.rejects/0 x 2", "produce wattline.rejects/0 x 2",
		"insert charges", "insert sessions", "insert blocks",
	}
	if diff := cmp.Diff(want, s.calls); diff != "" {
		t.Error(diff)
	}
}

// TestSnapshotChunks: a snapshot goes out in requests of 4 MiB at most; what the broker does not take is tried again.
func TestSnapshotChunks(t *testing.T) {
	s, w := newScripted("produce err\nproduce ok\nproduce err")
	w.cfg.SnapshotChunk = 4096
	st := snapshot.State{Topic: "readings", NextOffset: 200, Names: []string{strings.Repeat("x", 6<<20)}}
	img := &image{Image: slab.Image{Head: st}, whole: make(chan struct{})}
	close(img.whole)
	ref, err := w.snapshot(t.Context(), readings, img)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"produce wattline.state/0 x 1024", "produce wattline.state/0 x 1024",
		"produce wattline.state/0 x 513", "produce wattline.state/0 x 513",
	}
	if diff := cmp.Diff(want, s.calls); diff != "" {
		t.Error(diff)
	}
	bytes := snapshot.Append(nil, &st)
	if ref.Count != 1537 || ref.At != 70 || ref.Offset != 200 || ref.Bytes != int64(len(bytes)) || ref.CRC != snapshot.Checksum(bytes) {
		t.Errorf("%+v", ref)
	}
}

// TestSettleEnds: a settler whose partition ends returns, whatever it waits for.
func TestSettleEnds(t *testing.T) {
	f := func(script string) {
		t.Helper()
		s, w := newScripted(script)
		ctx, cancel := context.WithCancelCause(t.Context())
		b := testBlock()
		b.Rejects = []Message{{}}
		w.clock = stopping{s, func() { cancel(ErrLost) }}
		if err := w.settle(ctx, b, false); !errors.Is(err, ErrLost) {
			t.Errorf("%s: error %v", script, err)
		}
	}
	f("produce err")
	f("produce ok\ninsert err")
	f("produce ok\ninsert ok\ninsert err")
	f("produce ok\ninsert ok\ninsert ok\ninsert err")
}

// stopping is a clock at whose first wait the partition ends.
type stopping struct {
	*scripted
	stop func()
}

func (s stopping) After(time.Duration) <-chan time.Time {
	s.stop()
	return nil
}

// TestTokens are those of docs/formats/block.md: a block's inserts are known by them in any process.
func TestTokens(t *testing.T) {
	b := testBlock()
	july := b.charges(202507)
	july.Position = append(july.Position, 5)
	var got []string
	for _, in := range b.inserts() {
		got = append(got, in.Token)
	}
	want := []string{
		"wl1/readings/0/100-199/charges/202506", "wl1/readings/0/100-199/charges/202507",
		"wl1/readings/0/100-199/sessions/202506", "wl1/readings/0/100-199/blocks/0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, want := queryPrefix("wl1/readings/0/100-199/blocks/0"), "wl-99a61e4117193c59-"; got != want {
		t.Errorf("query prefix %s, want %s", got, want)
	}
	if got, want := string(snapshotKey(readings, 17, 3)), "readings/0/17/3"; got != want {
		t.Errorf("snapshot key %s, want %s", got, want)
	}
}

// TestSnapshotIDsGrow: a clock that steps back makes no older snapshot of a newer one.
func TestSnapshotIDsGrow(t *testing.T) {
	b := newBare(t, Config{}, "CP1")
	s, w := newScripted("")
	w.lastID = uint64(s.now.UnixNano())
	for i, step := range []time.Duration{time.Hour, -2 * time.Hour, 0, 3 * time.Hour, 0} {
		s.now = s.now.Add(step)
		img := b.beginImage(&slab.ImagePools{})
		for b.stepImage(100) {
			continue
		}
		before := w.lastID
		ref, err := w.snapshot(t.Context(), readings, img)
		if err != nil {
			t.Fatal(err)
		}
		if ref.ID <= before || ref.ID < uint64(s.now.UnixNano()) {
			t.Errorf("snapshot %d: id %d after %d, at %d", i, ref.ID, before, s.now.UnixNano())
		}
	}
}
