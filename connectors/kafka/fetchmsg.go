package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/wattline/wattline/engine"
)

const (
	// fetchVersion is the one version of Fetch that is spoken: the last that kafka-go can write. Apache Kafka 2.3 to 4.x.
	fetchVersion = 11
	// maxPartitionBytes bounds what one partition of an answer may have, a single oversized record batch included.
	maxPartitionBytes = 128 << 20
	// answerSlack is what an answer may have beside records.
	answerSlack = 16 << 20
	// A sessionless, full fetch (KIP-227). Sessions save bytes of request, and need every partition in every answer.
	noSessionEpoch = -1
	// readCommitted hides what transactions have not yet decided.
	readCommitted = 1
)

// errVersion: the broker is too old or too new for us.
var errVersion = errors.New("the broker does not speak the version that is needed; Apache Kafka 2.3 to 4.x does")

// ask is one partition of a fetch request.
type ask struct {
	partition engine.Partition
	from      int64
	maxBytes  int32
}

// answer is what a broker said about one partition.
type answer struct {
	code      kafkago.Error
	highWater int64 // offset after the last replicated record
	stable    int64 // offset before which all transactions are decided
	logStart  int64
	aborted   []aborted // by firstOffset; a fresh slice
	records   []byte    // from the pool; the receiver owns it. nil when none came
	known     bool      // the answer had the partition
}

// fetchMsg is one Fetch request and its answer. It reads the answer from the socket itself, each partition's records
// straight into a buffer of their own: no copy, and a slow shard keeps nobody else's bytes.
//
// After an error of the round trip it must be thrown away: kafka-go may still be reading into it.
type fetchMsg struct {
	asks    []ask
	answers []answer // by index of asks
	maxWait int32    // ms
	minimum int32    // bytes
	most    int32    // bytes

	clientID string
	pool     *bufferPool
	version  int16
	req      fetch.Request
	wire     wireReader
}

// ApiKey implements protocol.Message.
func (m *fetchMsg) ApiKey() protocol.ApiKey { return protocol.Fetch }

// Required implements protocol.RawExchanger.
func (m *fetchMsg) Required(versions map[protocol.ApiKey]int16) bool {
	m.version = versions[protocol.Fetch]
	return true
}

var _ protocol.RawExchanger = (*fetchMsg)(nil)

// RawExchange implements protocol.RawExchanger.
func (m *fetchMsg) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if m.version != fetchVersion {
		return nil, fmt.Errorf("fetch in version %d: %w", fetchVersion, errVersion)
	}
	m.fill()
	if err := protocol.WriteRequest(rw, fetchVersion, 1, m.clientID, &m.req); err != nil {
		return nil, fmt.Errorf("write fetch request: %w", err)
	}
	if err := m.readAnswer(rw); err != nil {
		m.drop()
		return nil, err
	}
	return m, nil
}

// fill makes the request out of asks, which are sorted by topic here.
func (m *fetchMsg) fill() {
	m.req = fetch.Request{
		ReplicaID: -1, MaxWaitTime: m.maxWait, MinBytes: m.minimum, MaxBytes: m.most, IsolationLevel: readCommitted,
		SessionEpoch: noSessionEpoch, Topics: m.req.Topics[:0],
	}
	for _, a := range m.asks {
		i := slices.IndexFunc(m.req.Topics, func(t fetch.RequestTopic) bool { return t.Topic == a.partition.Topic })
		if i < 0 {
			i = len(m.req.Topics)
			m.req.Topics = append(m.req.Topics, fetch.RequestTopic{Topic: a.partition.Topic})
		}
		t := &m.req.Topics[i]
		t.Partitions = append(t.Partitions, fetch.RequestPartition{
			Partition: a.partition.Number, CurrentLeaderEpoch: -1, FetchOffset: a.from, LogStartOffset: -1, PartitionMaxBytes: a.maxBytes,
		})
	}
	m.answers = append(m.answers[:0], make([]answer, len(m.asks))...)
}

// drop gives back the buffers of answers that nobody will take.
func (m *fetchMsg) drop() {
	for i := range m.answers {
		m.pool.put(m.answers[i].records)
		m.answers[i] = answer{}
	}
}

// readAnswer reads a whole FetchResponse v11.
func (m *fetchMsg) readAnswer(r io.Reader) error {
	w := &m.wire
	*w = wireReader{r: r, left: 4}
	size := w.int32()
	if w.err != nil {
		return fmt.Errorf("read fetch answer: %w", w.err)
	}
	if limit := int64(m.most) + maxPartitionBytes + answerSlack; int64(size) > limit || size < 4 {
		return fmt.Errorf("fetch answer of %d bytes, at most %d are plausible", size, limit)
	}
	w.left = int(size)
	w.int32() // correlation id: one request is in flight on a connection
	w.int32() // throttle time
	if code := kafkago.Error(w.int16()); code != 0 && w.err == nil {
		return fmt.Errorf("fetch: %w", codeError(code))
	}
	w.int32() // session id
	at := 0
	for range w.count(6) { // topics
		topic := w.string()
		for range w.count(42) { // partitions
			var a answer
			number := m.readPartition(w, &a)
			if w.err != nil {
				m.pool.put(a.records)
				break
			}
			at = m.find(at, topic, number)
			if at < 0 || m.answers[at].known {
				m.pool.put(a.records)
				return fmt.Errorf("fetch answer has %s/%d, which was not asked for, or twice", topic, number)
			}
			a.known = true
			m.answers[at] = a
		}
	}
	if w.err != nil {
		return fmt.Errorf("read fetch answer: %w", w.err)
	}
	if w.left != 0 {
		return fmt.Errorf("fetch answer has %d bytes too many", w.left)
	}
	return nil
}

// readPartition reads one partition's part and returns its number.
func (m *fetchMsg) readPartition(w *wireReader, a *answer) int32 {
	number := w.int32()
	a.code = kafkago.Error(w.int16())
	a.highWater = w.int64()
	a.stable = w.int64()
	a.logStart = w.int64()
	if n := w.count(16); n > 0 {
		a.aborted = make([]aborted, n)
		for i := range a.aborted {
			a.aborted[i] = aborted{producer: w.int64(), firstOffset: w.int64()}
		}
		slices.SortFunc(a.aborted, func(x, y aborted) int { return int(max(-1, min(1, x.firstOffset-y.firstOffset))) })
	}
	w.int32() // preferred read replica: none, as we name no rack
	if n := w.int32(); n > 0 && w.err == nil {
		if int(n) > w.left || n > maxPartitionBytes {
			w.fail(fmt.Errorf("partition %d has %d bytes of records, %d are left", number, n, w.left))
			return number
		}
		a.records = m.pool.get(int(n))[:n]
		w.full(a.records)
	}
	return number
}

// find returns the index of the ask for a partition, -1 when there is none. Brokers mostly answer in order: the search
// begins after the last hit.
func (m *fetchMsg) find(after int, topic string, number int32) int {
	for k := range m.asks {
		i := (after + k) % len(m.asks)
		if p := &m.asks[i].partition; p.Number == number && p.Topic == topic {
			return i
		}
	}
	return -1
}

// fetch sends m to the broker at address and waits for the answer.
func (c *Client) fetch(ctx context.Context, address string, m *fetchMsg) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout+c.cfg.Fetch.MaxWait)
	defer cancel()
	if _, err := c.transport.RoundTrip(ctx, c.netAddr(address), m); err != nil {
		return c.requestError(ctx, protocol.Fetch, address, err)
	}
	return nil
}

// newFetchMsg returns an empty request. wait: hold it at the broker until something comes.
func (c *Client) newFetchMsg(wait bool) *fetchMsg {
	m := &fetchMsg{clientID: c.cfg.ClientID, pool: c.pool, most: int32(c.cfg.Fetch.MaxBytes), minimum: 1}
	if wait {
		m.maxWait, m.minimum = int32(c.cfg.Fetch.MaxWait.Milliseconds()), int32(c.cfg.Fetch.MinBytes)
	}
	return m
}

// wireReader reads Kafka's fixed types from r, at most left bytes. After an error everything reads as zero.
type wireReader struct {
	r    io.Reader
	left int
	err  error
	buf  [8]byte
	str  []byte
}

func (w *wireReader) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// full reads len(p) bytes into p.
func (w *wireReader) full(p []byte) {
	if w.err != nil {
		return
	}
	if len(p) > w.left {
		w.err = io.ErrUnexpectedEOF
		return
	}
	n, err := io.ReadFull(w.r, p)
	w.left -= n
	w.err = err
}

func (w *wireReader) int16() int16 {
	if w.full(w.buf[:2]); w.err != nil {
		return 0
	}
	return int16(binary.BigEndian.Uint16(w.buf[:]))
}

func (w *wireReader) int32() int32 {
	if w.full(w.buf[:4]); w.err != nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(w.buf[:]))
}

func (w *wireReader) int64() int64 {
	if w.full(w.buf[:8]); w.err != nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(w.buf[:]))
}

// count reads the length of an array whose elements have each bytes or more; null counts as none.
func (w *wireReader) count(each int) int {
	n := int(w.int32())
	if n > w.left/each {
		w.fail(fmt.Errorf("array of %d elements, %d bytes are left", n, w.left))
		return 0
	}
	return max(n, 0)
}

func (w *wireReader) string() string {
	n := int(w.int16())
	if n <= 0 || w.err != nil {
		return ""
	}
	w.str = append(w.str[:0], make([]byte, n)...)
	w.full(w.str)
	return string(w.str)
}
