package ocpp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/rating"
)

// TestCases2 runs the text cases in testdata/cases2: `decode` takes one message, `frame` one frame from the station "cs",
// `event` the payload of a TransactionEvent, `sampled` the sampled values of an Updated one. `go test -rewrite` writes
// the answers; look at each before you keep it.
func TestCases2(t *testing.T) {
	datadriven.Walk(t, "testdata/cases2", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			input := strings.ReplaceAll(d.Input, "\n", "")
			switch d.Cmd {
			case "decode":
			case "frame":
				input = frame2(input)
			case "event":
				input = frame2(`[2,"m1","TransactionEvent",` + input + `]`)
			case "sampled":
				input = frame2(`[2,"m1","TransactionEvent",{"eventType":"Updated","timestamp":"2026-03-01T10:05:00Z","triggerReason":"MeterValuePeriodic",` +
					`"seqNo":5,"transactionInfo":{"transactionId":"T"},"meterValue":[{"timestamp":"2026-03-01T10:05:00Z","sampledValue":[` + input + `]}]}]`)
			default:
				t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			}
			got, err := both2(t, []byte(input))
			if err != nil {
				return err.Error() + "\n"
			}
			if len(got) == 0 {
				return "no readings\n"
			}
			var out strings.Builder
			for i := range got {
				out.WriteString(text(&got[i]))
			}
			return out.String()
		})
	})
}

func frame2(frame string) string {
	return `{"received":null,"charger":"cs","direction":"in","frame":` + frame + `}`
}

// both2 decodes a message twice and compares.
func both2(t *testing.T, message []byte) ([]rating.Reading, error) {
	t.Helper()
	before := bytes.Clone(message)
	dst := dirty()
	got, err := Decode2([]byte("key"), message, dst[:1])
	if !bytes.Equal(before, message) {
		t.Fatalf("%s: Decode2 changed the message", before)
	}
	if err != nil && len(got) != 1 {
		t.Fatalf("%s: %d readings with an error", message, len(got))
	}
	want, slowErr := slowDecodeAs(message, true)
	if (err == nil) != (slowErr == nil) {
		t.Fatalf("%s: error %v, the slow decoder says %v", message, err, slowErr)
	}
	if err != nil {
		return nil, err
	}
	if d := cmp.Diff(got[1:], want, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s: (-fast +slow)\n%s", message, d)
	}
	return got[1:], nil
}

// FuzzDecode2: any text, against the slow decoder.
func FuzzDecode2(f *testing.F) {
	cases, err := filepath.Glob("testdata/cases2/*")
	if err != nil || len(cases) == 0 {
		f.Fatal(cases, err)
	}
	for _, path := range cases {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(b), "\n\n") {
			command, input, _ := strings.Cut(strings.TrimLeft(part, "\n"), "\n")
			input, _, _ = strings.Cut(input, "\n----")
			if command == "event" {
				input = `[2,"m1","TransactionEvent",` + input + `]`
			}
			f.Add([]byte(input))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if !utf8.Valid(message) {
			// encoding/json mends what is not UTF-8. It must not panic, that is all.
			_, _ = Decode2(nil, message, dirty()[:0])
			return
		}
		_, _ = both2(t, message)
	})
}

// TestRandomFrames2 makes frames out of the words that count, and holds the two decoders against each other.
func TestRandomFrames2(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed) // shown when the test fails
	rnd := rand.New(rand.NewPCG(seed, 0))
	member := func(chance int, key string, words ...string) string {
		if rnd.IntN(100) >= chance {
			return ""
		}
		return fmt.Sprintf("%q:%s,", key, words[rnd.IntN(len(words))])
	}
	object := func(members string) string { return "{" + strings.TrimSuffix(members, ",") + "}" }
	list := func(n int, f func() string) string {
		parts := make([]string, rnd.IntN(n+1))
		for i := range parts {
			parts[i] = f()
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	times := []string{`"2026-03-01T10:00:00Z"`, `"2026-03-01T10:00:00Z"`, `"2026-03-01T11:00:00.5+01:00"`, `"2026-03-01T10:00:00"`, `"2026-03-01T10:00:05Z"`, `""`}
	sampled := func() string {
		unit := object(member(70, "unit", `"Wh"`, `"kWh"`, `"W"`) + member(40, "multiplier", "0", "3", "-1", "-3", "18", "-18"))
		return object(member(99, "value", "5", "3.25", "0.0005", "1e3") +
			member(60, "measurand", `"Energy.Active.Import.Register"`, `"Energy.Active.Import.Register"`, `"Power.Active.Import"`, `"Current.Import"`, `"SoC"`) +
			member(60, "context", `"Sample.Periodic"`, `"Transaction.Begin"`, `"Sample.Clock"`, `"Transaction.End"`, `"Trigger"`) +
			member(30, "phase", `"L1"`, `"L2"`, `"L3-N"`, `"N"`) + member(20, "location", `"Outlet"`, `"Inlet"`, `"Cable"`) +
			member(50, "unitOfMeasure", unit, "null") + member(10, "signedMeterValue", `{"signedMeterData":"x","encodingMethod":"OCMF"}`))
	}
	element := func() string {
		at, values := member(95, "timestamp", times...), `"sampledValue":`+list(4, sampled)+","
		if rnd.IntN(2) == 0 {
			return object(values + at)
		}
		return object(at + values)
	}
	decoded := 0
	for range 4_000 {
		payload := object(member(98, "eventType", `"Started"`, `"Updated"`, `"Ended"`) + member(95, "timestamp", times...) +
			member(90, "seqNo", "0", "7", "12") + member(20, "offline", "true", "false") +
			member(98, "transactionInfo", `{"transactionId":"T","chargingState":"Charging"}`, `{"chargingState":"EVConnected","transactionId":"T"}`, `{"transactionId":"T"}`) +
			member(50, "evse", `{"id":1,"connectorId":1}`, "null") + member(30, "idToken", `{"idToken":"TAG","type":"ISO14443"}`) +
			`"meterValue":` + list(4, element))
		if rnd.IntN(5) == 0 {
			payload = object(member(90, "evseId", "1", "0") + `"meterValue":` + list(3, element))
			payload = `"MeterValues",` + payload
		} else {
			payload = `"TransactionEvent",` + payload
		}
		got, err := both2(t, []byte(frame2(`[2,"m",`+payload+`]`)))
		if err == nil {
			decoded += len(got)
		}
	}
	if decoded < 2_000 {
		t.Errorf("%d readings only: the frames test nothing", decoded)
	}
}

func TestAccepts2(t *testing.T) {
	f := func(contentType string, want bool) {
		t.Helper()
		if got := Accepts2([]byte(contentType)); got != want || got && Accepts([]byte(contentType)) {
			t.Errorf("%q: %t", contentType, got)
		}
	}
	f("application/vnd.ocpp.2.0.1+json", true)
	f("application/vnd.OCPP.2.1+json; charset=utf-8", true)
	f("application/ocpp2.1+json", true)
	f("application/vnd.ocpp.1.6+json", false)
	f("application/json", false)
}

// TestNoAllocation2: a usual event allocates nothing.
func TestNoAllocation2(t *testing.T) {
	message := []byte(usualEvent)
	dst := make([]rating.Reading, 0, 8)
	n := testing.AllocsPerRun(100, func() {
		if out, err := Decode2(nil, message, dst); err != nil || len(out) != 2 {
			t.Fatal(out, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

const usualEvent = `{"received":"2026-03-01T10:05:00.2Z","charger":"cs-1","direction":"in","frame":[2,"6993504c","TransactionEvent",` +
	`{"eventType":"Updated","timestamp":"2026-03-01T10:05:00Z","triggerReason":"MeterValuePeriodic","seqNo":5,` +
	`"transactionInfo":{"transactionId":"b1fe0f8a-0c06-4d1e-9a5f-2b3b7a9d","chargingState":"Charging"},"evse":{"id":1,"connectorId":1},` +
	`"meterValue":[{"timestamp":"2026-03-01T10:05:00Z","sampledValue":[{"value":3051.113,"context":"Sample.Periodic",` +
	`"measurand":"Energy.Active.Import.Register","unitOfMeasure":{"unit":"kWh","multiplier":0}},{"value":7400,"measurand":"Power.Active.Import","unitOfMeasure":{"unit":"W"}}]}]}]}`

func BenchmarkDecode2(b *testing.B) {
	dst := make([]rating.Reading, 0, 8)
	message := []byte(usualEvent)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode2(nil, message, dst); err != nil {
			b.Fatal(err)
		}
	}
}
