package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/wattline/wattline/engine"
)

// What members of the group tell each other: docs/formats/kafka-group.md. The outer form is Kafka's consumer
// protocol, so that its tools show topics and partitions; the user data inside is ours.
const (
	protocolType   = "consumer"
	protocolName   = "wattline-sticky" // keeps other consumers out of the group
	protocolOuter  = 1                 // version of Kafka's consumer protocol
	memberVersion  = 1                 // of our user data in a subscription
	peersVersion   = 1                 // of our user data in an assignment
	maxGroupString = 1 << 12
)

var errGroupData = errors.New("group data is damaged")

// Peer is a member of the group as the others see it.
type Peer struct {
	InstanceID string
	Address    string // Config.Group.APIAddress of that engine
	Partitions []engine.Partition
}

// appendSubscription appends what a member says of itself when it joins.
func appendSubscription(dst []byte, c *claim) []byte {
	user := appendMember(nil, c)
	be := binary.BigEndian
	dst = be.AppendUint16(dst, protocolOuter)
	dst = be.AppendUint32(dst, uint32(len(c.topics)))
	for _, t := range c.topics {
		dst = append(be.AppendUint16(dst, uint16(len(t))), t...)
	}
	dst = append(be.AppendUint32(dst, uint32(len(user))), user...)
	return be.AppendUint32(dst, 0) // owned partitions in Kafka's own field (KIP-429): ours carry a generation
}

// decodeSubscription reads topics and, if its version is ours, the user data into c. Strings are copied.
func decodeSubscription(src []byte, c *claim) error {
	r := wireBytes{src}
	if v := r.uint16(); int16(v) < 0 {
		return fmt.Errorf("consumer protocol version %d: %w", int16(v), errGroupData)
	}
	n := r.uint32()
	for range n {
		c.topics = append(c.topics, r.string16())
		if r.src == nil {
			return errGroupData
		}
	}
	user := r.take(int(int32(r.uint32())))
	if r.src == nil {
		return errGroupData
	}
	return decodeMember(user, c)
}

// appendMember appends our user data of a subscription.
func appendMember(dst []byte, c *claim) []byte {
	dst = append(dst, memberVersion)
	dst = binary.AppendUvarint(dst, uint64(uint32(c.generation)))
	dst = appendShort(dst, c.address)
	return appendPartitions(dst, c.owned)
}

// decodeMember reads what appendMember wrote. A member of another version owns nothing as far as we can tell.
func decodeMember(src []byte, c *claim) error {
	if len(src) == 0 || src[0] != memberVersion {
		return nil
	}
	r := wireBytes{src[1:]}
	c.generation = int32(uint32(r.uvarint()))
	c.address = r.short()
	c.owned = r.partitions()
	if r.src == nil {
		c.generation, c.address, c.owned = 0, "", nil
		return errGroupData
	}
	return nil
}

// appendAssignment appends what the leader of the group tells one member: its partitions, and all peers.
func appendAssignment(dst []byte, own []engine.Partition, peers []Peer) []byte {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, protocolOuter)
	groups := byTopic(own)
	dst = be.AppendUint32(dst, uint32(len(groups)))
	for _, g := range groups {
		dst = append(be.AppendUint16(dst, uint16(len(g[0].Topic))), g[0].Topic...)
		dst = be.AppendUint32(dst, uint32(len(g)))
		for _, p := range g {
			dst = be.AppendUint32(dst, uint32(p.Number))
		}
	}
	user := []byte{peersVersion}
	user = binary.AppendUvarint(user, uint64(len(peers)))
	for i := range peers {
		user = appendShort(user, peers[i].InstanceID)
		user = appendShort(user, peers[i].Address)
		user = appendPartitions(user, peers[i].Partitions)
	}
	return append(be.AppendUint32(dst, uint32(len(user))), user...)
}

// decodeAssignment reads what appendAssignment wrote. Peers are nil if they are of another version. No bytes at all
// are an empty assignment.
func decodeAssignment(src []byte) (own []engine.Partition, peers []Peer, err error) {
	if len(src) == 0 {
		return nil, nil, nil
	}
	r := wireBytes{src}
	r.uint16() // version: later ones append
	for range r.uint32() {
		topic := r.string16()
		for range r.uint32() {
			own = append(own, engine.Partition{Topic: topic, Number: int32(r.uint32())})
			if r.src == nil {
				return nil, nil, errGroupData
			}
		}
		if r.src == nil {
			return nil, nil, errGroupData
		}
	}
	user := wireBytes{r.take(int(int32(r.uint32())))}
	if r.src == nil {
		return nil, nil, errGroupData
	}
	slices.SortFunc(own, comparePartitions)
	if len(user.src) == 0 || user.src[0] != peersVersion {
		return own, nil, nil
	}
	user.src = user.src[1:]
	for range user.uvarint() {
		p := Peer{InstanceID: user.short(), Address: user.short(), Partitions: user.partitions()}
		if user.src == nil {
			return nil, nil, errGroupData
		}
		peers = append(peers, p)
	}
	return own, peers, nil
}

// byTopic cuts ps into runs of one topic each, sorted.
func byTopic(ps []engine.Partition) [][]engine.Partition {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, comparePartitions)
	var out [][]engine.Partition
	for len(ps) > 0 {
		n := 1
		for n < len(ps) && ps[n].Topic == ps[0].Topic {
			n++
		}
		out = append(out, ps[:n])
		ps = ps[n:]
	}
	return out
}

func appendShort(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendPartitions appends count of topics, then each name, count and the numbers as differences.
func appendPartitions(dst []byte, ps []engine.Partition) []byte {
	groups := byTopic(ps)
	dst = binary.AppendUvarint(dst, uint64(len(groups)))
	for _, g := range groups {
		dst = appendShort(dst, g[0].Topic)
		dst = binary.AppendUvarint(dst, uint64(len(g)))
		last := int32(0)
		for _, p := range g {
			dst = binary.AppendUvarint(dst, uint64(p.Number-last))
			last = p.Number
		}
	}
	return dst
}

// wireBytes reads from src; after a fault src is nil and everything reads as zero, so a chain is checked once.
type wireBytes struct{ src []byte }

func (r *wireBytes) take(n int) []byte {
	if n < 0 || n > len(r.src) || r.src == nil {
		if n == -1 && r.src != nil { // a null string or byte field
			return nil
		}
		r.src = nil
		return nil
	}
	b := r.src[:n:n]
	r.src = r.src[n:]
	return b
}

func (r *wireBytes) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *wireBytes) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *wireBytes) string16() string { return string(r.take(int(int16(r.uint16())))) }

func (r *wireBytes) uvarint() uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.src = nil
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *wireBytes) short() string {
	n := r.uvarint()
	if n > maxGroupString {
		r.src = nil
		return ""
	}
	return string(r.take(int(n)))
}

func (r *wireBytes) partitions() []engine.Partition {
	var out []engine.Partition
	for range r.uvarint() {
		topic := r.short()
		number := uint64(0)
		for range r.uvarint() {
			step := r.uvarint()
			number += step
			if r.src == nil || step > 1<<31-1 || number > 1<<31-1 {
				r.src = nil
				return nil
			}
			out = append(out, engine.Partition{Topic: topic, Number: int32(number)})
		}
		if r.src == nil {
			return nil
		}
	}
	return out
}
