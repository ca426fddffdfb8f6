package wire

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/wattline/wattline/rating"
)

//go:embed reading.proto
var schema string

// peer is the reference: reading.proto, compiled, with Google's decoder.
type peer struct {
	reading, batch protoreflect.MessageDescriptor
}

func newPeer(t testing.TB) peer {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"reading.proto": schema}),
	}}
	files, err := c.Compile(context.Background(), "reading.proto")
	if err != nil {
		t.Fatal(err)
	}
	m := files[0].Messages()
	return peer{m.ByName("Reading"), m.ByName("ReadingBatch")}
}

// decode is Decode by Google's decoder. inRange says whether the message is within our ranges.
func (p peer) decode(value []byte) (readings []rating.Reading, inRange bool, err error) {
	if !isBatch(value) {
		m := dynamicpb.NewMessage(p.reading)
		if err := proto.Unmarshal(value, m); err != nil {
			return nil, false, err
		}
		r, ok := p.fields(m)
		return []rating.Reading{r}, ok && p.uint(m, "version") == Version, nil
	}
	m := dynamicpb.NewMessage(p.batch)
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, false, err
	}
	inRange = p.uint(m, "version") == Version && len(p.text(m, "charge_point")) <= MaxChargePoint &&
		len(p.text(m, "transaction")) <= MaxTransaction && p.uint(m, "connector") < 1<<31
	list := m.Get(p.batch.Fields().ByName("readings")).List()
	inRange = inRange && list.Len() <= MaxReadings
	for i := range list.Len() {
		inner := list.Get(i).Message()
		r, ok := p.fields(inner)
		inRange = inRange && ok && (!inner.Has(p.reading.Fields().ByName("version")) || p.uint(inner, "version") == Version)
		if len(r.ChargePoint) == 0 {
			r.ChargePoint = p.text(m, "charge_point")
		}
		if r.Connector == 0 {
			r.Connector = int32(p.uint(m, "connector"))
		}
		if len(r.Transaction) == 0 {
			r.Transaction = p.text(m, "transaction")
		}
		readings = append(readings, r)
	}
	return readings, inRange, nil
}

func (p peer) value(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

func (p peer) uint(m protoreflect.Message, name protoreflect.Name) uint64 {
	return p.value(m, name).Uint()
}

func (p peer) text(m protoreflect.Message, name protoreflect.Name) []byte {
	return []byte(p.value(m, name).String())
}

// optional is the value of a field with presence.
func (p peer) optional(m protoreflect.Message, name protoreflect.Name) int64 {
	if !m.Has(m.Descriptor().Fields().ByName(name)) {
		return rating.Unknown
	}
	return p.value(m, name).Int()
}

func (p peer) fields(m protoreflect.Message) (r rating.Reading, inRange bool) {
	r = rating.Reading{
		AtMs: p.optional(m, "at_ms"), RegisterMwh: p.optional(m, "register_mwh"), PowerMicroW: p.optional(m, "power_uw"),
		CurrentNanoA: p.optional(m, "current_na"), Seq: p.optional(m, "seq"), ResolutionMwh: p.value(m, "resolution_mwh").Int(),
		ChargePoint: p.text(m, "charge_point"), Transaction: p.text(m, "transaction"), MessageID: p.text(m, "message_id"),
		Token: p.text(m, "token"),
	}
	connector := p.uint(m, "connector")
	state, kind, reason := p.value(m, "state").Enum(), p.value(m, "kind").Enum(), p.value(m, "context").Enum()
	r.Connector, r.State, r.Kind, r.Context = int32(connector), rating.ChargeState(state), rating.Kind(kind), rating.Context(reason)
	inRange = connector < 1<<31 && state >= 0 && state <= 6 && kind >= 0 && kind <= 4 && reason >= 0 && reason <= 4 &&
		(r.AtMs == rating.Unknown || r.AtMs >= 0 && r.AtMs <= MaxAtMs) && (r.Seq == rating.Unknown || r.Seq >= 0) &&
		r.ResolutionMwh >= 0 && len(r.ChargePoint) <= MaxChargePoint && len(r.Transaction) <= MaxTransaction &&
		len(r.MessageID) <= MaxMessageID && len(r.Token) <= MaxToken
	return r, inRange
}

// compare holds Decode against the reference (W3).
func (p peer) compare(t *testing.T, value []byte) {
	t.Helper()
	before := bytes.Clone(value)
	dst := []rating.Reading{dirty(), dirty(), dirty()}
	got, err := Decode(nil, value, dst[:0])
	if !bytes.Equal(before, value) {
		t.Fatalf("%x: Decode changed the message", before)
	}
	want, inRange, peerErr := p.decode(value)
	var e *Error
	switch {
	case err == nil && peerErr != nil:
		t.Fatalf("%x: accepted, but Google's decoder says %v", value, peerErr)
	case err == nil && !inRange:
		t.Fatalf("%x: accepted, but out of range: %+v", value, want)
	case err == nil:
		if d := same(got, want); d != "" {
			t.Fatalf("%x: %s", value, d)
		}
	case !errors.As(err, &e):
		t.Fatalf("%x: %T is no *Error", value, err)
	case e.Malformed && peerErr == nil:
		t.Fatalf("%x: %v, but Google's decoder reads it", value, err)
	}
}

// FuzzDecode: any bytes, against Google's decoder.
func FuzzDecode(f *testing.F) {
	p := newPeer(f)
	r, e := full(), empty()
	f.Add(Append(nil, &r))
	f.Add(Append(nil, &e))
	f.Add(AppendBatch(nil, []rating.Reading{r, e, r}))
	f.Add(AppendBatch(nil, []rating.Reading{r, r}))
	f.Add([]byte("\x08\x01\x88\x00\x01"))
	f.Add([]byte("\x08\x01\x1b\x1c"))
	f.Add([]byte("\x08\x01\x22\x02\xc3\xa4"))
	f.Fuzz(func(t *testing.T, value []byte) { p.compare(t, value) })
}

// randomReading is within the ranges of the format.
func randomReading(rnd *rand.Rand) rating.Reading {
	number := func() int64 { return int64(rnd.Uint64() >> rnd.IntN(64)) }
	natural := func() int64 { return int64(rnd.Uint64() >> (1 + rnd.IntN(63))) }
	text := func(limit int) []byte {
		b := make([]byte, rnd.IntN(limit+1))
		for i := range b {
			b[i] = byte(' ' + rnd.IntN(95))
		}
		return b
	}
	r := rating.Reading{
		AtMs: rnd.Int64N(MaxAtMs + 1), RegisterMwh: number(), PowerMicroW: -number(), CurrentNanoA: number(), Seq: natural(),
		ResolutionMwh: natural(), Connector: int32(natural() & 0x7fffffff), Kind: rating.Kind(rnd.IntN(5)),
		State: rating.ChargeState(rnd.IntN(7)), Context: rating.Context(rnd.IntN(5)),
		ChargePoint: text(MaxChargePoint), Transaction: text(MaxTransaction), MessageID: text(MaxMessageID), Token: text(MaxToken),
	}
	for _, v := range []*int64{&r.AtMs, &r.RegisterMwh, &r.PowerMicroW, &r.CurrentNanoA, &r.Seq} {
		if rnd.IntN(4) == 0 {
			*v = rating.Unknown
		}
	}
	return r
}

// TestRoundTrip: what Append writes comes back (W2), also through Google's decoder (W3).
func TestRoundTrip(t *testing.T) {
	p := newPeer(t)
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		readings := make([]rating.Reading, rnd.IntN(5))
		for i := range readings {
			readings[i] = randomReading(rnd)
			if i > 0 && rnd.IntN(2) == 0 { // what readings share
				readings[i].ChargePoint, readings[i].Connector, readings[i].Transaction =
					readings[0].ChargePoint, readings[0].Connector, readings[0].Transaction
			}
		}
		values, want := [][]byte{AppendBatch(nil, readings)}, [][]rating.Reading{readings}
		for i := range readings {
			values, want = append(values, Append(nil, &readings[i])), append(want, readings[i:i+1])
		}
		for i, value := range values {
			got, err := Decode(nil, value, []rating.Reading{dirty()}[:0])
			if err != nil {
				t.Fatalf("seed %d: %x: %v", seed, value, err)
			}
			if d := same(got, want[i]); d != "" {
				t.Fatalf("seed %d: %x: %s", seed, value, d)
			}
			p.compare(t, value)
			if len(value) > 0 { // near misses
				broken := bytes.Clone(value)
				broken[rnd.IntN(len(broken))] ^= 1 << rnd.IntN(8)
				p.compare(t, broken)
				p.compare(t, value[:rnd.IntN(len(value))])
			}
		}
	}
}
