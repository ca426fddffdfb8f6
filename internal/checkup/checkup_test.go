package checkup

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/connectors/kafka"
)

func wanted() *Kafka {
	return &Kafka{
		Topics:      []Topic{{"readings", Readings, 4}, {"reference", Reference, 1}, {"state", State, 4}, {"rejects", Rejects, 1}},
		SnapshotAge: 10 * time.Minute, SnapshotChunk: 512 << 10, SessionTimeout: 30 * time.Second,
	}
}

// good is a cluster as it should be.
func good() *kafka.Inspection {
	topic := func(n int32, more map[string]string) kafka.TopicState {
		c := map[string]string{
			"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime",
			"max.message.bytes": "1048588", "min.insync.replicas": "2", "unclean.leader.election.enable": "false",
		}
		maps.Copy(c, more)
		return kafka.TopicState{Partitions: n, Replicas: 3, InSync: 3, Configs: c}
	}
	return &kafka.Inspection{
		Brokers: []string{"k1:9092", "k2:9092"},
		Broker: map[string]string{
			"offsets.retention.minutes": "10080", "offset.metadata.max.bytes": "4096", "group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "1800000",
		},
		Topics: map[string]kafka.TopicState{
			"readings": topic(4, nil), "reference": topic(1, map[string]string{"retention.ms": "-1"}),
			"state": topic(4, map[string]string{"cleanup.policy": "compact"}), "rejects": topic(1, nil),
		},
	}
}

// worst are the checks of r that are not ok, as "verdict name: found".
func worst(r *Report) (list []string) {
	for _, c := range r.Checks {
		if c.Verdict != OK {
			list = append(list, string(c.Verdict)+" "+c.Name+": "+c.Found)
		}
		if (c.Do == "") == (c.Verdict == Fail || c.Verdict == Warn) {
			list = append(list, "what to do about "+c.Name+"?")
		}
	}
	return list
}

func TestKafka(t *testing.T) {
	f := func(change func(*Kafka, *kafka.Inspection), want ...string) {
		t.Helper()
		k, in, r := wanted(), good(), Report{}
		change(k, in)
		r.Kafka(k, in)
		if d := cmp.Diff(want, worst(&r)); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	config := func(topic, key, value string) func(*Kafka, *kafka.Inspection) {
		return func(_ *Kafka, in *kafka.Inspection) { in.Topics[topic].Configs[key] = value }
	}
	broker := func(key, value string) func(*Kafka, *kafka.Inspection) {
		return func(_ *Kafka, in *kafka.Inspection) { in.Broker[key] = value }
	}
	f(func(*Kafka, *kafka.Inspection) {})
	f(broker("offsets.retention.minutes", "2880"), "warn kafka broker offsets.retention.minutes: 2 days")
	f(broker("offsets.retention.minutes", "60"), "fail kafka broker offsets.retention.minutes: 1 h")
	f(broker("offsets.retention.minutes", ""), `skip kafka broker offsets.retention.minutes: the broker says ""`, "what to do about kafka broker offsets.retention.minutes?")
	f(broker("offset.metadata.max.bytes", "100"), "fail kafka broker offset.metadata.max.bytes: 100 bytes")
	f(broker("group.min.session.timeout.ms", "60000"), "fail kafka broker group.min.session.timeout.ms: 1m0s")
	f(broker("group.max.session.timeout.ms", "20000"), "fail kafka broker group.max.session.timeout.ms: 20s")
	f(config("readings", "retention.ms", "3600000"), "fail kafka topic readings retention.ms: 1 h")
	f(config("readings", "retention.ms", "86400000"), "warn kafka topic readings retention.ms: 24 h")
	f(config("readings", "retention.ms", "-1"))
	f(config("readings", "retention.ms", "9223372036854775807"))
	f(config("readings", "retention.bytes", "1000"), "warn kafka topic readings retention.bytes: 1000")
	f(config("readings", "cleanup.policy", "compact,delete"), "fail kafka topic readings cleanup.policy: compact,delete")
	f(config("readings", "message.timestamp.type", "CreateTime"), "warn kafka topic readings message.timestamp.type: CreateTime")
	f(config("readings", "unclean.leader.election.enable", "true"), "warn kafka topic readings unclean.leader.election.enable: true")
	f(config("reference", "retention.ms", "604800000"), "fail kafka topic reference retention.ms: 604800000")
	f(config("reference", "cleanup.policy", "compact"), "fail kafka topic reference cleanup.policy: compact")
	f(config("state", "cleanup.policy", "delete"), "fail kafka topic state cleanup.policy: delete")
	f(config("state", "max.message.bytes", "524288"), "fail kafka topic state max.message.bytes: 524288 bytes")
	f(config("rejects", "max.message.bytes", "524288"), "fail kafka topic rejects max.message.bytes: 524288 bytes")
	f(config("state", "min.insync.replicas", "1"), "warn kafka topic state replicas: 3 replicas, 3 in sync, min.insync.replicas=1")
	topic := func(name string, change func(*kafka.TopicState)) func(*Kafka, *kafka.Inspection) {
		return func(_ *Kafka, in *kafka.Inspection) {
			s := in.Topics[name]
			change(&s)
			in.Topics[name] = s
		}
	}
	f(topic("reference", func(s *kafka.TopicState) { s.Partitions = 2 }), "fail kafka topic reference partitions: 2")
	f(topic("readings", func(s *kafka.TopicState) { s.Partitions = 8 }), "fail kafka topic state partitions: 4")
	f(topic("state", func(s *kafka.TopicState) { s.InSync = 1 }), "fail kafka topic state replicas: 3 replicas, 1 in sync, min.insync.replicas=2")
	f(topic("state", func(s *kafka.TopicState) { s.Replicas, s.InSync = 2, 2 }), "warn kafka topic state replicas: 2 replicas, 2 in sync, min.insync.replicas=2")
	f(topic("state", func(s *kafka.TopicState) { s.Leaderless = []int32{1} }), "fail kafka topic state: partitions [1] have no leader")
	f(topic("rejects", func(s *kafka.TopicState) { s.Configs, s.ConfigErr = nil, errors.New("denied") }),
		"warn kafka topic rejects replicas: 3 replicas, 3 in sync, min.insync.replicas=", "skip kafka topic rejects settings: not known: denied", "what to do about kafka topic rejects settings?")
	gone := func(_ *Kafka, in *kafka.Inspection) { delete(in.Topics, "rejects") }
	f(gone, "fail kafka topic rejects: does not exist")
	f(func(k *Kafka, in *kafka.Inspection) { k.MayCreate = true; gone(k, in) }, "warn kafka topic rejects: does not exist")
	f(func(k *Kafka, in *kafka.Inspection) {
		k.Embedded = true
		for name, s := range in.Topics {
			s.Replicas, s.InSync = 1, 1
			in.Topics[name] = s
		}
	})
	f(func(_ *Kafka, in *kafka.Inspection) { in.Broker, in.BrokerErr = nil, errors.New("denied") }, "skip kafka broker settings: not known: denied", "what to do about kafka broker settings?")
}

func TestStore(t *testing.T) {
	const settings = "non_replicated_deduplication_window = 1000000"
	f := func(change func(*Store, *clickhouse.Inspection), want ...string) {
		t.Helper()
		s := &Store{Fsync: true}
		const full = "MergeTree PARTITION BY m ORDER BY x SETTINGS index_granularity = 8192, " + settings + ", fsync_after_insert = 1"
		in := &clickhouse.Inspection{
			Version: "26.7.2.1", Schema: 4, NewestKnown: 4, Tables: map[string]string{"charges": full, "sessions": full, "blocks": full},
			Wanted: []string{settings, "fsync_after_insert = 1"}, Ahead: 3 * time.Millisecond, RoundTrip: 2 * time.Millisecond, FreeBytes: 50 << 30, TotalBytes: 100 << 30,
		}
		change(s, in)
		var r Report
		r.Store(s, in)
		if d := cmp.Diff(want, worst(&r)); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	f(func(*Store, *clickhouse.Inspection) {})
	f(func(_ *Store, in *clickhouse.Inspection) { in.Version = "23.8.1" }, "fail clickhouse version: 23.8.1")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Version = "24.8.1" })
	f(func(_ *Store, in *clickhouse.Inspection) { in.Version = "head" }, `skip clickhouse version: "head" is no version that can be compared`, "what to do about clickhouse version?")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Schema = 5 }, "fail clickhouse schema: 5, this program knows 4")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Schema = 3 }, "warn clickhouse schema: 3, this program knows 4")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Schema, in.Tables = -1, nil }, "warn clickhouse schema: there are no tables")
	f(func(_ *Store, in *clickhouse.Inspection) { delete(in.Tables, "blocks") }, "fail clickhouse table blocks: does not exist")
	f(func(_ *Store, in *clickhouse.Inspection) {
		in.Tables["blocks"] = strings.Replace(in.Tables["blocks"], "1000000", "100", 1)
	},
		"fail clickhouse table blocks settings: tokens of inserts live too short: missing "+settings)
	f(func(_ *Store, in *clickhouse.Inspection) {
		in.Tables["charges"] = strings.Replace(in.Tables["charges"], "insert = 1", "insert = 0", 1)
	},
		"warn clickhouse table charges settings: missing fsync_after_insert = 1")
	f(func(s *Store, _ *clickhouse.Inspection) { s.Fsync = false }, "warn clickhouse fsync: clickhouse.fsync is false")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Denied = []string{"INSERT", "ALTER"} }, "fail clickhouse rights: missing: INSERT, ALTER")
	f(func(_ *Store, in *clickhouse.Inspection) { in.GrantsErr = errors.New("old") }, "skip clickhouse rights: not known: old", "what to do about clickhouse rights?")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Ahead = -5 * time.Second }, "warn clickhouse clock: -5s off this machine's, give or take 1ms")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Ahead = 2 * time.Minute }, "fail clickhouse clock: 2m0s off this machine's, give or take 1ms")
	f(func(_ *Store, in *clickhouse.Inspection) { in.Ahead, in.RoundTrip = 5*time.Second, 10*time.Second }) // it may be the way
	f(func(_ *Store, in *clickhouse.Inspection) { in.FreeBytes = 5 << 30 }, "warn clickhouse disk: 5 GiB free of 100 GiB")
	f(func(_ *Store, in *clickhouse.Inspection) { in.FreeBytes = 1 << 30 }, "fail clickhouse disk: 1 GiB free of 100 GiB")
}

func TestNewestRecord(t *testing.T) {
	f := func(aheadMs int64, want Verdict) {
		t.Helper()
		var r Report
		r.NewestRecord("readings", 1_750_000_000_000+aheadMs, 1_750_000_000_000)
		if r.Checks[0].Verdict != want {
			t.Errorf("%d ms: %+v", aheadMs, r.Checks)
		}
	}
	f(-1e12, OK)
	f(1_000, OK)
	f(3_000, Warn)
	f(25*3_600_000, Fail)
}

func TestWrite(t *testing.T) {
	var r Report
	r.Add(OK, "a", "fine", "nothing")
	r.Add(Fail, "b", "broken", "mend it")
	r.Add(Skip, "c", "unknown", "")
	var text, object bytes.Buffer
	if err := errors.Join(r.Write(&text), r.WriteJSON(&object)); err != nil {
		t.Fatal(err)
	}
	if want := "ok    a: fine\nfail  b: broken; what to do: mend it\nskip  c: unknown\n1 ok, 0 warnings, 1 faults, 1 not looked at\n"; text.String() != want {
		t.Errorf("%s", &text)
	}
	var got struct {
		OK     bool
		Checks []Check
	}
	if err := json.Unmarshal(object.Bytes(), &got); err != nil || got.OK || cmp.Diff(r.Checks, got.Checks) != "" || !r.Failed() {
		t.Errorf("%v %s", err, &object)
	}
}
