package checkup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
)

// Kind is what a topic is for.
type Kind int

// The kinds of topics.
const (
	Readings  Kind = iota
	Reference      // the log of tariffs and locations
	State          // snapshots, compacted
	Rejects
)

// Topic is one that an engine needs.
type Topic struct {
	Name       string
	Kind       Kind
	Partitions int32 // of a new one
}

// Kafka is what the configuration says, as far as a cluster has to fit it.
type Kafka struct {
	Topics         []Topic
	MayCreate      bool // topics that are missing are made
	SnapshotAge    time.Duration
	SnapshotChunk  int64 // bytes
	SessionTimeout time.Duration
	Embedded       bool // one broker, for trying things out: replicas are not asked for
}

// What is asked of topics and brokers.
const (
	recordOverhead = 1 << 10        // bytes that a record has beside its value, generously
	sealedReject   = 730 << 10      // bytes, the largest reject with its message sealed
	keptLongEnough = 72 * time.Hour // retention of readings: a weekend with an engine down
	offsetsKept    = 7 * 24 * time.Hour
	metadataBytes  = 4096 // beside a committed offset
)

// Kafka judges what the cluster said.
func (r *Report) Kafka(want *Kafka, in *kafka.Inspection) {
	r.Add(OK, "kafka brokers", fmt.Sprintf("%d: %s", len(in.Brokers), strings.Join(in.Brokers, ", ")), "")
	r.broker(want, in)
	var most int32
	for _, t := range want.Topics {
		if t.Kind == Readings {
			most = max(most, in.Topics[t.Name].Partitions)
		}
	}
	for _, t := range want.Topics {
		r.topic(want, t, in, most)
	}
}

// broker judges the settings of a broker.
func (r *Report) broker(want *Kafka, in *kafka.Inspection) {
	if in.Broker == nil {
		r.Add(Skip, "kafka broker settings", fmt.Sprintf("not known: %v", in.BrokerErr), "give the user DESCRIBE_CONFIGS on the cluster, or look at offsets.retention.minutes, offset.metadata.max.bytes and group.*.session.timeout.ms by hand")
		return
	}
	check := func(key string, judge func(n int64) (Verdict, string, string)) {
		n, err := strconv.ParseInt(in.Broker[key], 10, 64)
		if err != nil {
			r.Add(Skip, "kafka broker "+key, fmt.Sprintf("the broker says %q", in.Broker[key]), "look at it by hand")
			return
		}
		v, found, do := judge(n)
		r.Add(v, "kafka broker "+key, found, do)
	}
	check("offsets.retention.minutes", func(n int64) (Verdict, string, string) {
		d := time.Duration(n) * time.Minute
		const do = "set it to 10080 (7 days) or more: an engine that is down for longer finds no offset, and halts instead of going on"
		switch {
		case d < 24*time.Hour:
			return Fail, short(d), do
		case d < offsetsKept:
			return Warn, short(d), do
		}
		return OK, short(d), ""
	})
	check("offset.metadata.max.bytes", func(n int64) (Verdict, string, string) {
		if n < metadataBytes {
			return Fail, fmt.Sprintf("%d bytes", n), fmt.Sprintf("set it to %d, Kafka's default: plans stand beside the offset", metadataBytes)
		}
		return OK, fmt.Sprintf("%d bytes", n), ""
	})
	check("group.min.session.timeout.ms", func(n int64) (Verdict, string, string) {
		if d := time.Duration(n) * time.Millisecond; d > want.SessionTimeout {
			return Fail, short(d), fmt.Sprintf("kafka.session_timeout is %s: raise it, or lower this", short(want.SessionTimeout))
		}
		return OK, short(time.Duration(n) * time.Millisecond), ""
	})
	check("group.max.session.timeout.ms", func(n int64) (Verdict, string, string) {
		if d := time.Duration(n) * time.Millisecond; d < want.SessionTimeout {
			return Fail, short(d), fmt.Sprintf("kafka.session_timeout is %s: lower it, or raise this", short(want.SessionTimeout))
		}
		return OK, short(time.Duration(n) * time.Millisecond), ""
	})
}

// topic judges one topic. most is the number of partitions of the readings topic that has most.
func (r *Report) topic(want *Kafka, t Topic, in *kafka.Inspection, most int32) {
	name := "kafka topic " + t.Name
	s, there := in.Topics[t.Name]
	switch {
	case !there && want.MayCreate:
		r.Add(Warn, name, "does not exist", fmt.Sprintf("nothing: the engine makes it with %d partitions, or make it as it should be", t.Partitions))
		return
	case !there:
		r.Add(Fail, name, "does not exist", "make it, or set kafka.create_topics")
		return
	case len(s.Leaderless) > 0:
		r.Add(Fail, name, fmt.Sprintf("partitions %v have no leader", s.Leaderless), "look at the brokers")
	}
	r.partitions(name, t, s.Partitions, most)
	if !want.Embedded {
		r.replicas(name, &s)
	}
	if s.Configs == nil {
		r.Add(Skip, name+" settings", fmt.Sprintf("not known: %v", s.ConfigErr), "give the user DESCRIBE_CONFIGS on the topic")
		return
	}
	r.policy(name, t.Kind, s.Configs)
	switch t.Kind {
	case Readings:
		r.retention(name, want, s.Configs)
		r.timestamps(name, s.Configs)
	case Reference:
		r.forEver(name, s.Configs)
	case State:
		r.messageSize(name, s.Configs, want.SnapshotChunk+recordOverhead, "engine.snapshot_chunk and what is around it", Fail)
	case Rejects:
		r.messageSize(name, s.Configs, sealedReject, "the largest reject with its message", Fail)
	}
	if s.Configs["unclean.leader.election.enable"] == "true" {
		r.Add(Warn, name+" unclean.leader.election.enable", "true", "set it to false: acknowledged records can be lost, and offsets go back, which halts the partition")
	}
}

func (r *Report) partitions(name string, t Topic, n, most int32) {
	name += " partitions"
	switch {
	case t.Kind == Reference && n != 1:
		r.Add(Fail, name, strconv.Itoa(int(n)), "make another topic with 1: a book is a prefix of one log")
	case t.Kind == State && n < most:
		r.Add(Fail, name, strconv.Itoa(int(n)), fmt.Sprintf("add some: it needs %d, one for each of the readings topic", most))
	case t.Kind == Readings && n != t.Partitions:
		r.Add(OK, name, fmt.Sprintf("%d (the configuration's %d is for a topic that has to be made)", n, t.Partitions), "")
	default:
		r.Add(OK, name, strconv.Itoa(int(n)), "")
	}
}

func (r *Report) replicas(name string, s *kafka.TopicState) {
	least, _ := strconv.Atoi(s.Configs["min.insync.replicas"]) // 0 where we may not know
	found := fmt.Sprintf("%d replicas, %d in sync, min.insync.replicas=%s", s.Replicas, s.InSync, s.Configs["min.insync.replicas"])
	name += " replicas"
	switch {
	case s.InSync < least:
		r.Add(Fail, name, found, "nothing can be written: look at the brokers that are out of sync")
	case s.Replicas < 3:
		r.Add(Warn, name, found, "have 3: with fewer a broker that is lost takes records with it, or stops the writing")
	case least < 2:
		r.Add(Warn, name, found, "set min.insync.replicas=2: an acknowledged record may be on one broker alone")
	default:
		r.Add(OK, name, found, "")
	}
}

func (r *Report) policy(name string, k Kind, c map[string]string) {
	want := "delete"
	if k == State {
		want = "compact"
	}
	if got := c["cleanup.policy"]; got != want {
		do := map[Kind]string{
			Readings:  "set it to delete: compaction takes readings that were not rated",
			Reference: "set it to delete: compaction takes the versions that sessions were priced by",
			State:     "set it to compact: time must not take the newest snapshot, and old ones must go",
			Rejects:   "set it to delete",
		}
		r.Add(Fail, name+" cleanup.policy", got, do[k])
		return
	}
	r.Add(OK, name+" cleanup.policy", want, "")
}

// retention judges how long readings are kept: a restart reads on from its snapshot, and after an outage from where the
// engine stopped.
func (r *Report) retention(name string, want *Kafka, c map[string]string) {
	key := name + " retention.ms"
	ms, err := strconv.ParseInt(c["retention.ms"], 10, 64)
	d := time.Duration(ms) * time.Millisecond
	least := 2*want.SnapshotAge + time.Hour
	switch {
	case err != nil:
		r.Add(Skip, key, fmt.Sprintf("the broker says %q", c["retention.ms"]), "look at it by hand")
	case ms < 0 || ms > int64(1<<62)/int64(time.Millisecond):
		r.Add(OK, key, "for ever", "")
	case d < least:
		r.Add(Fail, key, short(d), fmt.Sprintf("set it to 604800000 (7 days): a restart reads the log from its last snapshot on, up to engine.snapshot_age (%s) back, and an outage adds to that; below %s readings would be gone before they are rated", short(want.SnapshotAge), short(least)))
	case d < keptLongEnough:
		r.Add(Warn, key, short(d), "set it to 604800000 (7 days): an engine that is down for longer than the retention loses readings, and halts")
	default:
		r.Add(OK, key, short(d), "")
	}
	if bytes := c["retention.bytes"]; bytes != "-1" && bytes != "" {
		r.Add(Warn, name+" retention.bytes", bytes, "set it to -1, or be sure that it is more than comes within retention.ms")
	}
}

func (r *Report) timestamps(name string, c map[string]string) {
	name += " message.timestamp.type"
	if got := c["message.timestamp.type"]; got != "LogAppendTime" {
		r.Add(Warn, name, got, "set it to LogAppendTime, unless records carry simulated time: otherwise a producer with a wrong clock moves the watermark, and closes sessions too early")
		return
	}
	r.Add(OK, name, "LogAppendTime", "")
}

func (r *Report) forEver(name string, c map[string]string) {
	for _, key := range []string{"retention.ms", "retention.bytes"} {
		if got := c[key]; got != "-1" {
			r.Add(Fail, name+" "+key, got, "set it to -1 before records are deleted: who changed which price when must stay, and every book is made from it")
		} else {
			r.Add(OK, name+" "+key, "for ever", "")
		}
	}
}

func (r *Report) messageSize(name string, c map[string]string, least int64, of string, otherwise Verdict) {
	name += " max.message.bytes"
	n, err := strconv.ParseInt(c["max.message.bytes"], 10, 64)
	switch {
	case err != nil:
		r.Add(Skip, name, fmt.Sprintf("the broker says %q", c["max.message.bytes"]), "look at it by hand")
	case n < least:
		r.Add(otherwise, name, fmt.Sprintf("%d bytes", n), fmt.Sprintf("set it to 1048588, Kafka's default, or more: %s have %d bytes", of, least))
	default:
		r.Add(OK, name, fmt.Sprintf("%d bytes", n), "")
	}
}

// NewestRecord judges a topic's newest record where the broker stamps them: its clock against ours.
func (r *Report) NewestRecord(topic string, atMs, nowMs int64) {
	ahead := time.Duration(atMs-nowMs) * time.Millisecond
	name := "kafka clock by " + topic
	switch {
	case ahead > 24*time.Hour:
		r.Add(Fail, name, "the newest record is "+short(ahead)+" ahead of this machine", "set the clocks: readings more than 24 h off are rejected")
	case ahead > 2*time.Second:
		r.Add(Warn, name, "the newest record is "+short(ahead)+" ahead of this machine", "run NTP on the brokers and here")
	default:
		r.Add(OK, name, "the newest record is not ahead of this machine", "")
	}
}

// Stamps says whether a topic's records carry the broker's time.
func Stamps(in *kafka.Inspection, topic string) bool {
	return in.Topics[topic].Configs["message.timestamp.type"] == "LogAppendTime" && !slices.Contains(in.Topics[topic].Leaderless, 0)
}
