package kafka

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/wattline/wattline/engine"
)

// cable is a network that can be cut.
type cable struct{ cut atomic.Bool }

var errCut = errors.New("the cable is cut")

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.cut.Load() {
		return nil, errCut
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &cableConn{conn, c}, nil
}

type cableConn struct {
	net.Conn
	cable *cable
}

func (c *cableConn) Write(b []byte) (int, error) {
	if c.cable.cut.Load() {
		_ = c.Close()
		return 0, errCut
	}
	return c.Conn.Write(b)
}

// TestAwayTooLong: a member that was cut off for longer than its session, while another had its partition, gets the
// partition back. What it wanted to commit before is lost: the other has gone on from there. And Next has to say that
// the partition was gone, or the engine goes on from its memory (I4).
func TestAwayTooLong(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(1, readings), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	var wire cable
	a := member(t, fake, "a", func(c *Config) { c.Group.SessionTimeout, c.Dial = 500*time.Millisecond, wire.dial })
	first := next(t, a)
	commitAt(t, a, part(0), 90, "plan of a")
	wire.cut.Store(true)
	stale := make(chan error, 1)
	go func() {
		stale <- a.Commit(testContext(t), part(0), engine.Commit{Offset: 100, Metadata: "next plan of a"})
	}()
	b := member(t, fake, "b", func(c *Config) { c.Group.SessionTimeout, c.Group.LeaveOnClose = 500*time.Millisecond, true })
	settled(t, 1, b)
	commitAt(t, b, part(0), 500, "plan of b")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	wire.cut.Store(false)
	gone := false
	for last := first; ; {
		last = next(t, a)
		gone = gone || len(last.Partitions) == 0
		if len(last.Partitions) == 1 {
			t.Logf("a had generation %d, then %d", first.Generation, last.Generation)
			break
		}
	}
	if err := <-stale; !errors.Is(err, engine.ErrLost) {
		t.Errorf("a commit from before another member had the partition: %v, want ErrLost", err)
	}
	if c := committed(t, a, part(0)); c.Offset != 500 {
		t.Errorf("committed %+v, want what b left: 500", c)
	}
	if !gone {
		t.Error("Next never said that the partition was another's")
	}
}

// TestHolds: a member may speak for its partitions only while no other can have got them.
func TestHolds(t *testing.T) {
	fake, _ := startFake(t, nil, kfake.SeedTopics(4, readings), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	var wire cable
	quick := func(c *Config) {
		c.Group.SessionTimeout, c.Group.RebalanceTimeout, c.Group.LeaveOnClose = 500*time.Millisecond, 400*time.Millisecond, true
	}
	a := member(t, fake, "a", func(c *Config) { quick(c); c.Dial = wire.dial })
	first := next(t, a)
	if !a.Holds(first.Generation) || a.Holds(first.Generation+1) || a.Holds(first.Generation-1) {
		t.Errorf("a new member of generation %d: holds it %v, the next %v", first.Generation, a.Holds(first.Generation), a.Holds(first.Generation+1))
	}
	b := member(t, fake, "b", quick)
	settled(t, 4, a, b)
	second := next(t, a)
	if a.Holds(first.Generation) || !a.Holds(second.Generation) || !b.Holds(second.Generation) {
		t.Errorf("after b joined: holds the first generation %v, the second %v, %v", a.Holds(first.Generation), a.Holds(second.Generation), b.Holds(second.Generation))
	}
	wire.cut.Store(true)
	waitFor(t, "a hears nothing and holds nothing", func() bool { return !a.Holds(second.Generation) })
	got := settled(t, 4, b)
	if len(got[0]) != 4 {
		t.Errorf("b has %v once a is gone", got[0])
	}
	wire.cut.Store(false)
	waitFor(t, "a is back", func() bool { return a.Holds(generationOf(a)) })
	if a.Holds(second.Generation) {
		t.Errorf("a holds generation %d, after b had everything", second.Generation)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if a.Holds(generationOf(a)) {
		t.Error("a group that was closed holds something")
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
