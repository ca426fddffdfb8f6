package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wattline/wattline/engine"
)

// fetcher fetches all partitions of an engine.
//
// Two goroutines for each leader broker. One asks for the partitions that have more to read, and never waits at the
// broker; the other asks for those read to their end, and waits there for news. With a single one, a partition that
// gets room while the request waits for another's news would stand still that long.
type fetcher struct {
	c      *Client
	topics []string
	onHalt func(error) // hears of a Halt that concerns a whole topic

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // asks maintain to look up the metadata

	mu      sync.Mutex
	feeds   map[engine.Partition]*feed
	counts  map[string]int // partitions of each topic when we began
	leaders map[string]*leader
	known   *clusterMeta // the newest
	answers uint64
	ids     map[string][16]byte // topic ids when we began
	gone    map[string]*patience
}

// leader is a broker that leads a partition we fetch.
type leader struct {
	address string
	cancel  context.CancelFunc
	behind  chan struct{} // wakes the goroutine for partitions with more to read
	atEnd   chan struct{} // wakes the other
}

var errOversized = fmt.Errorf("a record batch is larger than %d bytes", maxPartitionBytes)

// newFetcher starts a fetcher. counts are the partitions of each topic; they may not change while it runs.
func (c *Client) newFetcher(counts map[string]int, onHalt func(error)) *fetcher {
	f := &fetcher{
		c: c, onHalt: onHalt, wake: make(chan struct{}, 1), counts: counts,
		feeds: map[engine.Partition]*feed{}, leaders: map[string]*leader{}, gone: map[string]*patience{}, ids: map[string][16]byte{},
	}
	for t := range counts {
		f.topics = append(f.topics, t)
	}
	slices.Sort(f.topics)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.wg.Go(f.maintain)
	return f
}

// close ends all feeds and waits for the goroutines.
func (f *fetcher) close() {
	f.cancel()
	f.mu.Lock()
	feeds := make([]*feed, 0, len(f.feeds))
	for _, fd := range f.feeds {
		feeds = append(feeds, fd)
	}
	f.mu.Unlock()
	for _, fd := range feeds {
		fd.Close()
	}
	f.wg.Wait()
}

// open begins to fetch p at offset from; see engine.Source.Open.
func (f *fetcher) open(p engine.Partition, from int64) (engine.Feed, error) {
	if from < 0 {
		return nil, fmt.Errorf("open %s: offset %d is negative", p, from)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	count, ok := f.counts[p.Topic]
	switch {
	case f.ctx.Err() != nil:
		return nil, fmt.Errorf("open %s: %w", p, ErrClosed)
	case !ok || p.Number < 0 || int(p.Number) >= count:
		return nil, fmt.Errorf("open %s: no such partition; topic has %d", p, count)
	case f.feeds[p] != nil:
		return nil, fmt.Errorf("open %s: it is open already", p)
	}
	fd := &feed{
		f: f, partition: p, next: from, maxBytes: int32(f.c.cfg.Fetch.MaxBytesPerPartition),
		out: make(chan engine.Batch, f.c.cfg.Fetch.QueueDepth),
	}
	f.feeds[p] = fd
	if f.known != nil {
		f.place(fd, f.known)
	}
	if fd.leader == "" {
		f.refresh()
	}
	return fd, nil
}

// refresh asks for new metadata; it does not wait.
func (f *fetcher) refresh() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// place finds the leader of fd and starts its goroutines if they do not run. mu is held.
func (f *fetcher) place(fd *feed, md *clusterMeta) {
	tm := md.topics[fd.partition.Topic]
	if int(fd.partition.Number) >= len(tm.leaders) {
		return
	}
	fd.leader = tm.leaders[fd.partition.Number]
	if fd.leader == "" || f.ctx.Err() != nil {
		return
	}
	if f.leaders[fd.leader] == nil {
		l := &leader{address: fd.leader, behind: make(chan struct{}, 1), atEnd: make(chan struct{}, 1)}
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(f.ctx)
		f.leaders[fd.leader] = l
		f.wg.Go(func() { f.run(ctx, l, false) })
		f.wg.Go(func() { f.run(ctx, l, true) })
	}
	f.nudge(fd)
}

// nudge wakes the goroutine that fetches fd. mu is held.
func (f *fetcher) nudge(fd *feed) {
	l := f.leaders[fd.leader]
	if l == nil || fd.ended {
		return
	}
	wake := l.behind
	if fd.atEnd {
		wake = l.atEnd
	}
	select {
	case wake <- struct{}{}:
	default:
	}
}

// run fetches the partitions of one leader: those at their end, or those behind.
func (f *fetcher) run(ctx context.Context, l *leader, atEnd bool) {
	wake := l.behind
	if atEnd {
		wake = l.atEnd
	}
	m := f.c.newFetchMsg(atEnd)
	var picked []*feed
	for ctx.Err() == nil {
		var wait time.Duration
		picked, wait = f.pick(l, atEnd, picked[:0], m)
		if len(picked) == 0 {
			t := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-wake:
			case <-t.C:
			}
			t.Stop()
			continue
		}
		if err := f.c.fetch(ctx, l.address, m); err != nil {
			m = f.c.newFetchMsg(atEnd)
			f.failed(picked, l.address, err)
			continue
		}
		f.c.troubles.over("fetch from " + l.address)
		f.take(picked, m)
	}
}

// pick chooses the feeds for the next request, those that waited longest first, and fills m. With none it returns how
// long to sleep at most.
func (f *fetcher) pick(l *leader, atEnd bool, picked []*feed, m *fetchMsg) ([]*feed, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, wait := time.Now(), time.Minute
	for _, fd := range f.feeds {
		if fd.leader != l.address || fd.atEnd != atEnd || fd.inFlight || fd.doubt || fd.held >= f.c.cfg.Fetch.QueueDepth {
			continue
		}
		if d := fd.retryAt.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		picked = append(picked, fd)
	}
	slices.SortFunc(picked, func(a, b *feed) int {
		return cmp.Or(cmp.Compare(a.served, b.served), cmp.Compare(a.partition.Topic, b.partition.Topic), cmp.Compare(a.partition.Number, b.partition.Number))
	})
	m.asks = m.asks[:0]
	for _, fd := range picked {
		fd.inFlight = true
		m.asks = append(m.asks, ask{partition: fd.partition, from: fd.next, maxBytes: fd.maxBytes})
	}
	return picked, wait
}

// failed puts the feeds of a failed request back.
func (f *fetcher) failed(picked []*feed, address string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fd := range picked {
		fd.inFlight = false
		if fd.ended {
			continue
		}
		if errors.Is(err, errVersion) {
			fd.end(fmt.Errorf("fetch %s: %w", fd.partition, err))
			continue
		}
		fd.refill()
		fd.leader = "" // until the metadata says who leads by now
	}
	if f.ctx.Err() == nil {
		f.c.troubles.failed("fetch from "+address, "a broker does not answer", err, "broker", address, "partitions", len(picked))
		f.refresh()
	}
}

// take hands the answers of a request out.
func (f *fetcher) take(picked []*feed, m *fetchMsg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fd := range picked {
		a := &m.answers[i]
		fd.inFlight = false
		if fd.ended || !a.known {
			f.c.pool.put(a.records)
			fd.refill()
			continue
		}
		if a.code != 0 {
			f.c.pool.put(a.records)
			f.refuse(fd, a)
			continue
		}
		if a.logStart > fd.next {
			// The broker should have said so; a record below may be gone.
			fd.doubt = true
			f.c.pool.put(a.records)
			f.refresh()
			continue
		}
		if fd.refused {
			fd.refused = false
			f.c.troubles.over("fetch of " + fd.partition.String())
		}
		if err := fd.deliver(a); err != nil {
			fd.end(err)
			continue
		}
		f.nudge(fd)
	}
	m.answers = m.answers[:0]
}

// refuse acts on a partition's error code. mu is held.
func (f *fetcher) refuse(fd *feed, a *answer) {
	fd.refused = true
	f.c.troubles.failed("fetch of "+fd.partition.String(), "a broker refuses a fetch", a.code, "partition", fd.partition.String(), "offset", fd.next, "broker", fd.leader)
	switch classifyPartition(a.code) {
	case rangeTest:
		fd.doubt = true
		f.refresh()
	case relocate, unknown:
		fd.refill()
		fd.leader = ""
		f.refresh()
	case retry:
		fd.refill()
	default:
		fd.end(fmt.Errorf("fetch %s at offset %d from broker %s: %w", fd.partition, fd.next, fd.leader, codeError(a.code)))
	}
}

func (f *fetcher) readError(p engine.Partition, err error) error {
	return fmt.Errorf("read fetched bytes of %s: %w: %w", p, engine.ErrUnreadable, err)
}
