package kafka

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/wattline/wattline/engine"
)

// Inspection is what a cluster says of itself, for `wattline config check`.
type Inspection struct {
	Brokers []string // addresses, sorted
	// Broker are the settings of one broker. nil with BrokerErr where we may not ask for them.
	Broker    map[string]string
	BrokerErr error
	Topics    map[string]TopicState // of the topics asked for that exist
}

// TopicState is what a cluster says of a topic.
type TopicState struct {
	Partitions int32
	Replicas   int               // of the partition that has fewest
	InSync     int               // replicas in sync, of the partition that has fewest
	Leaderless []int32           // partitions that nobody leads
	Configs    map[string]string // nil with ConfigErr where we may not ask for them
	ConfigErr  error
}

// Inspect asks about the brokers and topics once, without retries: whoever asks wants to know how it is now.
func (c *Client) Inspect(ctx context.Context, topics []string) (*Inspection, error) {
	res, err := c.do(ctx, anyBroker, &metadata.Request{TopicNames: topics}, 0)
	if err != nil {
		return nil, fmt.Errorf("ask about topics: %w", err)
	}
	r := res.(*metadata.Response)
	in := &Inspection{Topics: map[string]TopicState{}}
	for _, b := range r.Brokers {
		in.Brokers = append(in.Brokers, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	for _, t := range r.Topics {
		if code := kafkago.Error(t.ErrorCode); code != 0 {
			if code == kafkago.UnknownTopicOrPartition || code == kafkago.LeaderNotAvailable {
				continue
			}
			return nil, fmt.Errorf("ask about topic %s: %w", t.Name, codeError(code))
		}
		in.Topics[t.Name] = c.topicState(ctx, &t)
	}
	if len(r.Brokers) > 0 {
		const brokerResource = 4
		in.Broker, in.BrokerErr = c.settingsOf(ctx, in.Brokers[0], brokerResource, strconv.Itoa(int(r.Brokers[0].NodeID)))
	}
	slices.Sort(in.Brokers)
	return in, nil
}

func (c *Client) topicState(ctx context.Context, t *metadata.ResponseTopic) TopicState {
	const topicResource = 2
	s := TopicState{Partitions: int32(len(t.Partitions))}
	for i, p := range t.Partitions {
		if i == 0 || len(p.ReplicaNodes) < s.Replicas {
			s.Replicas = len(p.ReplicaNodes)
		}
		if i == 0 || len(p.IsrNodes) < s.InSync {
			s.InSync = len(p.IsrNodes)
		}
		if p.LeaderID < 0 {
			s.Leaderless = append(s.Leaderless, p.PartitionIndex)
		}
	}
	slices.Sort(s.Leaderless)
	s.Configs, s.ConfigErr = c.settingsOf(ctx, anyBroker, topicResource, t.Name)
	return s
}

// settingsOf asks a broker for the settings of a resource. Secret ones come without value.
func (c *Client) settingsOf(ctx context.Context, address string, kind int8, name string) (map[string]string, error) {
	res, err := c.do(ctx, address, &describeconfigs.Request{Resources: []describeconfigs.RequestResource{{ResourceType: kind, ResourceName: name}}}, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for settings of %s: %w", name, err)
	}
	out := map[string]string{}
	for _, r := range res.(*describeconfigs.Response).Resources {
		if r.ErrorCode != 0 {
			return nil, fmt.Errorf("ask for settings of %s: %w", name, codeError(kafkago.Error(r.ErrorCode)))
		}
		for _, e := range r.ConfigEntries {
			out[e.ConfigName] = strings.TrimSpace(e.ConfigValue)
		}
	}
	return out, nil
}

// Newest returns the timestamp, ms since 1970 UTC, of the newest record of a partition; ok is false for an empty one.
func (c *Client) Newest(ctx context.Context, p engine.Partition) (atMs int64, ok bool, err error) {
	start, end, err := c.Bounds(ctx, p)
	if err != nil || start >= end {
		return 0, false, err
	}
	_, err = c.ReadLog(ctx, p.Topic, p.Number, end-1, func(r engine.Record) error {
		atMs, ok = r.TimestampMs, true
		return nil
	})
	return atMs, ok, err
}
