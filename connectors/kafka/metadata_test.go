package kafka

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	kafkago "github.com/segmentio/kafka-go"
)

// exampleMetadata is an answer as another library writes it.
func exampleMetadata() *kmsg.MetadataResponse {
	res := kmsg.NewPtrMetadataResponse()
	res.Version = metadataIDs
	res.ControllerID = 2
	rack, cluster, name, gone := "rack-1", "cluster", readings, "gone"
	for id := range int32(3) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = id, "host", 9092+id, &rack
		res.Brokers = append(res.Brokers, b)
	}
	res.ClusterID = &cluster
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID = &name, [16]byte{1, 2, 3}
	for n := range int32(2) {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR = 1-n, 2*n-0, 7, []int32{0, 1, 2}, []int32{1}
		t.Partitions = append(t.Partitions, p)
	}
	t.Partitions[0].Leader = -1 // partition 1 has none
	missing := kmsg.NewMetadataResponseTopic()
	missing.Topic, missing.ErrorCode = &gone, int16(kafkago.UnknownTopicOrPartition)
	res.Topics = append(res.Topics, t, missing)
	return res
}

func metadataAnswer() []byte {
	return append([]byte{0}, exampleMetadata().AppendTo(nil)...) // tagged fields of the header first
}

func TestReadMetadata(t *testing.T) {
	data := metadataAnswer()
	md := &clusterMeta{brokers: map[int32]string{}, topics: map[string]topicMeta{}}
	w := &wireReader{r: bytes.NewReader(data), left: len(data)}
	md.read(w)
	if w.err != nil || w.left != 0 {
		t.Fatal(w.err, w.left)
	}
	want := &clusterMeta{
		brokers: map[int32]string{0: "host:9092", 1: "host:9093", 2: "host:9094"}, controller: 2,
		topics: map[string]topicMeta{
			readings: {id: [16]byte{1, 2, 3}, leaders: []string{"host:9094", ""}},
			"gone":   {code: kafkago.UnknownTopicOrPartition, leaders: []string{}},
		},
	}
	if d := cmp.Diff(want, md, cmp.AllowUnexported(clusterMeta{}, topicMeta{})); d != "" {
		t.Error(d)
	}
	for n := range data {
		md := &clusterMeta{brokers: map[int32]string{}, topics: map[string]topicMeta{}}
		w := &wireReader{r: bytes.NewReader(data[:n]), left: n}
		if md.read(w); w.err == nil {
			t.Errorf("an answer cut at %d of %d bytes was read", n, len(data))
		}
	}
}

func TestMetadataRequest(t *testing.T) {
	got := appendMetadataRequest(nil, "me", []string{"r"})
	if want := "00000024" + "0003" + "000c" + "00000001" + "00026d65" + "00" + "02" + "00000000000000000000000000000000" + "0272" + "00" + "000000"; hex.EncodeToString(got) != want {
		t.Errorf("\n%x\n%s", got, want)
	}
	var req kmsg.MetadataRequest
	req.Version = metadataIDs
	if err := req.ReadFrom(got[4+2+2+4+4+1:]); err != nil {
		t.Fatal(err)
	}
	if len(req.Topics) != 1 || *req.Topics[0].Topic != "r" || req.AllowAutoTopicCreation {
		t.Errorf("%+v", req)
	}
}
