package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/wattline/wattline/engine"
)

// group is the coordinator: members by instance id, a generation, who has what, and the commits.
type group struct {
	generation int32
	members    []*member
	owner      map[engine.Partition]string // partition -> instance
	commits    map[engine.Partition]engine.Commit
}

// member is an instance that the coordinator knows. A new process with its instance id takes its place and its
// partitions in the same generation (static membership); the old process is fenced from then on.
type member struct {
	instance string
	proc     *proc
}

// client is what a process knows of the group: what connectors/kafka.Group keeps.
type client struct {
	joined     bool // has been a member
	generation int32
	round      int // counts the assignments got
	current    []engine.Partition
	queue      []engine.Assignment
	stale      map[engine.Partition]bool
	fenced     bool
}

func newGroup() group {
	return group{owner: map[engine.Partition]string{}, commits: map[engine.Partition]engine.Commit{}}
}

func (g *group) member(instance string) *member {
	for _, m := range g.members {
		if m.instance == instance {
			return m
		}
	}
	return nil
}

// of returns the partitions of an instance, in order.
func (g *group) of(instance string, parts []engine.Partition) []engine.Partition {
	var own []engine.Partition
	for _, p := range parts {
		if g.owner[p] == instance {
			own = append(own, p)
		}
	}
	return own
}

// rebalance makes the next generation: members keep what they have as far as it is fair, or get anything.
func (w *world) rebalance(shuffle *rand.Rand) {
	g := &w.group
	g.generation++
	w.counts.Rebalances++
	if len(g.members) == 0 {
		clear(g.owner)
		return
	}
	if shuffle != nil {
		for _, p := range w.kafka.parts {
			g.owner[p] = g.members[shuffle.IntN(len(g.members))].instance
		}
		return
	}
	count := map[string]int{}
	fair := (len(w.kafka.parts) + len(g.members) - 1) / len(g.members)
	for _, p := range w.kafka.parts {
		o := g.owner[p]
		if o == "" || g.member(o) == nil || count[o] >= fair {
			delete(g.owner, p)
			continue
		}
		count[o]++
	}
	for _, p := range w.kafka.parts {
		if g.owner[p] != "" {
			continue
		}
		least := g.members[0].instance
		for _, m := range g.members {
			if count[m.instance] < count[least] {
				least = m.instance
			}
		}
		g.owner[p] = least
		count[least]++
	}
}

// expel ends the session of a member that was not heard of.
func (w *world) expel(m *member) {
	i := slices.Index(w.group.members, m)
	if i < 0 || !m.proc.unheard() {
		return
	}
	w.group.members = slices.Delete(w.group.members, i, i+1)
	w.counts.Expelled++
	w.rebalance(nil)
}

// unheard says that no heartbeat of the process reaches the coordinator.
func (p *proc) unheard() bool { return p.dead || p.finished || p.paused || p.cut }

// watch ends the session of p's member if it is unheard for the session time-out from now on.
func (w *world) watch(p *proc) {
	p.silence++
	n := p.silence
	w.at(w.plan.Session, "session time-out of "+p.String(), func() {
		if m := w.group.member(p.instance); m != nil && m.proc == p && p.silence == n {
			w.expel(m)
		}
	})
}

// mayJoin says that p would learn something of the group now.
func (w *world) mayJoin(p *proc) bool {
	if p.cut || p.client.fenced || p.finished {
		return false
	}
	m := w.group.member(p.instance)
	return m == nil || m.proc != p || p.client.generation != w.group.generation || !p.client.joined
}

// join is JoinGroup and SyncGroup.
func (w *world) join(p *proc) string {
	g, c := &w.group, &p.client
	m := g.member(p.instance)
	switch {
	case m != nil && m.proc != p && c.joined: // another process took the instance id
		c.fenced = true
		w.counts.Fenced++
		return "fenced"
	case m == nil:
		g.members = append(g.members, &member{instance: p.instance, proc: p})
		slices.SortFunc(g.members, func(a, b *member) int { return int(a.instance[0]) - int(b.instance[0]) })
		w.rebalance(nil)
		c.publish(g.generation, g.of(p.instance, w.kafka.parts), c.joined)
	case m.proc != p:
		m.proc = p
		c.publish(g.generation, g.of(p.instance, w.kafka.parts), false)
	default:
		c.publish(g.generation, g.of(p.instance, w.kafka.parts), false)
	}
	c.joined = true
	return fmt.Sprintf("generation %d: %v", c.generation, c.current)
}

// publish makes own the current assignment; forgotten says that the group went on without this member. As in
// connectors/kafka an assignment without partitions comes first where one was missed.
func (c *client) publish(generation int32, own []engine.Partition, forgotten bool) {
	missed := c.round > 0 && (forgotten || generation != c.generation && generation != c.generation+1)
	if missed {
		c.queue = append(c.queue, engine.Assignment{Generation: generation})
	}
	for _, p := range c.current {
		if missed || !slices.Contains(own, p) {
			c.stale[p] = true
		}
	}
	c.generation, c.current = generation, own
	c.queue = append(c.queue, engine.Assignment{Generation: generation, Partitions: slices.Clone(own)})
	c.round++
}

// Next implements engine.Source.
func (p *proc) Next(ctx context.Context) (a engine.Assignment, err error) {
	err = p.w.call(ctx, &effect{
		proc: p, op: "next", key: "assignment",
		after: func() bool { return len(p.client.queue) > 0 || p.client.fenced },
		do: func(FaultKind) error {
			if p.client.fenced {
				return fmt.Errorf("%w: %s", engine.ErrFenced, p.instance)
			}
			a = p.client.queue[0]
			p.client.queue = p.client.queue[1:]
			return nil
		},
	})
	return a, err
}

// Committed implements engine.Committer.
func (p *proc) Committed(ctx context.Context, part engine.Partition) (c engine.Commit, err error) {
	w := p.w
	err = w.call(ctx, &effect{
		proc: p, op: "committed", key: part.String(), part: part, spoil: []FaultKind{CommittedFails},
		after: func() bool { return !p.cut },
		do: func(f FaultKind) error {
			if f == CommittedFails {
				return fmt.Errorf("look up the commit of %s: %w", part, errInjected)
			}
			if !slices.Contains(p.client.current, part) {
				return fmt.Errorf("look up the commit of %s: %w", part, engine.ErrLost)
			}
			delete(p.client.stale, part)
			var ok bool
			if c, ok = w.group.commits[part]; !ok {
				c = engine.Commit{Offset: -1}
			}
			return nil
		},
	})
	return c, err
}

// Commit implements engine.Committer.
func (p *proc) Commit(ctx context.Context, part engine.Partition, c engine.Commit) error {
	w, cl := p.w, &p.client
	w.mu.Lock()
	generation, could := cl.generation, w.owns(p, part) // else no request goes out before the caller is gone
	w.mu.Unlock()
	sent := false // the coordinator may have it though the caller is gone
	e := &effect{
		proc: p, op: "commit", key: fmt.Sprintf("%s %d %s", part, c.Offset, c.Metadata), part: part, lands: true,
		spoil: []FaultKind{CommitFails, CommitLostAck},
	}
	e.after = func() bool { return !p.cut && (cl.fenced || cl.generation == w.group.generation && w.isMember(p)) }
	e.do = func(f FaultKind) error {
		if e.gone { // a request that was on its way: it says under what it was sent
			if !could || generation != w.group.generation || !w.owns(p, part) {
				return engine.ErrLost
			}
			w.keepCommit(p, part, c)
			return nil
		}
		if !sent {
			w.settleOrphans(p, part)
			sent = true
		}
		switch {
		case cl.fenced:
			return fmt.Errorf("%w: %s", engine.ErrFenced, p.instance)
		case !slices.Contains(cl.current, part) || cl.stale[part]:
			return engine.ErrLost
		case f == CommitFails:
			return fmt.Errorf("commit %s: %w", part, errInjected)
		}
		w.keepCommit(p, part, c)
		if f == CommitLostAck {
			return fmt.Errorf("commit %s: %w", part, errInjected)
		}
		return nil
	}
	return w.call(ctx, e)
}

// isMember says that the coordinator has p for its instance's process.
func (w *world) isMember(p *proc) bool {
	m := w.group.member(p.instance)
	return m != nil && m.proc == p
}

// owns says that a commit of p for part would be stored now.
func (w *world) owns(p *proc, part engine.Partition) bool {
	return w.isMember(p) && p.client.generation == w.group.generation && w.group.owner[part] == p.instance && !p.client.stale[part]
}

// settleOrphans decides what becomes of commits of p that nobody waits for any more: a process has one request for
// offsets on its way at a time, so they come before the next one or never.
func (w *world) settleOrphans(p *proc, part engine.Partition) {
	for _, e := range slices.Clone(w.pending) {
		if e.op == "commit" && e.gone && e.proc == p && e.part == part {
			w.let(e)
		}
	}
}

// keepCommit is the coordinator's write of a commit that it accepted.
func (w *world) keepCommit(p *proc, part engine.Partition, c engine.Commit) {
	w.checkCommit(p, part, c)
	w.group.commits[part] = c
}

// drained says that all messages are committed, and no more will come.
func (w *world) drained() bool {
	if _, more := w.dueInput(); more {
		return false
	}
	for _, p := range w.kafka.parts {
		end := w.kafka.log(p.Topic, p.Number).next
		if c, ok := w.group.commits[p]; end > 0 && (!ok || c.Offset != end) {
			return false
		}
	}
	return true
}
