package kafka

import (
	"fmt"
	"time"

	"github.com/wattline/wattline/engine"
)

// feed is one partition being fetched. All fields but out belong to fetcher.mu.
type feed struct {
	f         *fetcher
	partition engine.Partition
	out       chan engine.Batch // room for QueueDepth, so a send never waits

	next     int64  // offset to ask for
	maxBytes int32  // of the partition in a request; grows when a batch did not fit
	leader   string // address; "" while not known
	held     int    // batches given out and not released
	atEnd    bool   // read to the end of the log at the last answer: waits at the broker
	inFlight bool   // in a request that has not been answered
	served   uint64 // number of the answer that brought the last batch: who waited longest goes first
	tries    int    // failures in a row
	retryAt  time.Time
	doubt    bool // the broker says that next is outside the log; maintain finds out
	refused  bool // the broker refused the last fetch
	beyond   int  // how often in a row next was found beyond the end
	ended    bool
	err      error
}

var _ engine.Feed = (*feed)(nil)

// Batches implements engine.Feed.
func (fd *feed) Batches() <-chan engine.Batch { return fd.out }

// Err implements engine.Feed.
func (fd *feed) Err() error {
	fd.f.mu.Lock()
	defer fd.f.mu.Unlock()
	return fd.err
}

// Close implements engine.Feed.
func (fd *feed) Close() {
	fd.f.mu.Lock()
	fd.end(nil)
	fd.f.mu.Unlock()
	for b := range fd.out {
		b.Release()
	}
}

// end closes the feed with err; what is queued stays readable. mu is held.
func (fd *feed) end(err error) {
	if fd.ended {
		return
	}
	fd.ended, fd.err = true, err
	close(fd.out)
	if fd.f.feeds[fd.partition] == fd {
		delete(fd.f.feeds, fd.partition)
	}
}

// released is called once for each batch that the shard is done with.
func (fd *feed) released() {
	fd.f.mu.Lock()
	defer fd.f.mu.Unlock()
	fd.held--
	fd.f.nudge(fd)
}

// deliver hands an answer's records to the shard and moves the feed on. It returns an error that ends the feed. mu is
// held; the feed owns a.records from here on.
func (fd *feed) deliver(a *answer) error {
	fd.tries, fd.beyond = 0, 0
	if len(a.records) == 0 {
		// Nothing for us yet, or other partitions filled the answer. A request that may wait at the broker is right in
		// both cases: it is answered at once if there is something.
		fd.atEnd = true
		fd.f.c.pool.put(a.records)
		return nil
	}
	whole, next, err := scanSets(a.records, fd.next)
	if err != nil {
		fd.f.c.pool.put(a.records)
		return fd.f.readError(fd.partition, err)
	}
	if whole == 0 {
		// Brokers send a first batch whole whatever the limits (KIP-74); should one not, ask for more.
		fd.f.c.pool.put(a.records)
		if fd.maxBytes >= maxPartitionBytes/2 {
			return fd.f.readError(fd.partition, errOversized)
		}
		fd.maxBytes, fd.atEnd = fd.maxBytes*2, false
		return nil
	}
	if next <= fd.next {
		fd.f.c.pool.put(a.records)
		return fd.f.readError(fd.partition, fmt.Errorf("offset %d was asked for, what came ends before it", fd.next))
	}
	b := &batch{data: a.records, next: next, pool: fd.f.c.pool, release: fd.released}
	b.parser = parser{partition: fd.partition, wanted: fd.next, inflater: fd.f.c.inflater, aborted: a.aborted, sets: a.records[:whole]}
	fd.f.answers++
	fd.next, fd.served = next, fd.f.answers
	fd.atEnd = next >= a.stable
	fd.maxBytes = int32(fd.f.c.cfg.Fetch.MaxBytesPerPartition)
	fd.held++
	fd.out <- b
	return nil
}

// refill puts fd back after a failure; it is asked for again after a pause. mu is held.
func (fd *feed) refill() {
	fd.tries++
	fd.retryAt = time.Now().Add(backoff(fd.tries, fd.f.c.cfg.BackoffMax))
}
