package ocpp

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/wattline/wattline/connectors/jsontext"
)

// FuzzDecode: any text, against the slow decoder.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/ocpp16/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		for _, line := range lines(f, path) {
			f.Add(line)
		}
	}
	cases, err := filepath.Glob("testdata/cases/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range cases {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(b), "\n\n") {
			_, input, _ := strings.Cut(part, "\n")
			input, _, _ = strings.Cut(input, "\n----")
			f.Add([]byte(input))
		}
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

// FuzzDecimal: a number, against big.Rat.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"1", "-1.5", "0.0005", "1e18", "9e-18", " 7 ", ".5", "2305843009213693951", "2305843009213693952", "00.1e+05"} {
		f.Add(s, uint8(6))
	}
	f.Fuzz(func(t *testing.T, s string, scale uint8) {
		k := int(scale % 10)
		v, decimals, ok := decimal([]byte(s), k)
		want, wantStep, wantOK := slowNumber(s, k)
		gotStep := step(coarseness(k, decimals))
		if ok != wantOK || ok && (v != want || gotStep != wantStep) {
			t.Fatalf("%q * 10^%d: %d step %d %t, want %d step %d %t", s, k, v, gotStep, ok, want, wantStep, wantOK)
		}
	})
}

// FuzzTimestamp: a time, against package time.
func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{
		"2026-03-01T10:00:00Z", "2026-03-01T10:00:00.123456789+01:00", "2024-02-29 23:59:60,5-0030", "0001-01-01T00:00:00",
		"9999-12-31T23:59:59.9999z", "0000-00-00T00:00:00Z", "1900-02-29T00:00:00Z", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, flags := timestamp(jsontext.Scalar{Kind: jsontext.String, Text: []byte(s)})
		want, wantFlags := slowTime(s)
		if at != want || flags != wantFlags {
			t.Fatalf("%q: %d %d, want %d %d", s, at, flags, want, wantFlags)
		}
	})
}

// TestRandomFrames makes frames out of the words that count, and holds the two decoders against each other.
func TestRandomFrames(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed) // shown when the test fails
	rnd := rand.New(rand.NewPCG(seed, 0))
	pick := func(words ...string) string { return words[rnd.IntN(len(words))] }
	member := func(chance int, key string, words ...string) string {
		if rnd.IntN(100) >= chance {
			return ""
		}
		return fmt.Sprintf("%q:%s,", key, pick(words...))
	}
	object := func(members string) string { return "{" + strings.TrimSuffix(members, ",") + "}" }
	list := func(n int, f func() string) string {
		parts := make([]string, rnd.IntN(n+1))
		for i := range parts {
			parts[i] = f()
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	sampled := func() string {
		return object(member(99, "value", fmt.Sprintf(`"%d.%0*d"`, rnd.IntN(5), rnd.IntN(6)+1, rnd.IntN(7)), `"1"`, `"2.0"`, "3") +
			member(60, "measurand", `"Energy.Active.Import.Register"`, `"Energy.Active.Import.Register"`, `"Power.Active.Import"`, `"Current.Import"`, `"Voltage"`) +
			member(50, "context", `"Sample.Periodic"`, `"Sample.Periodic"`, `"Transaction.Begin"`, `"Sample.Clock"`, `"Transaction.End"`, `"Trigger"`) +
			member(40, "phase", `"L1"`, `"L2"`, `"L3-N"`, `"N"`, "null") +
			member(30, "location", `"Outlet"`, `"Inlet"`, `"Body"`, `"Cable"`, `"EV"`, `"Moon"`) +
			member(20, "unit", `"Wh"`, `"kWh"`) + member(5, "format", `"Raw"`, `"SignedData"`))
	}
	element := func() string {
		at := member(95, "timestamp", `"2026-03-01T10:00:00Z"`, `"2026-03-01T10:00:00Z"`, `"2026-03-01T11:00:00+01:00"`, `"2026-03-01T10:00:00"`, `"2026-03-01T10:00:05Z"`, `""`)
		values := `"sampledValue":` + list(6, sampled) + ","
		if rnd.IntN(2) == 0 {
			return object(values + at)
		}
		return object(at + values)
	}
	decoded := 0
	for range 4_000 {
		common := member(90, "connectorId", "1", "0", `"2"`) + member(80, "transactionId", "7", "-1", `"x"`) +
			member(80, "timestamp", `"2026-03-01T10:00:00Z"`, "null") + member(50, "idTag", `"T"`)
		action := pick("MeterValues", "StopTransaction", "StartTransaction", "StatusNotification")
		payload := object(common + `"meterValue":` + list(4, element) + "," + `"transactionData":` + list(3, element) + "," +
			member(80, "meterStop", "5", "-1", "null") + member(80, "meterStart", "5", "-1", `"5.5"`) +
			member(90, "status", `"Charging"`, `"Available"`, `"Preparing"`, `"Faulted"`))
		frame := `"frame":` + pick(`[2,"m","`+action+`",`+payload+`]`, `[2,"m","`+action+`",`+payload+`]`, `[3,"m",`+payload+`]`) + ","
		rest := member(90, "charger", `"cp"`) + member(80, "direction", `"in"`, `"in"`, `"out"`)
		message := object(rest + frame)
		if rnd.IntN(4) == 0 {
			message = object(frame + rest)
		}
		got, err := both(t, []byte(message))
		if err == nil {
			decoded += len(got)
		}
	}
	if decoded < 2_000 {
		t.Errorf("%d readings only: the frames test nothing", decoded)
	}
}
