package kafka

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"

	"github.com/wattline/wattline/engine"
)

func exampleClaim() claim {
	return claim{
		topics: []string{"q", "r"}, address: "10.0.0.1:8080", generation: 300,
		owned: []engine.Partition{{Topic: "q", Number: 2}, {Topic: "r", Number: 0}, {Topic: "r", Number: 500}},
	}
}

func examplePeers() []Peer {
	return []Peer{{InstanceID: "a", Address: "h:1", Partitions: []engine.Partition{{Topic: "r", Number: 1}}}, {InstanceID: "b"}}
}

// The bytes of docs/formats/kafka-group.md.
const (
	goldenSubscription = "000100000002000171000172" + "0000001c" + "01" + "ac02" + "0d31302e302e302e313a38303830" + "02" + "01710102" + "01720200f403" + "00000000"
	goldenAssignment   = "0001000000010001720000000200000000000001f4" + "00000011" + "01" + "02" + "0161" + "03683a31" + "01" + "01720101" + "0162" + "00" + "00"
)

func TestGroupGolden(t *testing.T) {
	c := exampleClaim()
	got := appendSubscription(nil, &c)
	if hex.EncodeToString(got) != goldenSubscription {
		t.Errorf("subscription:\n%x\n%s", got, goldenSubscription)
	}
	var back claim
	if err := decodeSubscription(got, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, back, cmp.AllowUnexported(claim{})); d != "" {
		t.Error(d)
	}
	own := []engine.Partition{{Topic: "r", Number: 0}, {Topic: "r", Number: 500}}
	got = appendAssignment(nil, own, examplePeers())
	if hex.EncodeToString(got) != goldenAssignment {
		t.Errorf("assignment:\n%x\n%s", got, goldenAssignment)
	}
	gotOwn, gotPeers, err := decodeAssignment(got)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(own, gotOwn) + cmp.Diff(examplePeers(), gotPeers); d != "" {
		t.Error(d)
	}
}

// TestGroupReadByKafka: the outer form is the one that Kafka's tools read.
func TestGroupReadByKafka(t *testing.T) {
	c := exampleClaim()
	var s consumer.Subscription
	if err := protocol.Unmarshal(appendSubscription(nil, &c), 1, &s); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c.topics, s.Topics); d != "" || s.Version != 1 {
		t.Error(d, s.Version)
	}
	var a consumer.Assignment
	if err := protocol.Unmarshal(appendAssignment(nil, c.owned, nil), 1, &a); err != nil {
		t.Fatal(err)
	}
	want := []consumer.TopicPartition{{Topic: "q", Partitions: []int32{2}}, {Topic: "r", Partitions: []int32{0, 500}}}
	if d := cmp.Diff(want, a.AssignedPartitions); d != "" {
		t.Error(d)
	}
}

func TestGroupForeignData(t *testing.T) {
	var c claim
	data, err := protocol.Marshal(1, consumer.Subscription{Version: 1, Topics: []string{"r"}, UserData: []byte{9, 9, 9}})
	if err != nil {
		t.Fatal(err)
	}
	if err := decodeSubscription(data, &c); err != nil || len(c.topics) != 1 || c.owned != nil {
		t.Errorf("user data of another version: %+v, %v", c, err)
	}
	data, err = protocol.Marshal(0, consumer.Subscription{Topics: []string{"r"}})
	if err != nil {
		t.Fatal(err)
	}
	c = claim{}
	if err := decodeSubscription(data, &c); err != nil || len(c.topics) != 1 {
		t.Errorf("version 0 without user data: %+v, %v", c, err)
	}
	if own, peers, err := decodeAssignment(nil); own != nil || peers != nil || err != nil {
		t.Error(own, peers, err)
	}
}

// FuzzGroupData: any bytes give an error or data that come back when encoded and decoded again.
func FuzzGroupData(f *testing.F) {
	c := exampleClaim()
	f.Add(appendSubscription(nil, &c))
	f.Add(appendAssignment(nil, c.owned, examplePeers()))
	f.Add([]byte{0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var c claim
		if err := decodeSubscription(data, &c); err == nil {
			var back claim
			if err := decodeSubscription(appendSubscription(nil, &c), &back); err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			if len(back.owned) != len(c.owned) || back.address != c.address || back.generation != c.generation || !cmp.Equal(back.topics, c.topics) {
				t.Fatalf("%+v came back as %+v", c, back)
			}
		}
		own, peers, err := decodeAssignment(data)
		if err != nil {
			return
		}
		own2, peers2, err := decodeAssignment(appendAssignment(nil, own, peers))
		if err != nil || len(peers2) != len(peers) || !cmp.Equal(own, own2) {
			t.Fatalf("%v %v came back as %v %v: %v", own, peers, own2, peers2, err)
		}
	})
}
