package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
)

// Topic is what verify asks of Kafka.
type Topic struct {
	*kafka.Client
	admin *kafkago.Client
	group string
	names []string // topics of readings
}

// NewTopic asks the brokers about topics of readings and a consumer group, with client's security.
func NewTopic(client *kafka.Client, brokers []string, timeout time.Duration, group string, topics []string) *Topic {
	admin := &kafkago.Client{Addr: kafkago.TCP(brokers...), Timeout: timeout, Transport: client.NewTransport()}
	return &Topic{Client: client, admin: admin, group: group, names: topics}
}

// Partitions implements verify.Topic.
func (t *Topic) Partitions(ctx context.Context) ([]engine.Partition, error) {
	res, err := t.admin.Metadata(ctx, &kafkago.MetadataRequest{Topics: t.names})
	if err != nil {
		return nil, err
	}
	var list []engine.Partition
	for _, topic := range res.Topics {
		if errors.Is(topic.Error, kafkago.UnknownTopicOrPartition) {
			continue
		}
		if topic.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", topic.Name, topic.Error)
		}
		for _, p := range topic.Partitions {
			list = append(list, engine.Partition{Topic: topic.Name, Number: int32(p.ID)})
		}
	}
	return list, nil
}

// Bounds implements verify.Topic. It does not join the group.
func (t *Topic) Bounds(ctx context.Context, p engine.Partition) (start, end, committed int64, err error) {
	offset := func(want kafkago.OffsetRequest) (kafkago.PartitionOffsets, error) {
		res, err := t.admin.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{p.Topic: {want}}})
		if err != nil {
			return kafkago.PartitionOffsets{}, err
		}
		if len(res.Topics[p.Topic]) != 1 {
			return kafkago.PartitionOffsets{}, errors.New("the answer does not have the partition asked for")
		}
		return res.Topics[p.Topic][0], res.Topics[p.Topic][0].Error
	}
	first, err := offset(kafkago.FirstOffsetOf(int(p.Number)))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("first offset of %s: %w", p, err)
	}
	last, err := offset(kafkago.LastOffsetOf(int(p.Number)))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("last offset of %s: %w", p, err)
	}
	res, err := t.admin.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: t.group, Topics: map[string][]int{p.Topic: {int(p.Number)}}})
	if err == nil && res.Error != nil {
		err = res.Error
	}
	if err != nil {
		return 0, 0, 0, fmt.Errorf("committed offset of %s: %w", p, err)
	}
	committed = -1
	for _, o := range res.Topics[p.Topic] {
		if o.Error != nil {
			return 0, 0, 0, fmt.Errorf("committed offset of %s: %w", p, o.Error)
		}
		committed = max(committed, o.CommittedOffset)
	}
	return first.FirstOffset, last.LastOffset, committed, nil
}
