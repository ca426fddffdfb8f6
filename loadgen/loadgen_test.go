package loadgen

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/rating"
)

func smallCity(points int) Config {
	cfg := City()
	cfg.ChargePoints = points
	return cfg
}

func smallBench(points int) Config {
	cfg := Bench()
	cfg.ChargePoints, cfg.Tariffs = points, 16
	return cfg
}

func mustNew(t testing.TB, cfg Config) *Network {
	t.Helper()
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// sent is an event as text, without what points into the stream.
func sent(e *Event) string {
	return fmt.Sprintf("%d %d %s %v %x", e.Partition, e.SendMs, e.Reading.ChargePoint, e.Duplicate, wire.Append(nil, &e.Reading))
}

func collect(t testing.TB, s *Stream, untilMs int64) []string {
	t.Helper()
	var list []string
	for s.NowMs() < untilMs {
		if err := s.Tick(func(e *Event) error { list = append(list, sent(e)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// The hashes change when the generator does: whoever changes them changes every network, and must say so in
// docs/LOADGEN.md.
func TestGolden(t *testing.T) {
	f := func(name string, cfg Config, hours int64, want string) {
		t.Helper()
		for range 2 {
			n := mustNew(t, cfg)
			h := sha256.New()
			for _, line := range collect(t, n.Stream(0), cfg.EpochMs+hours*hourMs) {
				fmt.Fprintln(h, line)
			}
			for i := range n.Sites() {
				h.Write(n.LocationJSON(nil, i))
			}
			for i := range n.Tariffs() {
				h.Write(n.TariffJSON(nil, i))
			}
			if got := hex.EncodeToString(h.Sum(nil)[:8]); got != want {
				t.Errorf("%s: hash %s, want %s", name, got, want)
			}
		}
	}
	f("city", smallCity(60), 12, "92a2307b8b751b68")
	f("bench", smallBench(100), 1, "dbf5678f9e758c8c")
	late := smallCity(60)
	late.DisorderPerMillion, late.EndMs, late.Seed = 20_000, late.EpochMs+4*hourMs, 7
	f("late", late, 5, "c17af1df8eb8f4e7")
}

// A phase's energy is the floor of the exact integral of its power, and never goes back.
func TestPhaseEnergy(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		p := phase{durationMs: 1 + r.Int32N(8*hourMs), fromW: r.Int32N(1000), toW: r.Int32N(1000)}
		if p.durationMs < hourMs { // what plan.add allows
			p.fromW, p.toW = p.fromW*300, p.toW*300
		}
		length := int64(p.durationMs)
		ms := r.Int64N(length + 1)
		exact := big.NewRat(ms*ms, 2*length)
		exact.Mul(exact, big.NewRat(int64(p.toW-p.fromW), 1)).Add(exact, big.NewRat(int64(p.fromW)*ms, 1))
		want := new(big.Int).Div(exact.Num(), exact.Denom())
		if got := p.energyMj(ms); want.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("seed %d: %+v after %d ms: %d mJ, want %s", seed, p, ms, got, want)
		}
		if ms > 0 && p.energyMj(ms) < p.energyMj(ms-1) {
			t.Fatalf("seed %d: %+v: energy goes back at %d ms", seed, p, ms)
		}
	}
}

// L1: where a stream was opened and which partitions it is of can not be seen in its events.
func TestResume(t *testing.T) {
	f := func(name string, cfg Config, hours int64) {
		t.Helper()
		n := mustNew(t, cfg)
		until := cfg.EpochMs + hours*hourMs
		var straight [][]string // by tick
		s := n.Stream(0)
		for s.NowMs() < until {
			straight = append(straight, collect(t, s, s.NowMs()+1))
		}
		r := rand.New(rand.NewPCG(uint64(hours), cfg.Seed))
		for range 8 {
			from := cfg.EpochMs + r.Int64N(hours*hourMs)
			first := int((from - cfg.EpochMs) / cfg.TickMs)
			got := collect(t, n.Stream(from), until)
			if diff := cmp.Diff(slices.Concat(straight[first:]...), got); diff != "" {
				t.Fatalf("%s: a stream opened at %s differs (-straight +resumed):\n%.2000s", name, timeText(from), diff)
			}
		}
		all := slices.Concat(straight...)
		for p := range cfg.Partitions {
			var want []string
			for _, line := range all {
				if line[:2] == fmt.Sprintf("%d ", p) {
					want = append(want, line)
				}
			}
			if len(want) == 0 {
				t.Errorf("%s: nothing in partition %d", name, p)
			}
			if diff := cmp.Diff(want, collect(t, n.Stream(0, p), until)); diff != "" {
				t.Fatalf("%s: partition %d alone differs:\n%.2000s", name, p, diff)
			}
		}
	}
	f("city", smallCity(40), 18)
	f("bench", smallBench(30), 1)
	late := smallCity(40)
	late.DisorderPerMillion = 100_000
	f("late", late, 10)
	ends := smallCity(40)
	ends.EndMs = ends.EpochMs + 5*hourMs
	f("ends", ends, 7)
}

type sessionKey struct {
	chargePoint, transaction string
}

// follower checks L2 to L4 event by event.
type follower struct {
	t        testing.TB
	n        *Network
	lastMs   map[string]int64     // by charge point
	register map[string]int64     // by charge point and connector
	live     map[sessionKey]int64 // next seq
	ended    map[sessionKey]bool
	points   map[sessionKey][]rating.Point
	copies   int64
	states   map[rating.ChargeState]int
	before   string
}

func newFollower(t testing.TB, n *Network) *follower {
	return &follower{
		t: t, n: n, lastMs: map[string]int64{}, register: map[string]int64{}, live: map[sessionKey]int64{},
		ended: map[sessionKey]bool{}, points: map[sessionKey][]rating.Point{}, states: map[rating.ChargeState]int{},
	}
}

func (f *follower) see(e *Event) error {
	r := &e.Reading
	line := sent(&Event{Reading: *r, SendMs: e.SendMs, Partition: e.Partition})
	if e.Duplicate {
		f.copies++
		if line != f.before {
			f.t.Errorf("the duplicate %s differs from %s", line, f.before)
		}
		return nil
	}
	f.before = line
	k := sessionKey{string(r.ChargePoint), string(r.Transaction)}
	con := fmt.Sprintf("%s/%d", r.ChargePoint, r.Connector)
	if r.AtMs < f.lastMs[k.chargePoint] || e.SendMs != r.AtMs {
		f.t.Errorf("%s goes back in time", line)
	}
	f.lastMs[k.chargePoint] = r.AtMs
	if r.RegisterMwh < f.register[con] || r.ResolutionMwh > 1 && r.RegisterMwh%r.ResolutionMwh != 0 {
		f.t.Errorf("%s: register %d after %d", line, r.RegisterMwh, f.register[con])
	}
	f.register[con] = r.RegisterMwh
	next, live := f.live[k]
	if (r.Kind == rating.KindStart) == live || f.ended[k] || r.Seq != next {
		f.t.Errorf("%s: kind %d, seq %d, want %d", line, r.Kind, r.Seq, next)
	}
	f.live[k] = next + 1
	state := r.State
	if r.Kind == rating.KindStop {
		f.ended[k] = true
		delete(f.live, k)
		last := f.points[k][len(f.points[k])-1].State
		if state == rating.StateReservationExpired {
			for i := range f.points[k] {
				if f.points[k][i].State != rating.StateReserved {
					f.t.Errorf("%s: expires after it was used", line)
				}
				f.points[k][i].State = state
			}
		} else if state != rating.StateUnchanged {
			f.t.Errorf("%s: a stop in state %d", line, state)
		} else {
			state = last
		}
	}
	f.states[state]++
	f.points[k] = append(f.points[k], rating.Point{AtMs: r.AtMs, RegisterMwh: r.RegisterMwh, PowerMicroW: r.PowerMicroW, CurrentNanoA: r.CurrentNanoA, State: state})
	return nil
}

// What is sent keeps the invariants and is what Sessions tells.
func TestSessionsAreSent(t *testing.T) {
	f := func(name string, cfg Config, hours int64) {
		t.Helper()
		n := mustNew(t, cfg)
		until := cfg.EpochMs + hours*hourMs
		fo := newFollower(t, n)
		for s := n.Stream(0); s.NowMs() < until; {
			if err := s.Tick(fo.see); err != nil {
				t.Fatal(err)
			}
		}
		count, copies := 0, int64(0)
		for s := range n.Sessions(until) {
			k := sessionKey{s.ChargePoint, s.Transaction}
			if diff := cmp.Diff(fo.points[k], s.Points(nil, until)); diff != "" {
				t.Fatalf("%s: %v (-sent +truth):\n%s", name, k, diff)
			}
			if s.Finished(until) != fo.ended[k] {
				t.Errorf("%s: %v finished: %v", name, k, s.Finished(until))
			}
			copies += s.Duplicates(until)
			count++
		}
		if count != len(fo.points) || copies != fo.copies || copies == 0 {
			t.Errorf("%s: %d sessions and %d duplicates told, %d and %d sent", name, count, copies, len(fo.points), fo.copies)
		}
		t.Logf("%s: %d sessions, %d live, %d duplicates, states %v", name, count, len(fo.live), copies, fo.states)
	}
	f("city", smallCity(60), 30)
	f("bench", smallBench(40), 1)
	ends := smallCity(60)
	ends.EndMs = ends.EpochMs + 12*hourMs
	f("ends", ends, 14)
}

// A network of which all has ended leaves no session open.
func TestEnd(t *testing.T) {
	f := func(cfg Config) {
		t.Helper()
		cfg.EndMs = cfg.EpochMs + hourMs
		n := mustNew(t, cfg)
		for s := range n.Sessions(never) {
			if s.EndMs > cfg.EndMs || s.StartMs >= s.EndMs {
				t.Errorf("session %s/%s from %d to %d, network ends at %d", s.ChargePoint, s.Transaction, s.StartMs, s.EndMs, cfg.EndMs)
			}
		}
		stream, stops := n.Stream(0), 0
		for !stream.Done() {
			if err := stream.Tick(func(e *Event) error {
				if e.Reading.Kind == rating.KindStop && e.Reading.AtMs == cfg.EndMs && !e.Duplicate {
					stops++
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if stops == 0 {
			t.Error("nobody was stopped by the end")
		}
	}
	f(smallCity(50))
	f(smallBench(50))
}

// A bench network has as many live sessions as connectors at any time, and its sessions have every age.
func TestBenchIsSteady(t *testing.T) {
	n := mustNew(t, smallBench(1_000))
	live, perMinute := map[string]bool{}, make([]int, 60)
	for s := n.Stream(0); s.NowMs() < n.cfg.EpochMs+hourMs; {
		minute := (s.NowMs() - n.cfg.EpochMs) / minuteMs
		if err := s.Tick(func(e *Event) error {
			if e.Duplicate {
				return nil
			}
			switch id := string(e.Reading.ChargePoint); e.Reading.Kind {
			case rating.KindStart:
				live[id] = true
				if len(id) != 40 {
					t.Errorf("%q is not 40 bytes", id)
				}
			case rating.KindStop:
				delete(live, id)
				perMinute[minute]++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if s.NowMs() >= n.cfg.EpochMs+n.cfg.ChargingEveryMs && len(live) != 1_000 {
			t.Fatalf("%d sessions are live", len(live))
		}
	}
	for minute, ended := range perMinute {
		if ended < 10 || ended > 65 { // 33 expected
			t.Errorf("%d sessions ended in minute %d", ended, minute)
		}
	}
}

// Late readings come right after their successor, and nothing else changes.
func TestDisorder(t *testing.T) {
	cfg := smallCity(50)
	until := cfg.EpochMs + 6*hourMs
	cfg.DuplicatesPerMillion = 0
	readings := func(perMillion int32) (list []string, late int) {
		cfg.DisorderPerMillion = perMillion
		lastSeq := map[string]int64{}
		for s := mustNew(t, cfg).Stream(0); s.NowMs() < until; {
			if err := s.Tick(func(e *Event) error {
				r := &e.Reading
				list = append(list, fmt.Sprintf("%s %x", r.ChargePoint, wire.Append(nil, r)))
				tx := string(r.Transaction)
				if e.SendMs != r.AtMs {
					late++
					if e.SendMs != r.AtMs+cfg.ChargingEveryMs || r.Seq != lastSeq[tx]-1 {
						t.Errorf("%s %s: seq %d comes after %d", r.ChargePoint, tx, r.Seq, lastSeq[tx])
					}
				} else {
					lastSeq[tx] = r.Seq
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(list)
		return list, late
	}
	want, none := readings(0)
	got, late := readings(200_000)
	if none != 0 || late < 100 {
		t.Errorf("late readings: %d without disorder, %d with", none, late)
	}
	// What is late at the very end is not sent any more: at most one a session.
	missing := 0
	for i, j := 0, 0; i < len(want); i++ {
		if j < len(got) && got[j] == want[i] {
			j++
		} else {
			missing++
		}
	}
	if missing != len(want)-len(got) || missing > 60 {
		t.Errorf("%d readings are missing of %d", missing, len(want))
	}
}

// A city shows all that it is made for within two weeks.
func TestCityHasEverything(t *testing.T) {
	n := mustNew(t, smallCity(600))
	until := n.cfg.EpochMs + 14*dayMs
	tariffs, zones := map[string]int{}, map[string]int{}
	states := map[rating.ChargeState]int{}
	expired, sessions := 0, 0
	for s := range n.Sessions(until) {
		sessions++
		tariffs[s.Tariff.ID]++
		zones[s.Zone]++
		for _, p := range s.plan.phases[:s.plan.n] {
			states[p.state]++
		}
		if s.Expired {
			expired++
		}
		if ms := s.EndMs - s.StartMs; s.StartMs > n.cfg.EpochMs+hourMs && (ms < 2*minuteMs || ms > 40*hourMs) {
			t.Errorf("%s/%s lasts %d ms", s.ChargePoint, s.Transaction, ms)
		}
	}
	if len(tariffs) != len(n.tariffs) || len(zones) != len(n.zones) || len(states) != 5 || expired == 0 {
		t.Errorf("tariffs %v, zones %v, states %v, %d expired", tariffs, zones, states, expired)
	}
	if perDay := sessions / 14; perDay < 600 || perDay > 6_000 {
		t.Errorf("%d sessions a day at 600 charge points", perDay)
	}
	t.Logf("%d sessions, tariffs %v, zones %v, states %v, %d expired", sessions, tariffs, zones, states, expired)
}

func TestValidate(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		cfg := Bench()
		change(&cfg)
		_, err := New(cfg)
		if err == nil || err.Error() != "new network: "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(func(c *Config) { c.ChargePoints = 0 }, "loadgen.ChargePoints: 0 is not in 1..10000000")
	f(func(c *Config) { c.Shape, c.Partitions = 9, 0 }, "loadgen.Shape: 9 is not in 0..1\nloadgen.Partitions: 0 is not in 1..1048576")
	f(func(c *Config) { c.EndMs = c.EpochMs + 50 }, "loadgen.TickMs: EpochMs 1767596100000 and EndMs 1767596100050 are not multiples of 100")
	f(func(c *Config) { c.TickMs, c.EpochMs = 50_000, 1_767_600_000_000; c.ChargingEveryMs = 1_000 }, "loadgen.TickMs: 50000 is more than 16 readings of a session")
	f(func(c *Config) { c.ChargePointBytes = 12 }, "loadgen.ChargePointBytes: 12 is not in 24..48")
}

// L6: a stream allocates nothing per reading.
func TestStreamDoesNotAllocate(t *testing.T) {
	n := mustNew(t, smallBench(2_000))
	s := n.Stream(0)
	readings := 0
	send := func(*Event) error { readings++; return nil }
	allocs := testing.AllocsPerRun(3_000, func() {
		if err := s.Tick(send); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 || readings < 100_000 {
		t.Errorf("%v allocations a tick over %d readings", allocs, readings)
	}
}
