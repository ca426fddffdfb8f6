package kafka

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/wattline/wattline/engine"
)

// clusterMeta is what a broker said about the cluster.
type clusterMeta struct {
	brokers    map[int32]string // address by broker id
	controller int32
	topics     map[string]topicMeta
}

// topicMeta is what a broker said about one topic.
type topicMeta struct {
	code    kafkago.Error
	id      [16]byte // zero where the broker does not tell
	leaders []string // address by partition number; "" while it has no leader
}

// metadata asks a broker about topics, not a cache.
func (c *Client) metadata(ctx context.Context, topics []string) (*clusterMeta, error) {
	if topics == nil {
		topics = []string{} // null means all
	}
	if ids, err := c.hasTopicIDs(ctx); err != nil {
		return nil, err
	} else if ids {
		return c.metadataWithIDs(ctx, topics)
	}
	res, err := c.do(ctx, anyBroker, &metadata.Request{TopicNames: topics}, 0)
	if err != nil {
		return nil, err
	}
	r := res.(*metadata.Response)
	md := &clusterMeta{brokers: map[int32]string{}, controller: r.ControllerID, topics: map[string]topicMeta{}}
	for _, b := range r.Brokers {
		md.brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for _, t := range r.Topics {
		tm := topicMeta{code: kafkago.Error(t.ErrorCode), leaders: make([]string, len(t.Partitions))}
		for _, p := range t.Partitions {
			if p.PartitionIndex < 0 || int(p.PartitionIndex) >= len(tm.leaders) {
				return nil, fmt.Errorf("metadata of topic %s names partition %d of %d", t.Name, p.PartitionIndex, len(t.Partitions))
			}
			tm.leaders[p.PartitionIndex] = md.brokers[p.LeaderID]
		}
		md.topics[t.Name] = tm
	}
	return md, nil
}

// leaderCache remembers leaders for requests outside the fetcher.
type leaderCache struct {
	mu     sync.Mutex
	topics map[string]topicMeta
}

// leader returns the address of the leader of p. A cached one unless fresh. The code says why there is none.
func (c *Client) leader(ctx context.Context, p engine.Partition, fresh bool) (string, error) {
	if !fresh {
		c.leaders.mu.Lock()
		tm, ok := c.leaders.topics[p.Topic]
		c.leaders.mu.Unlock()
		if ok && int(p.Number) < len(tm.leaders) && tm.leaders[p.Number] != "" {
			return tm.leaders[p.Number], nil
		}
	}
	md, err := c.metadata(ctx, []string{p.Topic})
	if err != nil {
		return "", err
	}
	tm, ok := md.topics[p.Topic]
	switch {
	case !ok || tm.code == kafkago.UnknownTopicOrPartition:
		return "", kafkago.UnknownTopicOrPartition
	case tm.code != 0 && classifyPartition(tm.code) == refused:
		return "", codeError(tm.code)
	case tm.code != 0:
		return "", tm.code
	case p.Number < 0 || int(p.Number) >= len(tm.leaders):
		return "", fmt.Errorf("topic %s has %d partitions: %w", p.Topic, len(tm.leaders), kafkago.UnknownTopicOrPartition)
	case tm.leaders[p.Number] == "":
		return "", kafkago.LeaderNotAvailable
	}
	c.leaders.mu.Lock()
	c.leaders.topics[p.Topic] = tm
	c.leaders.mu.Unlock()
	return tm.leaders[p.Number], nil
}

// atLeader runs op against the leader of p until it succeeds, ctx ends or the error is one that no retry helps. op
// returns the broker's code for the partition, or the error of the request itself. An unknown topic is retried for
// Config.Fetch.UnknownTopicAfter, as a new one needs its time to be known everywhere.
func (c *Client) atLeader(ctx context.Context, p engine.Partition, what string, op func(address string) (kafkago.Error, error)) error {
	unknownTopic := newPatience(c.cfg.Fetch.UnknownTopicAfter)
	for try := 1; ; try++ {
		address, err := c.leader(ctx, p, try > 1)
		if err == nil {
			var code kafkago.Error
			code, err = op(address)
			if err == nil && code == 0 {
				return nil
			}
			if err == nil {
				err = fmt.Errorf("broker %s: %w", address, codeError(code))
			}
		}
		if v := verdictOf(err, classifyPartition); ctx.Err() != nil || v == refused || v == rangeTest || v == unknown && unknownTopic.isOver() {
			if ctx.Err() != nil && err != ctx.Err() { //nolint:errorlint // the very same value, to not repeat it
				err = fmt.Errorf("%w (last: %w)", ctx.Err(), err)
			}
			return faultOf(fmt.Errorf("%s %s: %w", what, p, err))
		}
		// Who waits for it says so, once for all partitions; so does maintain of leaders that are missing.
		c.cfg.Logger.Debug("kafka: retry", "what", what, "partition", p.String(), "try", try, "error", err)
		if sleep(ctx, backoff(try, c.cfg.BackoffMax)) != nil {
			return faultOf(fmt.Errorf("%s %s: %w (last: %w)", what, p, ctx.Err(), err))
		}
	}
}

// offsetsOf returns the first offset of p's log and the one after the last that may be read. committed: only up to
// the first open transaction.
func (c *Client) offsetsOf(ctx context.Context, p engine.Partition, committed bool) (start, end int64, err error) {
	isolation := int8(0)
	if committed {
		isolation = 1
	}
	const latest, earliest = -1, -2
	out := [2]int64{}
	for i, at := range []int64{earliest, latest} {
		err := c.atLeader(ctx, p, "look up the offsets of", func(address string) (kafkago.Error, error) {
			// One request for each: brokers refuse a partition that is named twice.
			res, err := c.do(ctx, address, &listoffsets.Request{
				ReplicaID: -1, IsolationLevel: isolation,
				Topics: []listoffsets.RequestTopic{{Topic: p.Topic, Partitions: []listoffsets.RequestPartition{
					{Partition: p.Number, CurrentLeaderEpoch: -1, Timestamp: at},
				}}},
			}, 0)
			if err != nil {
				return 0, err
			}
			r := res.(*listoffsets.Response)
			if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
				return 0, fmt.Errorf("ListOffsets answer of broker %s does not have the partition asked for", address)
			}
			out[i] = r.Topics[0].Partitions[0].Offset
			return kafkago.Error(r.Topics[0].Partitions[0].ErrorCode), nil
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return out[0], out[1], nil
}
