package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/syncgroup"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/ends"
)

// Group is this engine's membership in its consumer group, with the partitions it fetches and the offsets it stores.
// One goroutine joins, syncs and sends heartbeats; it does nothing else, so no work can stop it (I5). Another stores
// offsets.
type Group struct {
	c      *Client
	cfg    GroupConfig
	coord  *coordinator
	fetch  *fetcher
	counts map[string]int // partitions by topic, when the group was joined

	contact contact

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	rejoin chan struct{} // asks to leave the heartbeats and join again

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew when anything below changes
	memberID string        // by the coordinator; "" before the first join
	stable   bool          // a generation stands; false while joining
	heard    time.Time     // when what the coordinator answered last as to a member was sent
	cut      bool          // the coordinator forgot us: others may have had our partitions since
	round    int           // counts the assignments got
	current  engine.Assignment
	queue    []engine.Assignment       // that Next has not returned yet, in order: what left and came back must be seen to leave
	stale    map[engine.Partition]bool // was not ours for a while since Committed was asked: its offsets are of before
	peers    []Peer
	err      error // why the membership ended for good
	halt     error // why Next may not go on, while offsets are still stored
	pending  []*commit
}

var (
	_ engine.Source     = (*Group)(nil)
	_ engine.Committer  = (*Group)(nil)
	_ engine.Membership = (*Group)(nil)
	_ ends.Prober       = (*Group)(nil)
)

// Join becomes a member of the group of Config.Group. It returns when the topics are known; the first assignment comes
// by Next. A topic that does not exist is an error after Config.Fetch.UnknownTopicAfter, or when ctx ends. Close it.
func (c *Client) Join(ctx context.Context) (*Group, error) {
	if err := c.cfg.validateGroup(); err != nil {
		return nil, err
	}
	g := &Group{
		c: c, cfg: c.cfg.Group, coord: &coordinator{c: c, group: c.cfg.Group.ID},
		rejoin: make(chan struct{}, 1), changed: make(chan struct{}), stale: map[engine.Partition]bool{},
	}
	var err error
	if g.counts, err = c.topicCounts(ctx, g.cfg.Topics); err != nil {
		return nil, fmt.Errorf("join group %s: %w", g.cfg.ID, err)
	}
	g.contact.heard = time.Now()
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.fetch = c.newFetcher(g.counts, g.setHalt)
	g.wg.Go(g.run)
	g.wg.Go(g.commitLoop)
	return g, nil
}

// topicCounts returns the partitions of each topic, all of which must exist.
func (c *Client) topicCounts(ctx context.Context, topics []string) (map[string]int, error) {
	missing := newPatience(c.cfg.Fetch.UnknownTopicAfter)
	for try := 1; ; try++ {
		md, err := c.metadataRetry(ctx, topics)
		if err != nil {
			return nil, err
		}
		counts := map[string]int{}
		err = nil
		for _, t := range topics {
			tm, ok := md.topics[t]
			if !ok || tm.code != 0 || len(tm.leaders) == 0 {
				err = fmt.Errorf("topic %s: %w; make it, or correct kafka.Group.Topics", t, codeError(max(tm.code, kafkago.UnknownTopicOrPartition)))
				continue
			}
			counts[t] = len(tm.leaders)
		}
		if err == nil {
			return counts, nil
		}
		if missing.isOver() || verdictOf(err, classifyPartition) == refused || sleep(ctx, backoff(try, c.cfg.BackoffMax)) != nil {
			return nil, err
		}
	}
}

// Next implements engine.Source. It returns once for each generation, also where the partitions are the same. After
// a time in which the group went on without us an assignment without partitions comes first: whatever is in memory of
// them is of before.
func (g *Group) Next(ctx context.Context) (engine.Assignment, error) {
	for {
		g.mu.Lock()
		changed := g.changed
		err := firstError(g.err, g.halt)
		if err == nil && len(g.queue) > 0 {
			a := g.queue[0]
			g.queue = g.queue[1:]
			g.mu.Unlock()
			return a, nil
		}
		g.mu.Unlock()
		if err != nil {
			return engine.Assignment{}, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return engine.Assignment{}, ctx.Err()
		}
	}
}

// Open implements engine.Source.
func (g *Group) Open(p engine.Partition, from int64) (engine.Feed, error) {
	return g.fetch.open(p, from)
}

// Bounds implements engine.Source. It retries what can be retried until ctx ends. The end is that of what is replicated:
// records of open transactions are before it.
func (g *Group) Bounds(ctx context.Context, p engine.Partition) (start, end int64, err error) {
	return g.c.offsetsOf(ctx, p, false)
}

// Readable implements engine.Membership.
func (g *Group) Readable(ctx context.Context, p engine.Partition) (int64, error) {
	_, end, err := g.c.offsetsOf(ctx, p, true)
	return end, err
}

// Holds implements engine.Membership. A rebalance waits for every member that it knows, so none ends while we have not
// asked to join; but it leaves out who says nothing for the rebalance timeout (a static member keeps its place then and
// still loses partitions), and a member that is not heard for the session timeout is gone. A process that was frozen
// finds its clock moved on.
func (g *Group) Holds(generation int32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err == nil && g.stable && !g.cut && g.current.Generation == generation &&
		time.Since(g.heard) < min(g.cfg.SessionTimeout, g.cfg.RebalanceTimeout)
}

// Members returns the generation of the last assignment and who has what in it, in an order that is the same at each
// member. The slices are shared: read only.
func (g *Group) Members() (generation int32, members []Peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current.Generation, g.peers
}

// Close ends feeds and membership. With LeaveOnClose the coordinator gives the partitions away at once, else it keeps
// them for this instance until the session ends. An error is that of leaving; everything is closed all the same.
func (g *Group) Close() error {
	g.update(func() { g.err = firstError(g.err, ErrClosed) })
	g.cancel()
	g.wg.Wait()
	g.fetch.close()
	g.mu.Lock()
	memberID, ended := g.memberID, g.err
	g.memberID = ""
	g.mu.Unlock()
	if !g.cfg.LeaveOnClose || memberID == "" || !errors.Is(ended, ErrClosed) {
		return nil
	}
	if err := g.coord.leave(context.Background(), memberID, g.cfg.InstanceID); err != nil {
		return fmt.Errorf("leave group %s: %w", g.cfg.ID, err)
	}
	return nil
}

// update changes the state and wakes who waits for it.
func (g *Group) update(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	close(g.changed)
	g.changed = make(chan struct{})
}

// setHalt makes Next return err. Called by the fetcher with its own lock held.
func (g *Group) setHalt(err error) {
	g.update(func() { g.halt = firstError(g.halt, err) })
}

// run is the membership: join, heartbeats, join again, until Close or an error that no retry helps.
func (g *Group) run() {
	for g.ctx.Err() == nil {
		err := g.join()
		if err == nil {
			err = g.keepAlive()
		}
		if err != nil && g.ctx.Err() == nil {
			g.update(func() { g.err = err })
			return
		}
	}
}

// fatal turns an error of the coordinator into the one that ends the membership; nil if it may be tried again.
func (g *Group) fatal(err error) error {
	switch verdictOf(err, classifyGroup) {
	case fenced:
		return fmt.Errorf("%w: %s in group %s; stop one of the two, or give each its own kafka.Group.InstanceID (%w)", engine.ErrFenced, g.cfg.InstanceID, g.cfg.ID, err)
	case refused, unknown:
		return err
	}
	return nil
}

// join joins and syncs until there is an assignment. It returns only errors that end the membership.
func (g *Group) join() error {
	g.update(func() {
		g.stable = false
		select { // what asked for this join is done with
		case <-g.rejoin:
		default:
		}
	})
	began := time.Now()
	for try := 1; g.ctx.Err() == nil; try++ {
		err := g.joinOnce()
		g.contact.note(err)
		if err == nil {
			g.c.troubles.over("group")
			return nil
		}
		if f := g.fatal(err); f != nil {
			return f
		}
		var code kafkago.Error
		switch {
		case errors.As(err, &code) && code == kafkago.MemberIDRequired, errors.As(err, &code) && code == kafkago.RebalanceInProgress:
			continue // at once: others wait for us
		case errors.As(err, &code) && code == kafkago.UnknownMemberId:
			g.forgotten()
		}
		if g.joinedOnce() || time.Since(began) > firstJoin {
			g.c.troubles.failed("group", "the group is not joined", err, "group", g.cfg.ID)
		} else {
			g.c.cfg.Logger.Debug("kafka: the group is not joined yet", "group", g.cfg.ID, "error", err)
		}
		_ = sleep(g.ctx, backoff(try, g.c.cfg.BackoffMax)) // the loop sees the end of ctx
	}
	return g.ctx.Err()
}

// joinedOnce says whether there ever was an assignment.
func (g *Group) joinedOnce() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.round > 0
}

// joinOnce makes one pass of JoinGroup and SyncGroup and publishes the assignment.
func (g *Group) joinOnce() error {
	g.mu.Lock()
	me := claim{memberID: g.memberID, instanceID: g.cfg.InstanceID, address: g.cfg.APIAddress, topics: g.cfg.Topics, generation: g.current.Generation, owned: g.current.Partitions}
	g.mu.Unlock()
	res, err := g.coord.ask(g.ctx, &joingroup.Request{
		GroupID: g.cfg.ID, MemberID: me.memberID, GroupInstanceID: me.instanceID, ProtocolType: protocolType,
		SessionTimeoutMS: int32(g.cfg.SessionTimeout.Milliseconds()), RebalanceTimeoutMS: int32(g.cfg.RebalanceTimeout.Milliseconds()),
		Protocols: []joingroup.RequestProtocol{{Name: protocolName, Metadata: appendSubscription(nil, &me)}},
	}, g.cfg.RebalanceTimeout)
	if res != nil { // a member id comes with MEMBER_ID_REQUIRED too
		if id := res.(*joingroup.Response).MemberID; id != "" {
			g.mu.Lock()
			g.memberID = id
			g.mu.Unlock()
		}
	}
	if err != nil {
		return err
	}
	joined := res.(*joingroup.Response)
	request := &syncgroup.Request{
		GroupID: g.cfg.ID, GenerationID: joined.GenerationID, MemberID: joined.MemberID, GroupInstanceID: me.instanceID,
		ProtocolType: protocolType, ProtocolName: protocolName,
	}
	if joined.LeaderID == joined.MemberID {
		request.Assignments = g.lead(joined.Members)
	}
	sent := time.Now()
	res, err = g.coord.ask(g.ctx, request, g.cfg.RebalanceTimeout)
	if err != nil {
		return err
	}
	own, peers, err := decodeAssignment(res.(*syncgroup.Response).Assignments)
	if err != nil {
		return fmt.Errorf("assignment of group %s, generation %d: %w", g.cfg.ID, joined.GenerationID, err)
	}
	g.update(func() {
		g.stable, g.peers, g.heard = true, peers, sent
		g.publish(joined.GenerationID, own)
	})
	return nil
}

// forgotten notes that the coordinator does not know us any more.
func (g *Group) forgotten() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memberID, g.cut = "", true
}

// publish makes own the current assignment (I7). A generation that is neither the last one nor the next means that
// one was missed. mu is held.
func (g *Group) publish(generation int32, own []engine.Partition) {
	last := g.current
	missed := g.round > 0 && (g.cut || generation != last.Generation && generation != last.Generation+1)
	if missed {
		g.queue = append(g.queue, engine.Assignment{Generation: generation})
	}
	g.cut = false
	for _, p := range last.Partitions {
		if missed || !slices.Contains(own, p) {
			g.stale[p] = true
		}
	}
	g.current = engine.Assignment{Generation: generation, Partitions: own}
	g.queue = append(g.queue, engine.Assignment{Generation: generation, Partitions: slices.Clone(own)})
	g.round++
}

// lead makes the assignments of all members; we are the leader of this generation.
func (g *Group) lead(members []joingroup.ResponseMember) []syncgroup.RequestAssignment {
	claims := make([]claim, 0, len(members))
	for _, m := range members {
		c := claim{memberID: m.MemberID, instanceID: m.GroupInstanceID}
		if err := decodeSubscription(m.Metadata, &c); err != nil {
			g.c.cfg.Logger.Warn("kafka: subscription of a member cannot be read in full", "group", g.cfg.ID, "member", c.name(), "error", err)
		}
		claims = append(claims, c)
	}
	got := assign(claims, g.counts)
	peers := make([]Peer, 0, len(claims))
	for i := range claims {
		peers = append(peers, Peer{InstanceID: claims[i].instanceID, Address: claims[i].address, Partitions: got[claims[i].memberID]})
	}
	slices.SortFunc(peers, func(a, b Peer) int { return strings.Compare(a.InstanceID, b.InstanceID) })
	out := make([]syncgroup.RequestAssignment, 0, len(claims))
	for i := range claims {
		id := claims[i].memberID
		out = append(out, syncgroup.RequestAssignment{MemberID: id, Assignment: appendAssignment(nil, got[id], peers)})
	}
	return out
}

// keepAlive sends heartbeats until the group has to be joined again (nil) or the membership is over (error).
func (g *Group) keepAlive() error {
	pause, tries := g.cfg.HeartbeatInterval, 0
	t := time.NewTimer(pause)
	defer t.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return g.ctx.Err()
		case <-g.rejoin:
			return nil
		case <-t.C:
		}
		err := g.beat()
		g.contact.note(err)
		if f := g.fatal(err); f != nil {
			return f
		}
		var code kafkago.Error
		switch verdictOf(err, classifyGroup) {
		case fine:
			if tries > 0 {
				g.c.troubles.over("group")
			}
			pause, tries = g.cfg.HeartbeatInterval, 0
		case regroup:
			if errors.As(err, &code) && code == kafkago.UnknownMemberId {
				g.forgotten() // the session ended without us
			}
			return nil
		default:
			tries++
			pause = min(g.cfg.HeartbeatInterval, backoff(tries, g.c.cfg.BackoffMax))
			g.c.troubles.failed("group", "heartbeats fail", err, "group", g.cfg.ID)
		}
		t.Reset(pause)
	}
}

// beat sends one heartbeat. It names the instance, so that a coordinator can tell a fenced member from a lost one.
func (g *Group) beat() error {
	g.mu.Lock()
	req := &heartbeat.Request{GroupID: g.cfg.ID, GenerationID: g.current.Generation, MemberID: g.memberID, GroupInstanceID: g.cfg.InstanceID}
	g.mu.Unlock()
	sent := time.Now()
	err := g.coord.beat(g.ctx, req)
	if err == nil {
		g.mu.Lock()
		g.heard = sent
		g.mu.Unlock()
	}
	return err
}

// firstError returns a unless it is nil, else b.
func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
