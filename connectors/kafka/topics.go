package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
)

// TopicSpec is what a topic has to be.
type TopicSpec struct {
	Name string
	// Partitions is how many a new topic gets. An existing one may have another number unless ExactPartitions.
	Partitions int32
	// ExactPartitions refuses an existing topic with another number of partitions.
	ExactPartitions bool
	// ReplicationFactor of a new topic. Default: 0, the broker's default.
	ReplicationFactor int16
	// Configs are settings of a new topic; an existing one may differ.
	Configs map[string]string
	// Require are settings of a new topic that an existing one must have too, as the protocol stands on them.
	Require map[string]string
}

// ReferenceTopic is the log of tariffs, chargers, sites and contracts: one partition, kept for ever, never compacted.
// A book is a prefix of it.
func ReferenceTopic(name string) TopicSpec {
	return TopicSpec{
		Name: name, Partitions: 1, ExactPartitions: true,
		Require: map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
	}
}

// StateTopic holds snapshots by key: compacted and nothing else, as time must not take the newest one.
func StateTopic(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Require: map[string]string{"cleanup.policy": "compact"}}
}

// RejectsTopic holds what could not be decoded, for as long as the broker keeps topics by default.
func RejectsTopic(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Require: map[string]string{"cleanup.policy": "delete"}}
}

// CDRsTopic holds the CDRs of final sessions, for as long as the broker keeps topics by default. Compaction is refused: who
// reads them late would get them in another order.
func CDRsTopic(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Require: map[string]string{"cleanup.policy": "delete"}}
}

// PricesTopic holds the newest price of each running session: compacted.
func PricesTopic(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Require: map[string]string{"cleanup.policy": "compact"}}
}

// ReadingsTopic holds readings. Compaction would take readings of a key but the last: refused.
func ReadingsTopic(name string, partitions int32) TopicSpec {
	return TopicSpec{Name: name, Partitions: partitions, Require: map[string]string{"cleanup.policy": "delete"}}
}

// EnsureTopics makes the topics that are missing, checks those that are there, and returns the number of partitions of
// each. An error names every topic that differs in a way that would lose or double money.
func (c *Client) EnsureTopics(ctx context.Context, specs []TopicSpec) (map[string]int32, error) {
	counts, missing, err := c.countPartitions(ctx, specs)
	if err != nil {
		return nil, fmt.Errorf("ensure topics: %w", err)
	}
	if len(missing) > 0 {
		if err := c.createTopics(ctx, missing); err != nil {
			return nil, err
		}
	}
	for try := 1; len(missing) > 0; try++ { // a new topic is known to the brokers after a moment
		if counts, missing, err = c.countPartitions(ctx, specs); err != nil {
			return nil, fmt.Errorf("ensure topics: %w", err)
		}
		if len(missing) > 0 && sleep(ctx, backoff(try, c.cfg.BackoffMax)) != nil {
			return nil, fmt.Errorf("ensure topics: topic %s was made but does not appear: %w", missing[0].Name, ctx.Err())
		}
	}
	return counts, c.compareTopics(ctx, specs, counts)
}

// CheckTopics checks topics as EnsureTopics does and makes none: a missing one is an error.
func (c *Client) CheckTopics(ctx context.Context, specs []TopicSpec) (map[string]int32, error) {
	counts, missing, err := c.countPartitions(ctx, specs)
	if err != nil {
		return nil, fmt.Errorf("check topics: %w", err)
	}
	var errs []error
	for _, s := range missing {
		errs = append(errs, fmt.Errorf("topic %s does not exist at %s; make it with %d partitions and %s", s.Name, strings.Join(c.cfg.Brokers, ","), s.Partitions, s.settings()))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return counts, c.compareTopics(ctx, specs, counts)
}

// settings renders what a new topic is made with, as the command-line tools take it.
func (s TopicSpec) settings() string {
	all := maps.Clone(s.Configs)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, s.Require)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return strings.Join(out, ",")
}

// countPartitions returns the partitions of the topics that exist, and the specs of those that do not. Brokers that
// cannot be reached are tried again until ctx ends.
func (c *Client) countPartitions(ctx context.Context, specs []TopicSpec) (map[string]int32, []TopicSpec, error) {
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	md, err := c.metadataRetry(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	counts := map[string]int32{}
	var missing []TopicSpec
	for _, s := range specs {
		tm, ok := md.topics[s.Name]
		switch {
		case !ok || tm.code == kafkago.UnknownTopicOrPartition:
			missing = append(missing, s)
		case tm.code != 0 && tm.code != kafkago.LeaderNotAvailable:
			return nil, nil, fmt.Errorf("topic %s: %w", s.Name, codeError(tm.code))
		default:
			counts[s.Name] = int32(len(tm.leaders))
		}
	}
	return counts, missing, nil
}

// metadataRetry asks until a broker answers or ctx ends.
func (c *Client) metadataRetry(ctx context.Context, topics []string) (*clusterMeta, error) {
	for try := 1; ; try++ {
		md, err := c.metadata(ctx, topics)
		if err == nil {
			c.troubles.over("metadata")
			return md, nil
		}
		if verdictOf(err, classifyPartition) == refused || ctx.Err() != nil {
			return nil, err
		}
		c.troubles.failed("metadata", "no broker says who leads", err)
		if sleep(ctx, backoff(try, c.cfg.BackoffMax)) != nil {
			return nil, fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		}
	}
}

func (c *Client) createTopics(ctx context.Context, specs []TopicSpec) error {
	for try := 1; ; try++ {
		md, err := c.metadataRetry(ctx, nil)
		if err != nil {
			return fmt.Errorf("create topics: %w", err)
		}
		again, err := c.createOnce(ctx, md.brokers[md.controller], specs)
		if err == nil {
			return nil
		}
		if !again || ctx.Err() != nil {
			return err
		}
		if sleep(ctx, backoff(try, c.cfg.BackoffMax)) != nil {
			return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		}
	}
}

// createOnce sends one CreateTopics to the controller; again: the error is worth another try.
func (c *Client) createOnce(ctx context.Context, controller string, specs []TopicSpec) (again bool, err error) {
	req := &createtopics.Request{TimeoutMs: int32(c.cfg.RequestTimeout.Milliseconds())}
	for _, s := range specs {
		t := createtopics.RequestTopic{Name: s.Name, NumPartitions: s.Partitions, ReplicationFactor: s.ReplicationFactor}
		if t.ReplicationFactor == 0 {
			t.ReplicationFactor = -1
		}
		for _, m := range []map[string]string{s.Configs, s.Require} {
			for k, v := range m {
				t.Configs = append(t.Configs, createtopics.RequestConfig{Name: k, Value: v})
			}
		}
		req.Topics = append(req.Topics, t)
	}
	res, err := c.do(ctx, controller, req, 0)
	if err != nil {
		return true, fmt.Errorf("create topics: %w", err)
	}
	var errs []error
	for _, t := range res.(*createtopics.Response).Topics {
		code := kafkago.Error(t.ErrorCode)
		if code == 0 || code == kafkago.TopicAlreadyExists { // somebody else was faster; it is compared next
			continue
		}
		again = again || code == kafkago.NotController || code == kafkago.RequestTimedOut
		errs = append(errs, fmt.Errorf("create topic %s: %w %s", t.Name, codeError(code), t.ErrorMessage))
	}
	return again, errors.Join(errs...)
}

// compareTopics says everything in which existing topics differ from their specs dangerously.
func (c *Client) compareTopics(ctx context.Context, specs []TopicSpec, counts map[string]int32) error {
	var names []string
	for _, s := range specs {
		if len(s.Require) > 0 {
			names = append(names, s.Name)
		}
	}
	var configs map[string]map[string]string
	if len(names) > 0 {
		var err error
		if configs, err = c.topicConfigs(ctx, names); err != nil {
			return fmt.Errorf("compare topics: %w", err)
		}
	}
	var errs []error
	for _, s := range specs {
		if s.ExactPartitions && counts[s.Name] != s.Partitions {
			errs = append(errs, fmt.Errorf("topic %s has %d partitions, it must have %d: make a new one under another name", s.Name, counts[s.Name], s.Partitions))
		}
		for _, k := range slices.Sorted(maps.Keys(s.Require)) {
			if got := configs[s.Name][k]; got != s.Require[k] {
				errs = append(errs, fmt.Errorf("topic %s has %s=%s, it must be %s: set it with kafka-configs --alter, before records are lost", s.Name, k, got, s.Require[k]))
			}
		}
	}
	return errors.Join(errs...)
}

// topicConfigs returns the settings of topics.
func (c *Client) topicConfigs(ctx context.Context, topics []string) (map[string]map[string]string, error) {
	const topicResource = 2
	req := &describeconfigs.Request{}
	for _, t := range topics {
		req.Resources = append(req.Resources, describeconfigs.RequestResource{ResourceType: topicResource, ResourceName: t})
	}
	give := time.Now().Add(c.cfg.Fetch.UnknownTopicAfter)
	for try := 1; ; try++ {
		out, err := c.configsOnce(ctx, req)
		if err == nil {
			return out, nil
		}
		if v := verdictOf(err, classifyPartition); v == refused || ctx.Err() != nil || v == unknown && time.Now().After(give) {
			return nil, err
		}
		if sleep(ctx, backoff(try, c.cfg.BackoffMax)) != nil {
			return nil, fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		}
	}
}

func (c *Client) configsOnce(ctx context.Context, req *describeconfigs.Request) (map[string]map[string]string, error) {
	res, err := c.do(ctx, anyBroker, req, 0)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]string{}
	for _, r := range res.(*describeconfigs.Response).Resources {
		if r.ErrorCode != 0 {
			return nil, fmt.Errorf("describe topic %s: %w %s", r.ResourceName, codeError(kafkago.Error(r.ErrorCode)), r.ErrorMessage)
		}
		m := map[string]string{}
		for _, e := range r.ConfigEntries {
			m[e.ConfigName] = e.ConfigValue
		}
		out[r.ResourceName] = m
	}
	return out, nil
}
