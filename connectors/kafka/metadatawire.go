package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Metadata version 12 (Apache Kafka 3.1) is the first that we can use whose answer names each topic's id: only that
// tells a topic made anew from the one before. Kafka-go writes version 8 at most, which is used with older brokers and
// other makes; there a topic made anew shows only by its offsets.
const metadataIDs = 12

// hasTopicIDs asks once whether the brokers speak Metadata with topic ids.
func (c *Client) hasTopicIDs(ctx context.Context) (bool, error) {
	c.mu.Lock()
	known := c.metadataMax
	c.mu.Unlock()
	if known != 0 {
		return known >= metadataIDs, nil
	}
	res, err := c.do(ctx, anyBroker, &apiversions.Request{}, 0)
	if err != nil {
		return false, err
	}
	r := res.(*apiversions.Response)
	if r.ErrorCode != 0 {
		return false, fmt.Errorf("ask for the versions that the broker speaks: %w", codeError(kafkago.Error(r.ErrorCode)))
	}
	known = 1
	for _, k := range r.ApiKeys {
		if protocol.ApiKey(k.ApiKey) == protocol.Metadata {
			known = max(known, k.MaxVersion)
		}
	}
	c.mu.Lock()
	c.metadataMax = known
	c.mu.Unlock()
	return known >= metadataIDs, nil
}

// metadataWithIDs asks for topics by Metadata version 12.
func (c *Client) metadataWithIDs(ctx context.Context, topics []string) (*clusterMeta, error) {
	md := &clusterMeta{brokers: map[int32]string{}, topics: map[string]topicMeta{}}
	_, err := c.send(ctx, anyBroker, &call{
		msg:     &metadata.Request{},
		request: appendMetadataRequest(nil, c.cfg.ClientID, topics),
		answer:  md.read,
	}, 0)
	if err != nil {
		return nil, err
	}
	return md, nil
}

// appendMetadataRequest appends a whole request, its length included.
func appendMetadataRequest(dst []byte, clientID string, topics []string) []byte {
	be, start := binary.BigEndian, len(dst)
	dst = be.AppendUint32(dst, 0) // length, below
	dst = be.AppendUint16(dst, uint16(protocol.Metadata))
	dst = be.AppendUint16(dst, metadataIDs)
	dst = be.AppendUint32(dst, 1) // correlation id
	dst = append(be.AppendUint16(dst, uint16(len(clientID))), clientID...)
	dst = append(dst, 0) // tagged fields of the header
	dst = binary.AppendUvarint(dst, uint64(len(topics)+1))
	for _, t := range topics {
		dst = append(dst, make([]byte, 16)...) // topic id: asked for by name
		dst = append(binary.AppendUvarint(dst, uint64(len(t)+1)), t...)
		dst = append(dst, 0) // tagged fields
	}
	dst = append(dst, 0, 0, 0) // create topics, tell what we may do, tagged fields
	be.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// read reads the answer to appendMetadataRequest from behind the correlation id.
func (md *clusterMeta) read(w *wireReader) {
	w.tags()
	w.int32() // throttle time
	for range w.compactCount(11) {
		id := w.int32()
		host := w.compactString()
		port := w.int32()
		w.compactString() // rack
		w.tags()
		md.brokers[id] = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	w.compactString() // cluster id
	md.controller = w.int32()
	for range w.compactCount(26) {
		tm := topicMeta{code: kafkago.Error(w.int16())}
		name := w.compactString()
		w.full(tm.id[:])
		w.skip(1) // internal
		n := w.compactCount(18)
		tm.leaders = make([]string, n)
		for range n {
			w.int16() // error: no leader, which the leader says too
			number, leader := w.int32(), w.int32()
			w.int32() // leader epoch
			for range 3 {
				w.skip(4 * w.compactCount(4)) // replicas, those in sync, those offline
			}
			w.tags()
			if w.err == nil && (number < 0 || int(number) >= n) {
				w.fail(fmt.Errorf("metadata of topic %s names partition %d of %d", name, number, n))
			}
			if w.err == nil {
				tm.leaders[number] = md.brokers[leader]
			}
		}
		w.int32() // what we may do
		w.tags()
		if w.err != nil {
			return
		}
		md.topics[name] = tm
	}
	w.tags()
}

// uvarint reads an unsigned LEB128 number of at most 32 bits.
func (w *wireReader) uvarint() int {
	var v uint64
	for shift := uint(0); shift < 35; shift += 7 {
		if w.full(w.buf[:1]); w.err != nil {
			return 0
		}
		v |= uint64(w.buf[0]&0x7f) << shift
		if w.buf[0] < 0x80 {
			return int(v)
		}
	}
	w.fail(fmt.Errorf("number is too long"))
	return 0
}

// compactCount reads the length of a compact array whose elements have each bytes or more; null counts as none.
func (w *wireReader) compactCount(each int) int {
	n := w.uvarint() - 1
	if n > w.left/each {
		w.fail(fmt.Errorf("array of %d elements, %d bytes are left", n, w.left))
	}
	if w.err != nil {
		return 0
	}
	return max(n, 0)
}

// compactString reads a compact string; null reads as "".
func (w *wireReader) compactString() string {
	n := w.uvarint() - 1
	if n <= 0 || w.err != nil {
		return ""
	}
	if n > w.left {
		w.fail(fmt.Errorf("string of %d bytes, %d are left", n, w.left))
		return ""
	}
	w.str = append(w.str[:0], make([]byte, n)...)
	w.full(w.str)
	return string(w.str)
}

// skip passes over n bytes.
func (w *wireReader) skip(n int) {
	for n > 0 && w.err == nil {
		k := min(n, len(w.buf))
		w.full(w.buf[:k])
		n -= k
	}
}

// tags passes over tagged fields.
func (w *wireReader) tags() {
	for range w.compactTags() {
		w.uvarint() // tag
		w.skip(w.uvarint())
		if w.err != nil {
			return
		}
	}
}

// compactTags reads the number of tagged fields, each of two bytes or more.
func (w *wireReader) compactTags() int {
	n := w.uvarint()
	if n > w.left/2 {
		w.fail(fmt.Errorf("%d tagged fields, %d bytes are left", n, w.left))
		return 0
	}
	return n
}
