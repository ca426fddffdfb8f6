package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/engine/stats"
	"github.com/wattline/wattline/rating"
)

// SessionView is a running session as a question from outside sees it.
type SessionView struct {
	ID          string // UUID text of the session's key
	ChargePoint string
	Connector   int32
	Transaction string
	Location    string
	Tariff      string
	Currency    string
	Zone        string
	Driver      rating.Pseudonym // of the token; None: there was none
	Contract    string           // id of the driver's contract; empty: none
	Tier        string
	Status      SessionStatus
	State       rating.ChargeState
	StartMs     int64
	LastMs      int64
	Total       rating.Total // price if it ended at LastMs
	Flags       SessionFlags
	HeldReason  string
	Split       rating.Split // why the price changed last
	PeriodMs    int64        // when it changed
	Readings    uint32
	Partition   Partition
	Position    int64 // source position of the newest row; Offset the state is of
	Offset      int64 // all messages below are in it
}

// askTimeout bounds a question: a shard answers between two batches.
const askTimeout = 2 * time.Second

// ask runs fn on the shard of every partition that may show its state, one after the other. ErrCatchingUp says that
// they did not all answer; what fn learned may be told all the same. After any other error it may not.
func (e *Engine) ask(ctx context.Context, fn func(*shard)) error {
	e.mu.Lock()
	generation := e.generation
	parts := make([]*partition, 0, len(e.parts))
	for _, c := range e.parts {
		parts = append(parts, c)
	}
	e.mu.Unlock()
	var behind error
	slices.SortFunc(parts, func(a, b *partition) int { return int(a.p.Number - b.p.Number) })
	late := e.clock.After(askTimeout)
	for _, c := range parts {
		if behind != nil && errors.Is(behind, errLate) {
			break
		}
		if err := c.ask(ctx, late, fn); errors.Is(err, ErrCatchingUp) {
			behind = err
		} else if err != nil {
			return err
		}
	}
	if !e.holds(generation) {
		return ErrRegrouping
	}
	return behind
}

// errLate ends a round of questions.
var errLate = fmt.Errorf("%w: no answer within %v", ErrCatchingUp, askTimeout)

// ask runs fn on the partition's shard between two batches.
func (c *partition) ask(ctx context.Context, late <-chan time.Time, fn func(*shard)) error {
	if !c.shows.Load() {
		return ErrCatchingUp
	}
	answered := make(chan struct{})
	var failure error
	question := func(s *shard) {
		defer close(answered)
		failure = ends.Guard(func() error { fn(s); return nil }) // a question must not stop a partition
	}
	select {
	case c.questions <- question:
		<-answered
		return failure
	case <-c.ended: // it moved away, or begins anew
		return ErrCatchingUp
	case <-late:
		return errLate
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Prices returns the sessions of p that have the ids, in their order; one that does not run there has no ID. It is one
// question to the shard. ErrElsewhere where the partition is with another engine, else as Session.
func (e *Engine) Prices(ctx context.Context, p Partition, ids []SessionID) ([]SessionView, error) {
	e.mu.Lock()
	c, generation, owned := e.parts[p], e.generation, slices.Contains(e.owned, p)
	e.mu.Unlock()
	switch {
	case !owned:
		return nil, ErrElsewhere
	case c == nil:
		return nil, ErrCatchingUp
	}
	found := make([]SessionView, len(ids))
	err := c.ask(ctx, e.clock.After(askTimeout), func(s *shard) {
		for i, id := range ids {
			s.withID(id, func(ss *snapshot.Session) { found[i] = s.view(ss) })
		}
	})
	if err == nil && !e.holds(generation) {
		err = ErrRegrouping
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

// withID calls fn with the session that has the id, if it runs.
func (s *shard) withID(id SessionID, fn func(*snapshot.Session)) {
	s.sessions.Half(binary.BigEndian.Uint64(id[:8]), func(ss *snapshot.Session) {
		if identity.Of(s.source, ss) == id {
			fn(ss)
		}
	})
}

// Session returns the running sessions that id names: a session id, or a transaction id, alone or behind its
// charge point and a colon. Sessions that ended are in table sessions_latest.
func (e *Engine) Session(ctx context.Context, id string) ([]SessionView, error) {
	uuid, isUUID := identity.ParseSessionID(id)
	var found []SessionView
	err := e.ask(ctx, func(s *shard) {
		if isUUID {
			s.withID(uuid, func(ss *snapshot.Session) { found = append(found, s.view(ss)) })
			return
		}
		s.sessions.Each(func(ss *snapshot.Session) {
			tx := string(ss.Transaction())
			if tx == id || s.names.List[ss.ChargePoint]+":"+tx == id {
				found = append(found, s.view(ss))
			}
		})
	})
	if len(found) > 0 && (err == nil || errors.Is(err, ErrCatchingUp)) {
		return found, nil
	}
	return nil, err
}

// Dearest returns the n running sessions with the highest price, in order.
func (e *Engine) Dearest(ctx context.Context, n int) ([]SessionView, error) {
	var best []SessionView
	err := e.ask(ctx, func(s *shard) {
		s.sessions.Each(func(ss *snapshot.Session) {
			if SessionStatus(ss.Status) != StatusActive || ss.Plan == 0 || ss.Rate.LastMwh == rating.Unknown {
				return
			}
			if t := s.total(ss); len(best) < n || t.InclMicros > best[len(best)-1].Total.InclMicros {
				i, _ := slices.BinarySearchFunc(best, t.InclMicros, func(v SessionView, x int64) int {
					if v.Total.InclMicros >= x {
						return -1
					}
					return 1
				})
				best = slices.Insert(best, i, s.view(ss))
				best = best[:min(len(best), n)]
			}
		})
	})
	if err != nil && !errors.Is(err, ErrCatchingUp) {
		return nil, err
	}
	return best, err
}

func (s *shard) view(ss *snapshot.Session) SessionView {
	v := SessionView{
		ID: identity.Of(s.source, ss).String(), ChargePoint: s.names.List[ss.ChargePoint], Connector: ss.Connector,
		Transaction: string(ss.Transaction()), Status: SessionStatus(ss.Status), State: ss.Rate.Charge,
		StartMs: ss.Rate.FirstMs, LastMs: ss.Rate.LastMs, Total: s.total(ss), Flags: SessionFlags(ss.Flags) &^ flagUnitGuessed,
		Split: ss.Rate.LastSplit, PeriodMs: ss.Rate.PeriodStartMs, Readings: ss.Readings, Partition: s.partition,
		Position: ss.Version, Offset: s.nextOffset, Driver: ss.Driver.Pseudonym(), Contract: string(ss.Driver.Contract()),
		Tier: s.tiers.Ref[ss.Driver.Tier],
	}
	if ss.Plan != 0 {
		v.Tariff, v.Currency = s.plans.Info[ss.Plan].tariff, s.plans.Info[ss.Plan].currency
		v.Zone, v.Location = s.plans.Ref[ss.Plan].Zone, s.places.Info[ss.Place].Location
	}
	if h := s.held[ss.Key]; h != nil {
		v.HeldReason = h.Reason
	}
	return v
}

// PartitionStats is where one partition stands; counters are of this process's life.
type PartitionStats struct {
	Partition Partition
	stats.Figures
	Recoveries int64  // of the partition by this process, since it started
	Halted     string // why it stands still; empty when it does not
	Failing    string // why it is started again and again; empty when it is not
}

// Stats returns where every partition stands, in order.
func (e *Engine) Stats() []PartitionStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []PartitionStats
	for p, c := range e.parts {
		st := PartitionStats{Partition: p, Figures: stats.Unknown(), Recoveries: e.recoveries[p]}
		if s := c.counters.Load(); s != nil {
			st.Figures = s.Figures()
		}
		out = append(out, st)
	}
	for _, p := range e.failing.All() {
		f, _ := e.failing.Of(p)
		i := slices.IndexFunc(out, func(s PartitionStats) bool { return s.Partition == p })
		if i < 0 {
			i = len(out)
			out = append(out, PartitionStats{Partition: p, Figures: stats.Unknown()})
		}
		out[i].Failing = f.Err.Error()
	}
	for p, err := range e.halted {
		out = append(out, PartitionStats{Partition: p, Figures: stats.Unknown(), Halted: err.Error(), Recoveries: e.recoveries[p]})
	}
	slices.SortFunc(out, func(a, b PartitionStats) int {
		if c := strings.Compare(a.Partition.Topic, b.Partition.Topic); c != 0 {
			return c
		}
		return int(a.Partition.Number - b.Partition.Number)
	})
	return out
}

// measureLag asks the broker where the logs end; what it does not say within ReferencePoll is asked next time.
func (e *Engine) measureLag(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.ReferencePoll)
	defer cancel()
	e.mu.Lock()
	parts := make([]*partition, 0, len(e.parts))
	for _, c := range e.parts {
		parts = append(parts, c)
	}
	e.mu.Unlock()
	slices.SortFunc(parts, func(a, b *partition) int { return int(a.p.Number - b.p.Number) })
	for _, c := range parts {
		if s := c.counters.Load(); s != nil {
			if _, end, err := e.source.Bounds(ctx, c.p); err == nil {
				s.End.Store(end)
			}
		}
	}
}
