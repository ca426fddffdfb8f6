package jsonreading

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/rating"
)

func dirty() []rating.Reading {
	list := make([]rating.Reading, 4)
	for i := range list {
		list[i] = rating.Reading{
			AtMs: 1, RegisterMwh: 2, PowerMicroW: 3, CurrentNanoA: 4, Seq: 5, ResolutionMwh: 6, Connector: 7, Kind: 4, State: 5,
			Context: 4, Flags: 0xffff, ChargePoint: []byte("x"), Transaction: []byte("x"), MessageID: []byte("x"), Token: []byte("x"),
		}
	}
	return list
}

// TestCases runs the text cases: each message is decoded by both decoders, and shown as Protobuf would name it.
func TestCases(t *testing.T) {
	datadriven.RunTest(t, "testdata/cases", func(t *testing.T, d *datadriven.TestData) string {
		got, err := both(t, []byte(d.Input))
		if err != nil {
			return err.Error() + "\n"
		}
		out := ""
		for i := range got {
			out += string(Append(nil, &got[i])) + "\n"
		}
		if out == "" {
			return "no readings\n"
		}
		return out
	})
}

// both decodes a message with Decode and with slowDecode and compares.
func both(t *testing.T, message []byte) ([]rating.Reading, error) {
	t.Helper()
	before := bytes.Clone(message)
	dst := dirty()
	got, err := Decode([]byte("key"), message, dst[:1])
	if !bytes.Equal(before, message) {
		t.Fatalf("%s: Decode changed the message", before)
	}
	if err != nil && len(got) != 1 {
		t.Fatalf("%s: %d readings with an error", message, len(got))
	}
	want, slowErr := slowDecode(message)
	if err != nil {
		if slowErr == nil && !strings.Contains(err.Error(), "said twice") && !strings.Contains(err.Error(), "nested") {
			t.Fatalf("%s: %v, but the slow decoder reads it", message, err)
		}
		return nil, err
	}
	if slowErr != nil {
		t.Fatalf("%s: accepted, the slow decoder says %v", message, slowErr)
	}
	if d := cmp.Diff(got[1:], want, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s: (-fast +slow)\n%s", message, d)
	}
	return got[1:], nil
}

var (
	errSlow   = errors.New("slow decoder: refused")
	slowWhole = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	slowPart  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
)

// slowDecode is Decode written over encoding/json and math/big. Of a member that is said twice it takes one.
func slowDecode(message []byte) ([]rating.Reading, error) {
	dec := json.NewDecoder(bytes.NewReader(message))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || !json.Valid(message) {
		return nil, errSlow
	}
	list, isArray := v.([]any)
	if !isArray {
		list = []any{v}
	}
	if len(list) > MaxReadings {
		return nil, errSlow
	}
	var out []rating.Reading
	for _, one := range list {
		m, ok := one.(map[string]any)
		if !ok {
			return nil, errSlow
		}
		r, err := slowReading(m)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func slowReading(m map[string]any) (r rating.Reading, err error) {
	number := func(name string, missing, low, high int64) int64 {
		if m[name] == nil {
			return missing
		}
		n, ok := new(big.Int), false
		if text := fmt.Sprint(m[name]); slowWhole.MatchString(text) {
			_, isBool := m[name].(bool)
			n, ok = n.SetString(text, 10)
			ok = ok && !isBool
		}
		if !ok || n.Cmp(big.NewInt(low)) < 0 || n.Cmp(big.NewInt(high)) > 0 {
			err = errSlow
		}
		return n.Int64()
	}
	text := func(name string, limit int) []byte {
		if m[name] == nil {
			return nil
		}
		s, ok := m[name].(string)
		if !ok || len(s) > limit || !utf8.ValidString(s) {
			err = errSlow
		}
		return []byte(s)
	}
	word := func(name string, words []string) int {
		if m[name] == nil {
			return 0
		}
		for i, w := range words {
			if m[name] == w {
				return i
			}
		}
		err = errSlow
		return 0
	}
	const most = 1<<63 - 1
	number("version", Version, Version, Version)
	states, kinds, contexts := stateWords(), kindWords(), contextWords()
	r = rating.Reading{
		ChargePoint: text("charge_point", MaxChargePoint), Transaction: text("transaction", MaxTransaction),
		MessageID: text("message_id", MaxMessageID), Token: text("token", MaxToken),
		AtMs: number("at_ms", rating.Unknown, 0, MaxAtMs), RegisterMwh: number("register_mwh", rating.Unknown, -most, most),
		PowerMicroW: number("power_uw", rating.Unknown, -most, most), CurrentNanoA: number("current_na", rating.Unknown, -most, most),
		Seq: number("seq", rating.Unknown, 0, most), ResolutionMwh: number("resolution_mwh", 0, 0, most),
		Connector: int32(number("connector", 0, 0, 1<<31-1)),
		State:     rating.ChargeState(word("state", states[:])), Kind: rating.Kind(word("kind", kinds[:])),
		Context: rating.Context(word("context", contexts[:])),
	}
	said := 0
	for name, thousand := range map[string]int64{"register_mwh": 0, "register_wh": 1_000, "register_kwh": 1_000_000} {
		if m[name] == nil {
			continue
		}
		if said++; thousand == 0 {
			continue
		}
		x, ok := new(big.Rat), false
		if t := fmt.Sprint(m[name]); slowPart.MatchString(t) {
			x, ok = x.SetString(t)
		}
		if !ok {
			return r, errSlow
		}
		x.Mul(x, new(big.Rat).SetInt64(thousand))
		if !x.IsInt() || x.Num().CmpAbs(big.NewInt(most)) > 0 {
			return r, errSlow
		}
		r.RegisterMwh = x.Num().Int64()
	}
	if said > 1 {
		return r, errSlow
	}
	empty := true
	for f := version; f < fields; f++ {
		empty = empty && m[fieldName(f)] == nil
	}
	if empty {
		return r, errSlow
	}
	for name := range m {
		if fieldOf([]byte(name)) == unknownField && misspelt([]byte(name)) != "" {
			return r, errSlow
		}
	}
	return r, err
}

// randomReading is within the ranges of the format.
func randomReading(rnd *rand.Rand) rating.Reading {
	number := func() int64 { return int64(rnd.Uint64() >> (1 + rnd.IntN(63))) }
	text := func(limit int) []byte {
		b := make([]byte, 0, limit)
		for n := rnd.IntN(limit + 1); len(b) < n; {
			b = append(b, byte(rnd.IntN(0x80)))
		}
		return b
	}
	r := rating.Reading{
		AtMs: rnd.Int64N(MaxAtMs + 1), RegisterMwh: number(), PowerMicroW: -number(), CurrentNanoA: number(), Seq: number(),
		ResolutionMwh: number(), Connector: int32(number() & 0x7fffffff), Kind: rating.Kind(rnd.IntN(5)),
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

// TestRoundTrip: what Append writes comes back (J2), and is what the Protobuf decoder reads of the same readings.
func TestRoundTrip(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		readings := make([]rating.Reading, rnd.IntN(5))
		for i := range readings {
			readings[i] = randomReading(rnd)
		}
		protobuf, err := wire.Decode(nil, wire.AppendBatch(nil, readings), nil)
		if err != nil {
			t.Fatal(err)
		}
		values, want := [][]byte{AppendArray(nil, readings)}, [][]rating.Reading{protobuf}
		for i := range readings {
			values, want = append(values, Append(nil, &readings[i])), append(want, protobuf[i:i+1])
		}
		for i, value := range values {
			got, err := both(t, value)
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, value, err)
			}
			if d := cmp.Diff(got, want[i], cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("seed %d: %s: (-json +protobuf)\n%s", seed, value, d)
			}
			broken := bytes.Clone(value) // near misses
			broken[rnd.IntN(len(broken))] ^= 1 << rnd.IntN(7)
			if utf8.Valid(broken) {
				_, _ = both(t, broken)
			}
			_, _ = both(t, value[:rnd.IntN(len(value))])
		}
	}
}

func full() rating.Reading {
	return rating.Reading{
		AtMs: 1_772_000_000_000, RegisterMwh: 3_051_113_000, PowerMicroW: -7_400_000_000, CurrentNanoA: 32_000_000_000, Seq: 17,
		ResolutionMwh: 1000, Connector: 2, Kind: rating.KindStop, State: rating.StateSuspendedEV, Context: rating.ContextEnd,
		ChargePoint: []byte("cp-1"), Transaction: []byte("tx \"9\""), MessageID: []byte("m"), Token: []byte("ä\n"),
	}
}

// TestGolden holds the bytes of every member.
func TestGolden(t *testing.T) {
	r := full()
	const want = `{"charge_point":"cp-1","connector":2,"transaction":"tx \"9\"","at_ms":1772000000000,"register_mwh":3051113000,` +
		`"power_uw":-7400000000,"current_na":32000000000,"seq":17,"state":"SUSPENDED_EV","kind":"STOP","context":"END",` +
		`"resolution_mwh":1000,"message_id":"m","token":"ä\u000a"}`
	if got := string(Append(nil, &r)); got != want {
		t.Errorf("wrote %s\nwant  %s", got, want)
	}
	got, err := Decode(nil, []byte(want), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, []rating.Reading{r}); d != "" {
		t.Error(d)
	}
}

func TestLimits(t *testing.T) {
	f := func(message, want string) {
		t.Helper()
		got, err := Decode(nil, []byte(message), nil)
		if fmt.Sprint(err) != want || err != nil && len(got) != 0 {
			t.Errorf("%d readings, error %q, want %q", len(got), fmt.Sprint(err), want)
		}
	}
	list := func(n int) string { return "[" + strings.Repeat(`{"seq":1},`, n-1) + `{"seq":1}]` }
	f(list(MaxReadings), "<nil>")
	f(list(MaxReadings+1), "json: [65535]: more than 65535 readings")
	f(strings.Repeat(" ", MaxBytes)+"[", "json: message: 67108865 bytes, at most 67108864")
	text := func(field string, n int) string { return `{"` + field + `":"` + strings.Repeat("x", n) + `"}` }
	for field, limit := range map[string]int{"charge_point": MaxChargePoint, "transaction": MaxTransaction, "message_id": MaxMessageID, "token": MaxToken} {
		f(text(field, limit), "<nil>")
		f(text(field, limit+1), fmt.Sprintf("json: %s: %d bytes, at most %d", field, limit+1, limit))
	}
	f("{\"transaction\":\"\xff\"}", "json: transaction: not UTF-8")
	// The path of what is nested in what is skipped does not matter; that it is refused does.
	f(`{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+"}", `json: byte 36: nested more than 32 deep, found "["`)
}

// TestTokenIsNotShown: whatever is wrong with a message, its error does not show the driver's token (J6).
func TestTokenIsNotShown(t *testing.T) {
	for _, message := range []string{
		`{"token":"SECRET","at_ms":"x"}`, `{"token":"SECRET","token":"SECRET"}`, `{"token":"` + strings.Repeat("SECRET", 50) + `"}`,
		`{"token":["SECRET"]}`, "{\"token\":\"SECRET\xff\"}", `{"token":"SECRET"`, `{"token":"SECRET" x`, `{"token":"SECRET\q"}`, `{"token":"SECRET`,
	} {
		_, err := Decode(nil, []byte(message), nil)
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: error %v", message, err)
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
	f(ContentType, true)
	f("Application/vnd.wattline.READING+json; charset=utf-8", true)
	f("application/json", false) // the topic's format says which JSON it is
	f("", false)
}

// TestNoAllocation: a reading without escapes allocates nothing.
func TestNoAllocation(t *testing.T) {
	r := full()
	r.Transaction, r.Token = []byte("9"), []byte("T")
	one, many := Append(nil, &r), AppendArray(nil, []rating.Reading{r, r, r})
	dst := make([]rating.Reading, 0, 3)
	for _, message := range [][]byte{one, many} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := Decode(nil, message, dst); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", message, n)
		}
	}
}

// FuzzDecode: any text, against the slow decoder.
func FuzzDecode(f *testing.F) {
	r := full()
	f.Add(Append(nil, &r))
	f.Add(AppendArray(nil, []rating.Reading{r, r}))
	cases, err := os.ReadFile("testdata/cases")
	if err != nil {
		f.Fatal(err)
	}
	for part := range strings.SplitSeq(string(cases), "\ndecode\n") {
		input, _, _ := strings.Cut(part, "\n----")
		f.Add([]byte(input))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if !utf8.Valid(message) {
			// encoding/json mends what is not UTF-8. It must not panic, that is all.
			_, _ = Decode(nil, message, dirty()[:0])
			return
		}
		_, _ = both(t, message)
	})
}

// BenchmarkDecode is one message as the load generator sends it: Kafka's key is the charge point.
func BenchmarkDecode(b *testing.B) {
	r := full()
	r.ChargePoint, r.MessageID, r.Token, r.Kind, r.Context, r.ResolutionMwh = nil, nil, nil, 0, 0, 0
	r.Transaction = []byte("T-000001-00000017")
	f := func(name string, message []byte, readings int) {
		b.Run(name, func(b *testing.B) {
			dst := make([]rating.Reading, 0, readings)
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(nil, message, dst); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(readings), "ns/reading")
		})
	}
	f("one", Append(nil, &r), 1)
	many := make([]rating.Reading, 100)
	for i := range many {
		many[i] = r
	}
	f("hundred", AppendArray(nil, many), 100)
}
