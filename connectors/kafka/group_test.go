package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wattline/wattline/engine"
)

// member starts an engine's membership with a client of its own.
func member(t testing.TB, fake *kfake.Cluster, instance string, change func(*Config)) *Group {
	t.Helper()
	c := newTestClient(t, fake, func(cfg *Config) {
		cfg.Group = GroupConfig{
			ID: "engines", InstanceID: instance, Topics: []string{readings}, APIAddress: instance + ":80",
			SessionTimeout: 10 * time.Second, HeartbeatInterval: 30 * time.Millisecond, RebalanceTimeout: 2 * time.Second,
		}
		if change != nil {
			change(cfg)
		}
	})
	g, err := c.Join(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() }) // tests that care close it themselves
	return g
}

func next(t testing.TB, g *Group) engine.Assignment {
	t.Helper()
	a, err := g.Next(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// settled waits until the members of all groups stand in one generation and share all partitions.
func settled(t testing.TB, partitions int, groups ...*Group) [][]engine.Partition {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		var out [][]engine.Partition
		gens, total := map[int32]bool{}, 0
		for _, g := range groups {
			g.mu.Lock()
			if !g.stable {
				gens[-1] = true
			}
			gens[g.current.Generation] = true
			out = append(out, slices.Clone(g.current.Partitions))
			total += len(g.current.Partitions)
			g.mu.Unlock()
		}
		if len(gens) == 1 && total == partitions && !gens[-1] {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("groups did not settle: generations %v, %d of %d partitions", gens, total, partitions)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func generationOf(g *Group) int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current.Generation
}

func commitAt(t testing.TB, g *Group, p engine.Partition, offset int64, plan string) {
	t.Helper()
	if err := g.Commit(testContext(t), p, engine.Commit{Offset: offset, Metadata: plan}); err != nil {
		t.Fatal(err)
	}
}

func committed(t testing.TB, g *Group, p engine.Partition) engine.Commit {
	t.Helper()
	c, err := g.Committed(testContext(t), p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGroupAlone(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(3, readings))
	g := member(t, fake, "a", nil)
	a := next(t, g)
	if d := cmp.Diff([]engine.Partition{part(0), part(1), part(2)}, a.Partitions); d != "" || a.Generation < 1 {
		t.Error(d, a.Generation)
	}
	if c := committed(t, g, part(1)); c != (engine.Commit{Offset: -1}) {
		t.Errorf("nothing was committed, got %+v", c)
	}
	commitAt(t, g, part(1), 17, "v1;plan")
	if c := committed(t, g, part(1)); c != (engine.Commit{Offset: 17, Metadata: "v1;plan"}) {
		t.Errorf("got %+v", c)
	}
	mustProduce(t, g.c, 1, numbered(30))
	fd, err := g.Open(part(1), 17)
	if err != nil {
		t.Fatal(err)
	}
	if got := collect(t, fd, 13); got[0].Offset != 17 {
		t.Errorf("first offset %d", got[0].Offset)
	}
	if want := []Peer{{InstanceID: "a", Address: "a:80", Partitions: a.Partitions}}; !cmp.Equal(want, peersOf(g)) {
		t.Errorf("peers %+v", peersOf(g))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next without change: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := g.Next(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := g.Commit(testContext(t), part(1), engine.Commit{Offset: 18}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestGroupGrows: two share, a third joins and takes only its share; each keeps what it may.
func TestGroupGrows(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(12, readings), kfake.NumBrokers(2))
	a := member(t, fake, "a", nil)
	settled(t, 12, a)
	b := member(t, fake, "b", nil)
	two := settled(t, 12, a, b)
	c := member(t, fake, "c", nil)
	three := settled(t, 12, a, b, c)
	for i, ps := range three {
		if len(ps) != 4 {
			t.Errorf("member %d has %d", i, len(ps))
		}
		if i < 2 {
			for _, p := range ps {
				if !slices.Contains(two[i], p) {
					t.Errorf("member %d got %s, which it did not have", i, p)
				}
			}
		}
	}
	if peers := peersOf(b); len(peers) != 3 || peers[2].Address != "c:80" {
		t.Errorf("peers %+v", peers)
	}
}

// TestStaticRestart: a killed engine is back in its partitions without a rebalance of the others.
func TestStaticRestart(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(6, readings))
	a := member(t, fake, "a", nil) // leads: kfake rebalances when a leader restarts, Apache Kafka does not
	settled(t, 6, a)
	b := member(t, fake, "b", nil)
	before := settled(t, 6, a, b)
	generation := generationOf(b)
	if err := b.Close(); err != nil { // as a kill: it does not leave
		t.Fatal(err)
	}
	at := time.Now()
	b2 := member(t, fake, "b", nil)
	got := next(t, b2)
	if d := cmp.Diff(before[1], got.Partitions); d != "" || got.Generation != generation {
		t.Errorf("generation %d, was %d; %s", got.Generation, generation, d)
	}
	t.Logf("assigned again after %s", time.Since(at))
	commitAt(t, b2, got.Partitions[0], 5, "")
}

// TestFenced: of two engines with one instance id the older stops, with an error that says why.
func TestFenced(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(2, readings))
	slow := func(c *Config) { c.Group.HeartbeatInterval, c.Group.RebalanceTimeout = 3*time.Second, 4*time.Second } // the commit must tell, not the heartbeat
	old := member(t, fake, "a", slow)
	next(t, old)
	commitAt(t, old, part(0), 1, "old")
	young := member(t, fake, "a", slow)
	settled(t, 2, young)
	commitAt(t, young, part(0), 2, "young")
	err := old.Commit(testContext(t), part(0), engine.Commit{Offset: 9, Metadata: "zombie"})
	if !errors.Is(err, engine.ErrFenced) {
		t.Errorf("zombie's commit: %v", err)
	}
	if _, err := old.Next(testContext(t)); !errors.Is(err, engine.ErrFenced) || !strings.Contains(err.Error(), "InstanceID") {
		t.Errorf("zombie's Next: %v", err)
	}
	if c := committed(t, young, part(0)); c != (engine.Commit{Offset: 2, Metadata: "young"}) {
		t.Errorf("committed %+v", c)
	}
}

func TestFencedByHeartbeat(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(2, readings))
	old := member(t, fake, "a", nil)
	next(t, old)
	member(t, fake, "a", nil)
	if _, err := old.Next(testContext(t)); !errors.Is(err, engine.ErrFenced) {
		t.Error(err)
	}
}

// TestCommitInRebalance: a commit that a rebalance overtakes waits; then it is stored where the partition stayed and
// lost where it went. Nothing is stored for another's partition (I4).
func TestCommitInRebalance(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(8, readings))
	a := member(t, fake, "a", nil)
	next(t, a)
	hold := make(chan struct{})
	held := sync.OnceFunc(func() { close(hold) })
	// The coordinator refuses as one does that completes a rebalance, until the new generation stands.
	fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: 1})
	errs := make(chan error, 8)
	for p := range int32(8) {
		go func() {
			err := a.Commit(testContext(t), part(p), engine.Commit{Offset: 100 + int64(p), Metadata: "plan"})
			errs <- err
			held()
		}()
	}
	b := member(t, fake, "b", nil)
	shares := settled(t, 8, a, b)
	<-hold
	stored, lost := 0, 0
	for range 8 {
		switch err := <-errs; {
		case err == nil:
			stored++
		case errors.Is(err, engine.ErrLost):
			lost++
		default:
			t.Error(err)
		}
	}
	if fault.Hits() != 1 {
		t.Errorf("fault was hit %d times", fault.Hits())
	}
	if stored < len(shares[0]) || stored+lost != 8 {
		t.Errorf("%d stored, %d lost, %d kept", stored, lost, len(shares[0]))
	}
	for _, p := range shares[0] {
		if c := committed(t, a, p); c.Offset != 100+int64(p.Number) {
			t.Errorf("%s: %+v", p, c)
		}
	}
	for _, p := range shares[1] {
		if err := a.Commit(testContext(t), p, engine.Commit{Offset: 999}); !errors.Is(err, engine.ErrLost) {
			t.Errorf("commit of %s, which b has: %v", p, err)
		}
	}
}

func TestCommitErrors(t *testing.T) {
	f := func(err *kerr.Error, count int, want string) {
		t.Helper()
		fake, _ := startFake(t, nil, kfake.SeedTopics(1, readings))
		g := member(t, fake, "a", nil)
		next(t, g)
		fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: err, Count: count})
		got := g.Commit(testContext(t), part(0), engine.Commit{Offset: 5})
		if want == "" {
			if got != nil || fault.Hits() != count {
				t.Errorf("%v: %v after %d faults", err, got, fault.Hits())
			}
			return
		}
		if got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v, want %q", err, got, want)
		}
	}
	f(kerr.CoordinatorLoadInProgress, 3, "")
	f(kerr.CoordinatorNotAvailable, 3, "")
	f(kerr.NotCoordinator, 3, "")
	f(kerr.RequestTimedOut, 2, "")
	f(kerr.IllegalGeneration, 1, "")
	f(kerr.UnknownMemberID, 1, engine.ErrLost.Error()) // while it did not know us, another may have had the partition
	f(kerr.RebalanceInProgress, 2, "")
	f(kerr.UnknownTopicOrPartition, 2, "")
	f(kerr.OffsetMetadataTooLarge, 1, "offset.metadata.max.bytes")
	f(kerr.GroupAuthorizationFailed, 1, "right to read the group")
	f(kerr.FencedInstanceID, 1, engine.ErrFenced.Error())
}

func TestCommitRefusesBefore(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(1, readings))
	g := member(t, fake, "a", nil)
	next(t, g)
	sent := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Observe: true, Count: -1})
	commitAt(t, g, part(0), 1, strings.Repeat("x", 4096))
	err := g.Commit(testContext(t), part(0), engine.Commit{Offset: 2, Metadata: strings.Repeat("x", 4097)})
	if err == nil || !strings.Contains(err.Error(), "4097") || !strings.Contains(err.Error(), "readings/0") {
		t.Error(err)
	}
	if err := g.Commit(testContext(t), part(0), engine.Commit{Offset: -1}); err == nil {
		t.Error("offset -1 was stored")
	}
	if err := g.Commit(testContext(t), engine.Partition{Topic: "other"}, engine.Commit{}); err == nil {
		t.Error("another topic's offset was stored")
	}
	if sent.Hits() != 1 {
		t.Errorf("%d requests went out", sent.Hits())
	}
}

// TestCommitsShareRequests: many partitions commit at once, few requests go out, each gets its own answer.
func TestCommitsShareRequests(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(64, readings))
	g := member(t, fake, "a", nil)
	next(t, g)
	sent := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Observe: true, Count: -1})
	bad := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: readings, Partitions: []int32{13}, Err: kerr.OffsetMetadataTooLarge, Count: -1})
	defer bad.Remove()
	g.mu.Lock()
	g.stable = false // gather them
	g.mu.Unlock()
	var wg sync.WaitGroup
	for p := range int32(64) {
		wg.Go(func() {
			err := g.Commit(testContext(t), part(p), engine.Commit{Offset: int64(p), Metadata: fmt.Sprint(p)})
			if (err != nil) != (p == 13) {
				t.Errorf("partition %d: %v", p, err)
			}
		})
	}
	for waiting := 0; waiting < 64; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		waiting = len(g.pending)
		g.mu.Unlock()
	}
	g.update(func() { g.stable = true })
	wg.Wait()
	if sent.Hits() != 1 {
		t.Errorf("%d requests for 64 commits", sent.Hits())
	}
	for p := range int32(64) {
		if c := committed(t, g, part(p)); p != 13 && (c.Offset != int64(p) || c.Metadata != fmt.Sprint(p)) {
			t.Errorf("partition %d: %+v", p, c)
		}
	}
}

func TestCoordinatorMoves(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(4, readings), kfake.NumBrokers(3))
	g := member(t, fake, "a", nil)
	next(t, g)
	moved := 0
	for i := range int64(12) {
		was := fake.CoordinatorFor("engines")
		fake.RehashCoordinators()
		if fake.CoordinatorFor("engines") != was {
			moved++
		}
		commitAt(t, g, part(0), i, "")
	}
	if moved == 0 {
		t.Error("the coordinator never moved")
	}
}

// TestFreshCluster: a cluster that still makes its offsets topic has no coordinator for a while.
func TestFreshCluster(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(1, readings))
	find := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 3})
	join := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: 2})
	sync := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SyncGroup}, TopLevel: true, Err: kerr.RebalanceInProgress, Count: 1})
	g := member(t, fake, "a", nil)
	next(t, g)
	if find.Hits() != 3 || join.Hits() != 2 || sync.Hits() != 1 {
		t.Error(find.Hits(), join.Hits(), sync.Hits())
	}
}

// TestSessionLost: a coordinator that forgot us takes us back. Next says that everything was gone in between, and commits
// go on once the newest one was looked up.
func TestSessionLost(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(2, readings))
	g := member(t, fake, "a", nil)
	first := next(t, g)
	fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.UnknownMemberID, Count: 1})
	gone, back := next(t, g), next(t, g)
	if fault.Hits() != 1 || len(gone.Partitions) != 0 || !cmp.Equal(first.Partitions, back.Partitions) {
		t.Error(fault.Hits(), first, gone, back)
	}
	if err := g.Commit(testContext(t), part(0), engine.Commit{Offset: 3}); !errors.Is(err, engine.ErrLost) {
		t.Errorf("a commit from before: %v, want ErrLost", err)
	}
	committed(t, g, part(0))
	commitAt(t, g, part(0), 3, "")
}

// TestDeadForGood: who does not come back within the session loses its partitions to the others, commits included.
func TestDeadForGood(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(4, readings), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	short := func(c *Config) { c.Group.SessionTimeout = 500 * time.Millisecond }
	a := member(t, fake, "a", short)
	settled(t, 4, a)
	b := member(t, fake, "b", short)
	shares := settled(t, 4, a, b)
	commitAt(t, b, shares[1][0], 42, "last words")
	if err := b.Close(); err != nil { // as a kill: it does not leave
		t.Fatal(err)
	}
	settled(t, 4, a)
	if c := committed(t, a, shares[1][0]); c != (engine.Commit{Offset: 42, Metadata: "last words"}) {
		t.Errorf("committed %+v", c)
	}
	commitAt(t, a, shares[1][0], 43, "")
}

// TestHeartbeatsWaitForNothing holds I5: a member whose commits hang at the coordinator stays in the group.
func TestHeartbeatsWaitForNothing(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(2, readings), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	g := member(t, fake, "a", func(c *Config) { c.Group.SessionTimeout = 400 * time.Millisecond })
	first := next(t, g)
	stuck := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1})
	done := make(chan error, 1)
	go func() { done <- g.Commit(testContext(t), part(0), engine.Commit{Offset: 1}) }()
	time.Sleep(1200 * time.Millisecond) // three sessions
	stuck.Remove()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if g.mu.Lock(); g.current.Generation != first.Generation || g.round != 1 {
		t.Errorf("generation %d, round %d: the session ended", g.current.Generation, g.round)
	}
	g.mu.Unlock()
}

func TestJoinRefused(t *testing.T) {
	f := func(err *kerr.Error, want string) {
		t.Helper()
		fake, _ := startFake(t, nil, kfake.SeedTopics(1, readings))
		fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: err, Count: -1})
		g := member(t, fake, "a", nil)
		if _, got := g.Next(testContext(t)); got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", err, got)
		}
	}
	f(kerr.InvalidSessionTimeout, "group.max.session.timeout.ms")
	f(kerr.InconsistentGroupProtocol, "another kind of consumer")
	f(kerr.GroupAuthorizationFailed, "right to read the group")
	f(kerr.GroupMaxSizeReached, "group.max.size")
}

func TestLeaveOnClose(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(4, readings))
	a := member(t, fake, "a", nil)
	settled(t, 4, a)
	b := member(t, fake, "b", func(c *Config) { c.Group.LeaveOnClose = true })
	settled(t, 4, a, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	settled(t, 4, a)
}

func TestJoinUnknownTopic(t *testing.T) {
	_, c := startFake(t, func(c *Config) {
		c.Fetch.UnknownTopicAfter = 100 * time.Millisecond
		c.Group = GroupConfig{ID: "g", InstanceID: "a", Topics: []string{"nothere"}}
	})
	if _, err := c.Join(testContext(t)); err == nil || !strings.Contains(err.Error(), "nothere") || !strings.Contains(err.Error(), "Topics") {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	_, err := New(Config{Brokers: []string{"nohost"}, Fetch: FetchConfig{QueueDepth: -1, MaxBytes: 5}, Produce: ProduceConfig{Compression: CompressionGzip}})
	for _, want := range []string{"kafka.Brokers[0]", "kafka.Fetch.QueueDepth", "kafka.Fetch.MaxBytes", "kafka.Produce.Compression"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
	c, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Group: GroupConfig{Topics: []string{"a", "a"}, HeartbeatInterval: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Join(testContext(t))
	for _, want := range []string{"kafka.Group.ID", "kafka.Group.InstanceID", "kafka.Group.Topics[1]", "kafka.Group.HeartbeatInterval"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
}

func peersOf(g *Group) []Peer {
	_, peers := g.Members()
	return peers
}
