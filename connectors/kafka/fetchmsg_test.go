package kafka

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/wattline/wattline/engine"
)

func testPartition(n int32) engine.Partition { return engine.Partition{Topic: "t", Number: n} }

// fetchAnswer encodes a FetchResponse v11 with one partition of topic t.
func fetchAnswer(number int32, code int16, records []byte) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, 1)                   // correlation id
	b = be.AppendUint32(b, 0)                      // throttle
	b = be.AppendUint16(b, 0)                      // error
	b = be.AppendUint32(b, 0)                      // session
	b = be.AppendUint32(b, 1)                      // topics
	b = append(be.AppendUint16(b, 1), 't')         // name
	b = be.AppendUint32(b, 1)                      // partitions
	b = be.AppendUint32(b, uint32(number))         // index
	b = be.AppendUint16(b, uint16(code))           // error
	b = be.AppendUint64(b, 90)                     // high watermark
	b = be.AppendUint64(b, 80)                     // last stable
	b = be.AppendUint64(b, 10)                     // log start
	b = be.AppendUint32(b, 2)                      // aborted
	b = be.AppendUint64(be.AppendUint64(b, 7), 60) // producer, first offset
	b = be.AppendUint64(be.AppendUint64(b, 8), 50) // producer, first offset
	b = be.AppendUint32(b, ^uint32(0))             // preferred replica
	b = be.AppendUint32(b, uint32(len(records)))   // records
	b = append(b, records...)                      //
	return append(be.AppendUint32(nil, uint32(len(b))), b...)
}

func TestReadAnswer(t *testing.T) {
	m := &fetchMsg{pool: &bufferPool{}, most: 1 << 10, asks: []ask{{partition: testPartition(0)}, {partition: testPartition(1)}}}
	m.fill()
	if err := m.readAnswer(bytes.NewReader(fetchAnswer(1, 0, []byte("records")))); err != nil {
		t.Fatal(err)
	}
	a := m.answers[1]
	if m.answers[0].known || !a.known || a.highWater != 90 || a.stable != 80 || a.logStart != 10 || string(a.records) != "records" {
		t.Errorf("%+v", m.answers)
	}
	if len(a.aborted) != 2 || a.aborted[0] != (aborted{8, 50}) || a.aborted[1] != (aborted{7, 60}) {
		t.Errorf("aborted transactions are not sorted by offset: %v", a.aborted)
	}
}

func TestReadAnswerDamage(t *testing.T) {
	f := func(name string, data []byte, want string) {
		t.Helper()
		m := &fetchMsg{pool: &bufferPool{}, most: 1 << 10, asks: []ask{{partition: testPartition(0)}}}
		m.fill()
		if err := m.readAnswer(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	good := fetchAnswer(0, 0, []byte("records"))
	f("not asked for", fetchAnswer(5, 0, nil), "not asked for")
	f("cut", good[:len(good)-3], "EOF")
	f("size too large", []byte{0x7f, 0, 0, 0}, "plausible")
	f("size negative", []byte{0xff, 0, 0, 0}, "plausible")
	longer := bytes.Clone(good)
	binary.BigEndian.PutUint32(longer, uint32(len(good)+6))
	f("bytes too many", append(longer, make([]byte, 10)...), "too many")
	huge := bytes.Clone(good)
	binary.BigEndian.PutUint32(huge[18:], 1<<30)
	f("huge array", huge, "array of")
	top := bytes.Clone(good)
	top[13] = 70
	f("session error", top, "Fetch Session")
}
