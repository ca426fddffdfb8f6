package wire

import (
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/rating"
)

// full is a Reading with every field of the format.
func full() rating.Reading {
	return rating.Reading{
		AtMs: 1_772_000_000_123, RegisterMwh: 3_051_113_000, PowerMicroW: -11_000_000_000, CurrentNanoA: 16_000_000_000,
		Seq: 42, ResolutionMwh: 10_000, Connector: 2, Kind: rating.KindStart, State: rating.StateSuspendedEVSE,
		Context: rating.ContextClock, ChargePoint: []byte("NL*ABC*E1"), Transaction: []byte("tx-1"),
		MessageID: []byte("m-7"), Token: []byte("TAG0001"),
	}
}

// empty is a Reading that says nothing.
func empty() rating.Reading {
	return rating.Reading{
		AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
		Seq: rating.Unknown,
	}
}

// dirty is a Reading with every field set, to decode over (W1).
func dirty() rating.Reading {
	r := full()
	r.Flags, r.AtMs, r.Seq = 0xffff, 1, 1
	return r
}

func same(a, b []rating.Reading) string {
	return cmp.Diff(a, b, cmpopts.EquateEmpty())
}

// TestGolden holds the bytes of version 1: a change here is a new version.
func TestGolden(t *testing.T) {
	short := empty()
	short.AtMs, short.RegisterMwh = 1_772_000_000_000, 0
	second := full()
	second.Seq, second.Transaction = 43, []byte("tx-2")
	f := func(name string, got []byte, wantHex string, want ...rating.Reading) {
		t.Helper()
		if h := hex.EncodeToString(got); h != strings.ReplaceAll(wantHex, " ", "") {
			t.Errorf("%s: bytes\n%s\nwant\n%s", name, h, strings.ReplaceAll(wantHex, " ", ""))
		}
		dst := []rating.Reading{dirty(), dirty(), dirty(), dirty()}
		out, err := Decode(nil, got, dst[:1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if d := same(out[1:], want); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	r, e := full(), empty()
	f("empty", Append(nil, &e), "0801", e)
	f("short", Append(nil, &short), "0801 2900386e939c010000 3000", short)
	f("full", Append(nil, &r),
		"0801 12094e4c2a4142432a4531 1802 220474782d31 297b386e939c010000 30a894f1ae0b 38ffb7b5fa51 408080e59a77"+
			" 482a 5003 5801 6002 68904e 72036d2d37 7a0754414730303031", r)
	f("no readings", AppendBatch(nil, nil), "8002 01")
	f("batch", AppendBatch(nil, []rating.Reading{r, second}),
		"8002 01 9202094e4c2a4142432a4531 980202"+
			" 8a023a 220474782d31 297b386e939c010000 30a894f1ae0b 38ffb7b5fa51 408080e59a77 482a 5003 5801 6002 68904e"+
			" 72036d2d37 7a0754414730303031"+
			" 8a023a 220474782d32 297b386e939c010000 30a894f1ae0b 38ffb7b5fa51 408080e59a77 482b 5003 5801 6002 68904e"+
			" 72036d2d37 7a0754414730303031", r, second)
}

// TestNumbers holds the numbers of the enums, which are on the wire, to the constants of rating.
func TestNumbers(t *testing.T) {
	f := func(got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("constant %d is %d on the wire", got, want)
		}
	}
	for i, v := range []rating.ChargeState{
		rating.StateUnchanged, rating.StateCharging, rating.StateSuspendedEV, rating.StateSuspendedEVSE,
		rating.StateIdle, rating.StateReserved, rating.StateReservationExpired,
	} {
		f(int(v), i)
	}
	for i, v := range []rating.Kind{rating.KindMeter, rating.KindStart, rating.KindAnswer, rating.KindStop, rating.KindStatus} {
		f(int(v), i)
	}
	for i, v := range []rating.Context{
		rating.ContextPeriodic, rating.ContextBegin, rating.ContextClock, rating.ContextEnd, rating.ContextOther,
	} {
		f(int(v), i)
	}
}

func TestDecodeErrors(t *testing.T) {
	f := func(hexBytes, want string) {
		t.Helper()
		b, err := hex.DecodeString(strings.ReplaceAll(hexBytes, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		dst := []rating.Reading{full()}
		out, err := Decode(nil, b, dst)
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %q, want %q", hexBytes, err, want)
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: %T is no *Error", hexBytes, err)
		}
		if len(out) != 1 {
			t.Errorf("%s: %d readings come back with the error, want those that were there", hexBytes, len(out))
		}
	}
	f("", "wire: version at byte 0: 0; this program reads version 1")
	f("0802", "wire: version at byte 0: 2; this program reads version 1")
	f("1802", "wire: version at byte 2: 0; this program reads version 1")
	f("0801 18", "wire: connector at byte 2: the varint is cut off or longer than 64 bits")
	f("0801 18 ffffffffffffffffff02", "wire: connector at byte 2: the varint is cut off or longer than 64 bits")
	f("0801 18 8080808008", "wire: connector at byte 2: 2147483648 is out of range: 0 to 2147483647")
	f("0801 18 ffffffffffffffffff01", "wire: connector at byte 2: 18446744073709551615 is out of range: 0 to 2147483647")
	f("0801 12 05 41", "wire: charge_point at byte 2: 5 bytes are announced, 1 are left")
	f("0801 12 31"+strings.Repeat("41", 49), "wire: charge_point at byte 2: 49 bytes, at most 48")
	f("0801 22 25"+strings.Repeat("41", 37), "wire: transaction at byte 2: 37 bytes, at most 36")
	f("0801 72 25"+strings.Repeat("41", 37), "wire: message_id at byte 2: 37 bytes, at most 36")
	f("0801 7a 8002"+strings.Repeat("41", 256), "wire: token at byte 2: 256 bytes, at most 255")
	f("0801 22 03 41ff42", "wire: transaction at byte 2: not UTF-8")
	f("0801 29 00000000", "wire: at_ms at byte 2: the message ends inside of the value")
	f("0801 29 ffffffffffffffff", "wire: at_ms at byte 2: -1 is out of range: 0 to 253402300799999")
	f("0801 29 00dc1fd277e60000", "wire: at_ms at byte 2: 253402300800000 is out of range: 0 to 253402300799999")
	f("0801 30 80808080808080808001", "wire: register_mwh at byte 2: the smallest number of 64 bits can not be said")
	f("0801 38 ffffffffffffffffff01", "wire: power_uw at byte 2: the smallest number of 64 bits can not be said")
	f("0801 48 ffffffffffffffffff01", "wire: seq at byte 2: -1 is negative")
	f("0801 68 ffffffffffffffffff01", "wire: resolution_mwh at byte 2: -1 is negative")
	f("0801 50 07", "wire: state at byte 2: 7 is no value of this enum")
	f("0801 50 8102", "wire: state at byte 2: 257 is no value of this enum")
	f("0801 58 05", "wire: kind at byte 2: 5 is no value of this enum")
	f("0801 60 05", "wire: context at byte 2: 5 is no value of this enum")
	f("0801 0a00", "wire: version at byte 2: wire type 2 instead of 0")
	f("0801 8800 01", "wire: version at byte 2: the tag takes more bytes than it needs")
	f("0801 1b 1c", "wire: connector at byte 2: a group is not allowed")
	f("0801 1f", "wire: connector at byte 2: wire type 7 does not exist")
	f("0801 00 00", "wire: message at byte 2: there is no field 0")
	f("0801 8a02 00", "wire: readings at byte 2: field 33 in the wrong message: a Reading has those below 32, a ReadingBatch the others")
	f("8002 01 0801", "wire: version at byte 3: field 1 in the wrong message: a Reading has those below 32, a ReadingBatch the others")
	f("8002 01 8a02 04 0801 5007", "wire: readings[0].state at byte 8: 7 is no value of this enum")
	f("8a02 00 8a02 05 30", "wire: readings at byte 3: 5 bytes are announced, 1 are left")
	f("8a02 00", "wire: version at byte 3: 0; this program reads version 1")
	f("8002 01 8a02 02 30", "wire: readings at byte 3: 2 bytes are announced, 1 are left")
	f("8002 01 8a02 02 3080", "wire: readings[0].register_mwh at byte 6: the varint is cut off or longer than 64 bits")
	f("80", "wire: message at byte 0: the tag is no varint")
}

func TestDecodeUnknownFields(t *testing.T) {
	f := func(hexBytes string, want ...rating.Reading) {
		t.Helper()
		b, err := hex.DecodeString(strings.ReplaceAll(hexBytes, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		out, err := Decode(nil, b, nil)
		if err != nil {
			t.Errorf("%s: %v", hexBytes, err)
			return
		}
		if d := same(out, want); d != "" {
			t.Errorf("%s: %s", hexBytes, d)
		}
	}
	r := empty()
	r.Connector = 3
	// Fields 16 to 31 of each wire type, before and after.
	f("8001 ffffffffffffffffff01 8901 0102030405060708 0801 9201 03 616263 9d01 01020304 1803", r)
	// The last of a repeated field counts, as in Protobuf.
	f("0801 1804 1803", r)
	// Of a batch: fields from 37 up, what all readings share after the readings, a reading's own first.
	own := empty()
	own.Connector = 7
	f("a802 05 8a02 00 8a02 02 1807 980203 b202 01 61 8002 01", r, own)
}

func TestMaxReadings(t *testing.T) {
	readings := make([]rating.Reading, MaxReadings+1)
	for i := range readings {
		readings[i] = empty()
	}
	b := AppendBatch(nil, readings[:MaxReadings])
	if out, err := Decode(nil, b, nil); err != nil || len(out) != MaxReadings {
		t.Errorf("%d readings, %v", len(out), err)
	}
	if _, err := Decode(nil, AppendBatch(nil, readings), nil); err == nil || !strings.Contains(err.Error(), "more than 65535 readings") {
		t.Errorf("one too many: %v", err)
	}
}

// TestVarint compares the branchless varint with the values that make its borders.
func TestVarint(t *testing.T) {
	for shift := range 64 {
		for _, d := range []uint64{0, 1, math.MaxUint64} {
			v := uint64(1)<<shift + d
			r := empty()
			r.RegisterMwh = int64(v)
			if r.RegisterMwh == rating.Unknown {
				continue
			}
			b := Append(nil, &r)
			for _, tail := range []string{"", "\x50\x01", "\x50\x01\x58\x01\x60\x01\x68\x01\x50\x01"} {
				out, err := Decode(nil, append(slices.Clip(b), tail...), nil)
				if err != nil || out[0].RegisterMwh != r.RegisterMwh {
					t.Errorf("%#x with tail %x: %v %v", v, tail, out, err)
				}
			}
		}
	}
}

func TestAccepts(t *testing.T) {
	f := func(contentType string, want bool) {
		t.Helper()
		if got := Accepts([]byte(contentType)); got != want {
			t.Errorf("%q: %t", contentType, got)
		}
	}
	f("application/x-protobuf", true)
	f("Application/X-Protobuf ; charset=binary", true)
	f("application/x-protobuf; messageType=wattline.v1.Reading", true)
	f(`application/x-protobuf; messageType="wattline.v1.ReadingBatch"`, true)
	f("application/protobuf", true)
	f("application/vnd.google.protobuf", true)
	f("application/x-protobuf; messageType=acme.Meter", false)
	f("application/json", false)
	f("", false)
}

func TestNoAllocation(t *testing.T) {
	readings := make([]rating.Reading, 100)
	for i := range readings {
		readings[i] = full()
	}
	one, batch := Append(nil, &readings[0]), AppendBatch(nil, readings)
	dst := make([]rating.Reading, 0, 100)
	buf := make([]byte, 0, 64<<10)
	n := testing.AllocsPerRun(100, func() {
		if _, err := Decode(nil, one, dst); err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(nil, batch, dst); err != nil {
			t.Fatal(err)
		}
		AppendBatch(Append(buf, &readings[0]), readings)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// typical is what the load generator sends: a meter reading with a 40-byte id.
func typical() rating.Reading {
	r := empty()
	r.AtMs, r.RegisterMwh, r.PowerMicroW, r.Seq = 1_772_000_000_123, 3_051_113_000, 11_000_000_000, 420
	r.Connector, r.State, r.Transaction = 1, rating.StateCharging, []byte("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")
	return r
}

func BenchmarkDecode(b *testing.B) {
	r := typical()
	batch := make([]rating.Reading, 1000)
	for i := range batch {
		batch[i] = r
	}
	f := func(name string, value []byte, readings int) {
		b.Run(name, func(b *testing.B) {
			dst := make([]rating.Reading, 0, readings)
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(nil, value, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(readings), "ns/reading")
		})
	}
	f("one", Append(nil, &r), 1)
	r.ChargePoint = []byte("NL*ABC*E0123456789012345678901234567890")
	f("one-with-charge-point", Append(nil, &r), 1)
	f("batch-1000", AppendBatch(nil, batch), 1000)
}

func BenchmarkAppend(b *testing.B) {
	r := typical()
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], &r)
	}
}
