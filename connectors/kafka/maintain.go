package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/engine"
)

// Reasons of a Halt that this package gives; each has its runbook page.
const (
	haltBelowStart   = "offset-below-log-start"
	haltBeyondEnd    = "offset-beyond-log-end"
	haltTopicGone    = "topic-gone"
	haltRecreated    = "topic-recreated"
	haltCountChanged = "partition-count-changed"
)

// beyondTries is how often the end of the log must be found below the wanted offset: a new leader may know of the end
// a moment later.
const beyondTries = 3

// maintain keeps the leaders right: it looks the metadata up at intervals, and at once when a request failed.
func (f *fetcher) maintain() {
	tries := 0
	for f.ctx.Err() == nil {
		f.resolveDoubts()
		md, err := f.c.metadata(f.ctx, f.topics)
		again := false
		if err != nil {
			if f.ctx.Err() != nil {
				return
			}
			f.c.troubles.failed("metadata", "no broker says who leads", err)
			again = true
		} else {
			f.c.troubles.over("metadata")
			again = f.apply(md)
		}
		pause := f.c.cfg.MetadataInterval
		if again {
			tries++
			pause = backoff(tries, f.c.cfg.BackoffMax)
		} else {
			tries = 0
		}
		t := time.NewTimer(pause)
		select {
		case <-f.ctx.Done():
		case <-t.C:
		case <-f.wakeUnless(again):
			// Many feeds fail at once when a broker goes; one look-up is enough for all.
			if sleep(f.ctx, 10*time.Millisecond) == nil {
				f.drainWake()
			}
		}
		t.Stop()
	}
}

// wakeUnless returns the channel that asks for a look-up, or none while the pause after a failure runs.
func (f *fetcher) wakeUnless(pausing bool) <-chan struct{} {
	if pausing {
		return nil
	}
	return f.wake
}

func (f *fetcher) drainWake() {
	select {
	case <-f.wake:
	default:
	}
}

// apply gives every feed its leader by md, ends those that may not go on, and says whether something is missing yet.
func (f *fetcher) apply(md *clusterMeta) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = md
	for _, topic := range f.topics {
		tm, ok := md.topics[topic]
		if !ok || tm.code == kafkago.UnknownTopicOrPartition {
			again = true
			f.missing(topic)
			continue
		}
		if tm.code != 0 {
			again = true
			continue
		}
		delete(f.gone, topic)
		if id := f.ids[topic]; id != tm.id && id != [16]byte{} {
			f.halt(topic, haltRecreated, fmt.Sprintf("topic had the id %x when this engine started and has %x now", id, tm.id),
				"the topic was deleted and made anew: what was unread in it is lost, and its offsets mean other records now; see the runbook before `wattline adopt`")
			continue
		}
		f.ids[topic] = tm.id
		if n := len(tm.leaders); n != f.counts[topic] {
			f.halt(topic, haltCountChanged,
				fmt.Sprintf("topic had %d partitions when this engine started and has %d now", f.counts[topic], n),
				"a charge point's readings may lie in two partitions now; see the runbook on changing partitions before any engine is started again")
		}
	}
	used := map[string]bool{}
	var headless []string
	for _, fd := range f.feeds {
		f.place(fd, md)
		if fd.leader == "" {
			headless = append(headless, fd.partition.String())
		}
		again = again || fd.leader == "" || fd.doubt
		used[fd.leader] = true
	}
	f.tellHeadless(headless)
	for address, l := range f.leaders {
		if !used[address] {
			l.cancel()
			delete(f.leaders, address)
		}
	}
	return again
}

// tellHeadless says once that partitions have no leader, and once that all have one.
func (f *fetcher) tellHeadless(partitions []string) {
	if len(partitions) == 0 {
		f.c.troubles.over("leaders")
		return
	}
	slices.Sort(partitions)
	f.c.troubles.failed("leaders", "partitions have no leader: they stand still, the others go on",
		fmt.Errorf("no leader of %s", strings.Join(partitions[:min(len(partitions), 8)], ", ")), "count", len(partitions))
}

// missing notes that the brokers do not know a topic; after a while it counts as deleted. mu is held.
func (f *fetcher) missing(topic string) {
	if f.gone[topic] == nil {
		f.gone[topic] = newPatience(f.c.cfg.Fetch.UnknownTopicAfter)
	}
	if f.gone[topic].isOver() {
		f.halt(topic, haltTopicGone, fmt.Sprintf("no broker has known the topic for %s", f.c.cfg.Fetch.UnknownTopicAfter),
			"if the topic was deleted, its unread readings are lost: restore it, or follow the runbook to adopt a new one")
	}
}

// halt ends all feeds of a topic and tells the group. mu is held.
func (f *fetcher) halt(topic, reason, detail, do string) {
	for p, fd := range f.feeds {
		if p.Topic == topic {
			fd.end(&engine.Halt{Reason: reason, Partition: p, Detail: detail, Do: do})
		}
	}
	f.onHalt(&engine.Halt{Reason: reason, Partition: engine.Partition{Topic: topic, Number: -1}, Detail: detail, Do: do})
}

// resolveDoubts finds out for each feed whose offset a broker called out of range on which side it is.
func (f *fetcher) resolveDoubts() {
	f.mu.Lock()
	var doubts []*feed
	for _, fd := range f.feeds {
		if fd.doubt && time.Now().After(fd.retryAt) {
			doubts = append(doubts, fd)
		}
	}
	f.mu.Unlock()
	for _, fd := range doubts {
		ctx, cancel := context.WithTimeout(f.ctx, f.c.cfg.RequestTimeout)
		start, end, err := f.c.offsetsOf(ctx, fd.partition, false)
		cancel()
		f.mu.Lock()
		f.resolve(fd, start, end, err)
		f.mu.Unlock()
	}
}

// resolve ends fd if its offset is outside [start, end], else lets it go on. mu is held.
func (f *fetcher) resolve(fd *feed, start, end int64, err error) {
	switch {
	case fd.ended:
	case errors.Is(err, context.DeadlineExceeded), f.ctx.Err() != nil:
		fd.refill() // and the doubt stays
	case err != nil:
		fd.end(err)
	case fd.next < start:
		fd.end(belowStart(fd.partition, fd.next, start))
	case fd.next > end:
		if fd.beyond++; fd.beyond >= beyondTries {
			fd.end(beyondEnd(fd.partition, fd.next, end))
			return
		}
		f.trust(fd)
	default:
		f.trust(fd)
	}
}

// trust lets fd ask again for the offset that was in doubt. mu is held.
func (f *fetcher) trust(fd *feed) {
	fd.refill()
	fd.doubt = false
	f.nudge(fd)
}

func belowStart(p engine.Partition, wanted, start int64) error {
	return &engine.Halt{
		Reason: haltBelowStart, Partition: p,
		Detail: fmt.Sprintf("offset %d is wanted, the log begins at %d: %d offsets are gone", wanted, start, start-wanted),
		Do:     "the topic's retention was shorter than the outage; see the runbook: restore the records, or run `wattline adopt` to go on at the log's start, which leaves the gap unrated",
	}
}

func beyondEnd(p engine.Partition, wanted, end int64) error {
	return &engine.Halt{
		Reason: haltBeyondEnd, Partition: p,
		Detail: fmt.Sprintf("offset %d is wanted, the log ends at %d", wanted, end),
		Do:     "the topic was made anew or lost records in an unclean election; see the runbook before `wattline adopt`: readings already rated may come again under other offsets",
	}
}
