package conntest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
)

// ledger is what all members' commits must agree with.
type ledger struct {
	mu    sync.Mutex
	end   []int64             // by partition: end of the last range known to be stored
	tried []map[[2]int64]bool // by partition: ranges whose commit was sent
	total int64               // records of each partition
}

// begin checks a commit that a new owner found and returns where it goes on.
func (l *ledger) begin(p int32, c engine.Commit) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := max(c.Offset, 0)
	if at == l.end[p] {
		return at, nil
	}
	// A crash may have come between storing and answering: then the range is one that somebody tried from here.
	if l.tried[p][[2]int64{l.end[p], at}] && c.Metadata == fmt.Sprintf("%d-%d", l.end[p], at) {
		l.end[p] = at
		return at, nil
	}
	return 0, fmt.Errorf("partition %d: found commit %+v, ranges end at %d", p, c, l.end[p])
}

func (l *ledger) attempt(p int32, from, to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried[p][[2]int64{from, to}] = true
}

// stored notes a range whose commit was acknowledged. A later owner may have found it before its maker heard of it.
func (l *ledger) stored(p int32, from, to int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.end[p] == from:
		l.end[p] = to
	case l.end[p] < to:
		return fmt.Errorf("partition %d: range %d-%d was stored, ranges end at %d", p, from, to, l.end[p])
	}
	return nil
}

func (l *ledger) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.end {
		if e < l.total {
			return false
		}
	}
	return true
}

// minCrashes is how many members die in the case rebalance.
const minCrashes = 5

// rebalance (S4): members come, crash and come back while all of them read and commit. The ranges that they store
// tile each partition from 0 to its end: none is missing, none is stored by two.
func rebalance(t *testing.T, rig Rig) {
	ctx, r := bounded(t), seeded(t)
	l := &ledger{total: 6000, end: make([]int64, rig.Partitions)}
	for range rig.Partitions {
		l.tried = append(l.tried, map[[2]int64]bool{})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var crashes atomic.Int32
	wg.Go(func() {
		for first := 0; first < int(l.total) && ctx.Err() == nil; first += 500 {
			for first+500 >= int(l.total) && crashes.Load() < minCrashes && ctx.Err() == nil {
				time.Sleep(time.Millisecond) // nobody is done before enough happened
			}
			for p := range rig.Partitions {
				rig.Produce(t, p, messages(p, first, 500))
			}
			time.Sleep(20 * time.Millisecond) // so that members change while there is something to read
		}
	})
	for i := range 3 {
		mr := rand.New(rand.NewPCG(r.Uint64(), 0))
		wg.Go(func() {
			for life := 0; !l.done() && ctx.Err() == nil; life++ {
				if life > 0 {
					crashes.Add(1)
				}
				if err := live(ctx, t, rig, fmt.Sprint("m", i), l, mr, i > 0 && life < 3); err != nil {
					t.Error(err)
					cancel()
				}
			}
		})
	}
	wg.Wait()
	for p, end := range l.end {
		if end != l.total {
			t.Errorf("partition %d: ranges end at %d of %d", p, end, l.total)
		}
	}
}

// live is one life of a member: until all is done or, if mortal, until a random time. It returns what broke a rule.
func live(ctx context.Context, t testing.TB, rig Rig, instance string, l *ledger, r *rand.Rand, mortal bool) error {
	e := rig.Member(t, instance)
	defer e.Close()
	life := caseTimeout
	if mortal {
		life = time.Duration(50+r.IntN(300)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex
	var broken error
	running := map[engine.Partition]context.CancelFunc{}
	for {
		next, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		a, err := e.Source.Next(next)
		stop()
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("member %s: %w", instance, err)
		}
		mu.Lock()
		err2 := broken
		mu.Unlock()
		if err2 != nil || ctx.Err() != nil || l.done() {
			cancel()
			return err2
		}
		if err != nil {
			continue
		}
		ours := map[engine.Partition]bool{}
		for _, p := range a.Partitions {
			ours[p] = true
		}
		for p, end := range running {
			if !ours[p] {
				end()
				delete(running, p)
			}
		}
		for _, p := range a.Partitions {
			if running[p] != nil {
				continue
			}
			own, end := context.WithCancel(ctx)
			running[p] = end
			pr := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() {
				if err := work(own, e, p, l, pr); err != nil {
					mu.Lock()
					broken = errors.Join(broken, fmt.Errorf("member %s: %w", instance, err))
					mu.Unlock()
				}
			})
		}
	}
}

// work reads one partition and commits each batch's range until it is taken away.
func work(ctx context.Context, e End, p engine.Partition, l *ledger, r *rand.Rand) error {
	c, err := e.Committer.Committed(ctx, p)
	if err != nil {
		return unlessOver(ctx, err)
	}
	at, err := l.begin(p.Number, c)
	if err != nil {
		return err
	}
	fd := openSoon(ctx, e, p, at)
	if fd == nil {
		return nil
	}
	defer fd.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case b, ok := <-fd.Batches():
			if !ok {
				return unlessOver(ctx, fmt.Errorf("feed of %s ended: %w", p, fd.Err()))
			}
			to, err := consume(b, p.Number, at, r)
			if err != nil {
				return err
			}
			l.attempt(p.Number, at, to)
			err = e.Committer.Commit(ctx, p, engine.Commit{Offset: to, Metadata: fmt.Sprintf("%d-%d", at, to)})
			if errors.Is(err, engine.ErrLost) {
				return nil
			}
			if err != nil {
				return unlessOver(ctx, err)
			}
			if err := l.stored(p.Number, at, to); err != nil {
				return err
			}
			at = to
		}
	}
}

// openSoon opens p as soon as the feed of an earlier assignment has closed; nil when ctx ends.
func openSoon(ctx context.Context, e End, p engine.Partition, at int64) engine.Feed {
	for ctx.Err() == nil {
		if fd, err := e.Source.Open(p, at); err == nil {
			return fd
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// unlessOver returns err unless ctx ended: then it is no wonder.
func unlessOver(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}
