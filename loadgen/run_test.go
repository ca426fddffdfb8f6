package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/rating"
)

// fakeClock jumps to whatever is waited for.
type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time { return c.now }

func (c *fakeClock) After(d time.Duration) <-chan time.Time {
	c.now = c.now.Add(d)
	ch := make(chan time.Time, 1)
	ch <- c.now
	return ch
}

// log is a broker's: records that were flushed, and those that were only appended.
type log struct {
	clock    *fakeClock
	durable  [][]string // by partition
	newest   []int64
	waiting  []Record
	appended int
	failAt   int           // the append that fails; 0: none
	slow     time.Duration // what a record costs
}

var errBroken = errors.New("the broker is gone")

func newLog(clock *fakeClock, partitions int32) *log {
	l := &log{clock: clock, durable: make([][]string, partitions), newest: make([]int64, partitions)}
	return l
}

func (l *log) Append(_ context.Context, r *Record) error {
	l.appended++
	if l.appended == l.failAt {
		return errBroken
	}
	l.clock.now = l.clock.now.Add(l.slow)
	l.waiting = append(l.waiting, Record{r.Partition, r.TimestampMs, slices.Clone(r.Key), slices.Clone(r.Value)})
	return nil
}

func (l *log) Flush(context.Context) error {
	for _, r := range l.waiting {
		l.durable[r.Partition] = append(l.durable[r.Partition], fmt.Sprintf("%d %s %x", r.TimestampMs, r.Key, r.Value))
		l.newest[r.Partition] = r.TimestampMs
	}
	l.waiting = l.waiting[:0]
	return nil
}

// A run that is killed at any point and resumed again and again sends what one straight run sends, and some of it
// twice.
func TestRunResumes(t *testing.T) {
	const seed = 11
	r := rand.New(rand.NewPCG(seed, 1))
	cfg := smallCity(200)
	cfg.Partitions = 40 // some have a charge point or two, some may have none
	n := mustNew(t, cfg)
	clock := &fakeClock{time.Unix(1_000, 0)}
	rc := RunConfig{Network: n, Clock: clock, Speed: 60, UntilMs: cfg.EpochMs + 4*hourMs}
	straight := newLog(clock, cfg.Partitions)
	if _, err := Run(t.Context(), rc, straight); err != nil {
		t.Fatal(err)
	}
	killed, runs := newLog(clock, cfg.Partitions), 0
	for i := range killed.newest {
		killed.newest[i] = rating.Unknown
	}
	for {
		runs++
		killed.waiting, killed.appended, killed.failAt = nil, 0, 500+int(r.Int64N(5_000))
		rc.Sent = slices.Clone(killed.newest)
		_, err := Run(t.Context(), rc, killed)
		if err == nil {
			break
		}
		if !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
	}
	again := 0
	for p := range cfg.Partitions {
		want, got := straight.durable[p], killed.durable[p]
		again += len(got) - len(want)
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(slices.Compact(want), slices.Compact(got)); diff != "" {
			t.Errorf("seed %d: partition %d (-straight +killed):\n%.1000s", seed, p, diff)
		}
	}
	// A restart sends again the last tick of each partition, no more: one or two readings, with their duplicates.
	if runs < 4 || again == 0 || again > runs*int(cfg.Partitions)*4 {
		t.Errorf("seed %d: %d runs sent %d records again", seed, runs, again)
	}
	t.Logf("%d runs, %d records twice", runs, again)
}

// Records are sent at their intended times, however slow the producer is, and the run says how late it is.
func TestRunPaces(t *testing.T) {
	f := func(speed int64, slow time.Duration, wantBehind bool) {
		t.Helper()
		cfg := smallCity(300)
		n := mustNew(t, cfg)
		begin := time.Unix(1_000, 0)
		clock := &fakeClock{begin}
		l := newLog(clock, cfg.Partitions)
		l.slow = slow
		var calls []Progress
		last, err := Run(t.Context(), RunConfig{
			Network: n, Clock: clock, Speed: speed, UntilMs: cfg.EpochMs + hourMs,
			Progress: func(p Progress) { calls = append(calls, p) },
		}, l)
		if err != nil {
			t.Fatal(err)
		}
		ideal := time.Hour / time.Duration(speed)
		if late := clock.now.Sub(begin) - ideal; !wantBehind && (late < 0 || late > slow+time.Second) {
			t.Errorf("speed %d: the hour took %v, want %v", speed, clock.now.Sub(begin), ideal)
		}
		if (last.Behind > time.Second) != wantBehind {
			t.Errorf("speed %d: behind %v", speed, last.Behind)
		}
		if len(calls) < 10 || !last.Done || calls[0].Left <= 0 || last.Left != 0 || last.Records != int64(l.appended) {
			t.Errorf("speed %d: %d calls of progress, first %+v, last %+v", speed, len(calls), calls[0], last)
		}
	}
	f(60, 10*time.Microsecond, false)
	f(1, time.Millisecond, false)
	f(60, 20*time.Millisecond, true)
}

// No record is sent before the time at which it was measured.
func TestRunSendsNothingEarly(t *testing.T) {
	cfg := smallCity(100)
	n := mustNew(t, cfg)
	clock := &fakeClock{time.Unix(1_000, 0)}
	begin := clock.now
	p := &earlyCheck{clock: clock, due: func(ms int64) time.Time { return begin.Add(time.Duration(ms-cfg.EpochMs) * time.Millisecond / 10) }}
	if _, err := Run(t.Context(), RunConfig{Network: n, Clock: clock, Speed: 10, UntilMs: cfg.EpochMs + hourMs}, p); err != nil {
		t.Fatal(err)
	}
	if p.early != 0 || p.late != 0 || p.count == 0 {
		t.Errorf("%d records early, %d late, of %d", p.early, p.late, p.count)
	}
}

type earlyCheck struct {
	clock              *fakeClock
	due                func(ms int64) time.Time
	early, late, count int
}

func (p *earlyCheck) Append(_ context.Context, r *Record) error {
	p.count++
	if at := p.due(r.TimestampMs); p.clock.now.Before(at) {
		p.early++
	} else if p.clock.now.After(at.Add(200 * time.Millisecond)) { // a tick is 100 ms at this speed
		p.late++
	}
	return nil
}

func (p *earlyCheck) Flush(context.Context) error { return nil }

func TestRunStops(t *testing.T) {
	n := mustNew(t, smallCity(20))
	clock := &fakeClock{time.Unix(1_000, 0)}
	cause := errors.New("enough")
	f := func(speed int64) {
		t.Helper()
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := Run(ctx, RunConfig{Network: n, Clock: clock, Speed: speed, Progress: func(p Progress) {
			if p.Left >= 0 {
				t.Errorf("a run without end says %v are left", p.Left)
			}
			cancel(cause)
		}, ProgressEvery: 1, Encode: func(dst []byte, r *rating.Reading) []byte {
			clock.now = clock.now.Add(time.Microsecond)
			return wire.Append(dst, r)
		}}, newLog(clock, 4))
		if !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
	}
	f(0)
	f(60)
	if _, err := Run(t.Context(), RunConfig{Speed: -1}, nil); err == nil ||
		err.Error() != "loadgen.RunConfig.Network: missing\nloadgen.RunConfig.Clock: missing\nloadgen.RunConfig.Speed: -1 is not in 0..1000000" {
		t.Errorf("got %v", err)
	}
}

// A resumed run sends what is missing at once, and lets time pass from the newest record on.
func TestRunPacesAfterResume(t *testing.T) {
	cfg := smallCity(100)
	n := mustNew(t, cfg)
	begin := time.Unix(1_000, 0)
	clock := &fakeClock{begin}
	l := newLog(clock, cfg.Partitions)
	sent := make([]int64, cfg.Partitions)
	for p := range sent {
		sent[p] = cfg.EpochMs + int64(p+1)*10*minuteMs
	}
	last, err := Run(t.Context(), RunConfig{Network: n, Clock: clock, Speed: 60, Sent: sent, UntilMs: cfg.EpochMs + hourMs}, l)
	if err != nil {
		t.Fatal(err)
	}
	if took := clock.now.Sub(begin); took < 20*time.Second || took > 21*time.Second || last.Behind > time.Second {
		t.Errorf("20 minutes at 60 took %v, %v behind", took, last.Behind)
	}
	for p := range sent {
		want := 0
		if err := func() error {
			for s := n.Stream(sent[p], int32(p)); s.NowMs() < cfg.EpochMs+hourMs; {
				if err := s.Tick(func(*Event) error { want++; return nil }); err != nil {
					return err
				}
			}
			return nil
		}(); err != nil || want == 0 || len(l.durable[p]) != want {
			t.Errorf("partition %d has %d records, want %d", p, len(l.durable[p]), want)
		}
	}
}

// What is before PaceFromMs is sent at once, and what the producer needed for it does not count as being late.
func TestRunPacesFrom(t *testing.T) {
	cfg := Demo(200)
	clock := &fakeClock{time.Unix(1_000, 0)}
	l := newLog(clock, cfg.Partitions)
	l.slow = time.Millisecond
	var behind []time.Duration
	last, err := Run(t.Context(), RunConfig{
		Network: mustNew(t, cfg), Clock: clock, Speed: 60, PaceFromMs: DefaultEpochMs, UntilMs: DefaultEpochMs + hourMs,
		Progress: func(p Progress) {
			if p.SimulatedMs > DefaultEpochMs {
				behind = append(behind, p.Behind)
			}
		},
	}, l)
	if err != nil {
		t.Fatal(err)
	}
	sending := time.Duration(last.Records) * time.Millisecond
	if last.Elapsed < time.Minute || last.Elapsed > time.Minute+sending {
		t.Errorf("a day at once and an hour at 60 took %v, want a minute and at most %v", last.Elapsed, sending)
	}
	if len(behind) < 10 || slices.Max(behind) > time.Second {
		t.Errorf("behind while time passes: %v", behind)
	}
}
