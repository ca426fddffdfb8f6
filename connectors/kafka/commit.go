package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"

	"github.com/wattline/wattline/engine"
)

// commit is an offset that waits to be stored.
type commit struct {
	ctx       context.Context // of the caller: once it ends nobody waits
	partition engine.Partition
	value     engine.Commit
	strange   *patience  // how long the coordinator may not know the topic
	after     int        // only an assignment later than this one may store it
	done      chan error // room for one
}

// Commit implements engine.Committer. Calls of many partitions at once share a request.
func (g *Group) Commit(ctx context.Context, p engine.Partition, c engine.Commit) error {
	if len(c.Metadata) > metadataLimit {
		return fmt.Errorf("commit %s at offset %d: the plan has %d bytes, Kafka keeps %d (offset.metadata.max.bytes)", p, c.Offset, len(c.Metadata), metadataLimit)
	}
	if c.Offset < 0 {
		return fmt.Errorf("commit %s: offset %d is negative", p, c.Offset)
	}
	if g.counts[p.Topic] == 0 {
		return fmt.Errorf("commit %s: the topic is not one of this group's", p)
	}
	w := &commit{ctx: ctx, partition: p, value: c, done: make(chan error, 1), strange: newPatience(g.c.cfg.Fetch.UnknownTopicAfter)}
	g.update(func() {
		if g.err != nil { // the loop may have ended
			w.done <- g.err
			return
		}
		g.pending = append(g.pending, w)
	})
	select {
	case err := <-w.done:
		if err != nil {
			return fmt.Errorf("commit %s at offset %d: %w", p, c.Offset, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("commit %s at offset %d: %w", p, c.Offset, ctx.Err())
	}
}

// commitLoop stores offsets: all that wait go out in one request, and what comes meanwhile in the next.
func (g *Group) commitLoop() {
	tries := 0
	for {
		g.mu.Lock()
		batch := g.takeCommits()
		changed, over := g.changed, g.err != nil
		id := commitID{round: g.round, generation: g.current.Generation, member: g.memberID}
		g.mu.Unlock()
		if len(batch) == 0 {
			if over && g.ctx.Err() != nil {
				return
			}
			select {
			case <-changed:
			case <-g.ctx.Done():
				g.update(func() { g.err = firstError(g.err, ErrClosed) })
			}
			continue
		}
		if err := g.store(batch, id); err != nil {
			tries++
			g.c.troubles.failed("commit", "offsets are not stored", err, "group", g.cfg.ID, "partitions", len(batch))
			_ = sleep(g.ctx, backoff(tries, g.c.cfg.BackoffMax)) // takeCommits sees the end
			continue
		}
		tries = 0
		g.c.troubles.over("commit")
	}
}

// commitID is under what a request was sent.
type commitID struct {
	round      int
	generation int32
	member     string
}

// takeCommits answers the commits that have an answer already and returns those that can be sent, one a partition.
// mu is held.
func (g *Group) takeCommits() []*commit {
	var send, wait []*commit
	taken := map[engine.Partition]bool{}
	for _, w := range g.pending {
		_, owned := slices.BinarySearchFunc(g.current.Partitions, w.partition, comparePartitions)
		switch {
		case w.ctx.Err() != nil: // nobody waits
		case g.err != nil:
			w.done <- g.err
		case !g.stable || w.after >= g.round || taken[w.partition]:
			wait = append(wait, w)
		case !owned || g.stale[w.partition]:
			w.done <- engine.ErrLost
		default:
			taken[w.partition] = true
			send = append(send, w)
		}
	}
	g.pending = wait
	return send
}

// store sends batch and answers each of its commits, or puts them back. An error is worth a pause.
func (g *Group) store(batch []*commit, id commitID) error {
	req := &offsetcommit.Request{GroupID: g.cfg.ID, GenerationID: id.generation, MemberID: id.member, GroupInstanceID: g.cfg.InstanceID, RetentionTimeMs: -1}
	for _, w := range batch {
		i := slices.IndexFunc(req.Topics, func(t offsetcommit.RequestTopic) bool { return t.Name == w.partition.Topic })
		if i < 0 {
			i = len(req.Topics)
			req.Topics = append(req.Topics, offsetcommit.RequestTopic{Name: w.partition.Topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, offsetcommit.RequestPartition{
			PartitionIndex: w.partition.Number, CommittedOffset: w.value.Offset, CommittedLeaderEpoch: -1, CommittedMetadata: w.value.Metadata,
		})
	}
	res, err := g.coord.ask(g.ctx, req, 0)
	if err != nil {
		g.putBack(batch)
		return err
	}
	codes := map[engine.Partition]kafkago.Error{}
	for _, t := range res.(*offsetcommit.Response).Topics {
		for _, p := range t.Partitions {
			codes[engine.Partition{Topic: t.Name, Number: p.PartitionIndex}] = kafkago.Error(p.ErrorCode)
		}
	}
	var again []*commit
	for _, w := range batch {
		code, ok := codes[w.partition]
		if !ok {
			code = kafkago.Unknown // the answer lacks it: nothing is known, so ask again
		}
		if e := g.judge(w, code, id); e != nil {
			err = e
			again = append(again, w)
		}
	}
	g.putBack(again)
	return err
}

// judge answers w by its code, or returns why it has to be sent again.
func (g *Group) judge(w *commit, code kafkago.Error, id commitID) error {
	switch v := classifyGroup(code); v {
	case fine:
		w.done <- nil
		return nil
	case fenced:
		err := g.fatal(codeError(code))
		g.update(func() { g.err = firstError(g.err, err) })
		g.cancel() // the membership is not ours any more
		w.done <- err
		return nil
	case regroup:
		w.after = id.round
		g.joinAgain(id.round, code)
		return codeError(code)
	case unknown:
		if !w.strange.isOver() {
			break // a new topic is known everywhere after a moment
		}
		fallthrough
	case refused:
		w.done <- codeError(code)
		return nil
	case relocate:
		g.coord.mu.Lock()
		g.coord.address = ""
		g.coord.mu.Unlock()
	}
	return codeError(code)
}

// joinAgain ends the heartbeats of assignment round, which the coordinator holds for past.
func (g *Group) joinAgain(round int, code kafkago.Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.round != round || !g.stable {
		return // it is being done
	}
	if code == kafkago.UnknownMemberId {
		g.memberID, g.cut = "", true
	}
	select {
	case g.rejoin <- struct{}{}:
	default:
	}
}

// putBack lets commits wait again, before those that came later.
func (g *Group) putBack(batch []*commit) {
	if len(batch) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = append(slices.Clone(batch), g.pending...)
}

// Committed implements engine.Committer. From here on commits of p are stored for as long as p stays ours without a
// break (I7); what was in memory of p before must be gone.
func (g *Group) Committed(ctx context.Context, p engine.Partition) (engine.Commit, error) {
	for try := 1; ; try++ {
		g.mu.Lock()
		round := g.round
		g.mu.Unlock()
		c, err := g.committedOnce(ctx, p)
		var code kafkago.Error
		if errors.As(err, &code) && code == kafkago.GroupIdNotFound {
			c, err = engine.Commit{Offset: -1}, nil
		}
		if err == nil {
			g.c.troubles.over("look-up")
			again, err := g.begin(p, round)
			if again {
				continue
			}
			return c, err
		}
		if v := verdictOf(err, classifyGroup); ctx.Err() != nil || v != retry && v != relocate {
			return engine.Commit{}, fmt.Errorf("look up the commit of %s: %w", p, err)
		}
		g.c.troubles.failed("look-up", "stored offsets are not found", err, "group", g.cfg.ID, "partition", p.String())
		if sleep(ctx, backoff(try, g.c.cfg.BackoffMax)) != nil {
			return engine.Commit{}, fmt.Errorf("look up the commit of %s: %w (last: %w)", p, ctx.Err(), err)
		}
	}
}

// begin lets offsets of p be stored. again: the assignment changed since round, when the commit was looked up, so
// another engine may have stored a newer one.
func (g *Group) begin(p engine.Partition, round int) (again bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, owned := slices.BinarySearchFunc(g.current.Partitions, p, comparePartitions); !owned {
		return false, fmt.Errorf("look up the commit of %s: %w", p, engine.ErrLost)
	}
	if g.round != round {
		return true, nil
	}
	delete(g.stale, p)
	return false, nil
}

func (g *Group) committedOnce(ctx context.Context, p engine.Partition) (engine.Commit, error) {
	res, err := g.coord.ask(ctx, &offsetfetch.Request{
		GroupID: g.cfg.ID, Topics: []offsetfetch.RequestTopic{{Name: p.Topic, PartitionIndexes: []int32{p.Number}}},
	}, 0)
	if err != nil {
		return engine.Commit{}, err
	}
	r := res.(*offsetfetch.Response)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return engine.Commit{}, fmt.Errorf("answer has %d topics, one partition was asked for: %w", len(r.Topics), kafkago.Unknown)
	}
	got := &r.Topics[0].Partitions[0]
	if got.ErrorCode != 0 {
		return engine.Commit{}, codeError(kafkago.Error(got.ErrorCode))
	}
	return engine.Commit{Offset: max(got.CommittedOffset, -1), Metadata: got.Metadata}, nil
}
