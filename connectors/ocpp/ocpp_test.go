package ocpp

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/rating"
)

// TestCases runs the text cases in testdata/cases: `decode` takes one message (its lines joined), `frame` one
// frame from the charger "cp". `go test -rewrite` writes the answers; look at each before you keep it.
func TestCases(t *testing.T) {
	datadriven.Walk(t, "testdata/cases", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			input := strings.ReplaceAll(d.Input, "\n", "")
			switch d.Cmd {
			case "decode":
				return show(t, input)
			case "frame":
				return show(t, `{"received":null,"charger":"cp","direction":"in","frame":`+input+`}`)
			case "sampled": // sampled values of one MeterValues
				return show(t, `{"charger":"cp","direction":"in","frame":[2,"1","MeterValues",{"connectorId":1,"transactionId":7,`+
					`"meterValue":[{"timestamp":"2026-03-01T10:00:00Z","sampledValue":[`+input+`]}]}]}`)
			case "at": // a timestamp
				return show(t, `{"charger":"cp","direction":"in","frame":[2,"1","MeterValues",{"connectorId":1,"transactionId":7,`+
					`"meterValue":[{"timestamp":`+input+`,"sampledValue":[{"value":"5"}]}]}]}`)
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

// TestTraces decodes the logs of real chargers: every line of every file.
func TestTraces(t *testing.T) {
	datadriven.RunTest(t, "testdata/traces.txt", func(t *testing.T, d *datadriven.TestData) string {
		var name string
		d.ScanArgs(t, "file", &name)
		var out strings.Builder
		for i, line := range lines(t, filepath.Join("testdata/ocpp16", name)) {
			if s := show(t, string(line)); s != "no readings\n" {
				fmt.Fprintf(&out, "%d: %s", i+1, strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", fmt.Sprintf("\n%d: ", i+1))+"\n")
			}
		}
		return out.String()
	})
}

func lines(t testing.TB, path string) [][]byte {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		out = append(out, bytes.Clone(sc.Bytes()))
	}
	return out
}

// dirty is what dst held before: nothing of it may shine through.
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

// show decodes a message, holds it against the slow decoder, and writes the readings as text.
func show(t *testing.T, message string) string {
	t.Helper()
	got, err := both(t, []byte(message))
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
}

// both decodes a message twice and compares.
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

// text is a reading as one line: only what it says.
func text(r *rating.Reading) string {
	var b strings.Builder
	b.WriteString([]string{"meter", "start", "answer", "stop", "status"}[r.Kind])
	if r.AtMs != rating.Unknown {
		b.WriteString(" " + time.UnixMilli(r.AtMs).UTC().Format("2006-01-02T15:04:05.999Z"))
	}
	fmt.Fprintf(&b, " %s/%d", r.ChargePoint, r.Connector)
	for _, v := range []struct {
		name string
		text []byte
	}{{"tx", r.Transaction}, {"id", r.MessageID}, {"token", r.Token}} {
		if len(v.text) != 0 {
			fmt.Fprintf(&b, " %s=%s", v.name, v.text)
		}
	}
	for _, v := range []struct {
		name string
		n    int64
	}{{"mWh", r.RegisterMwh}, {"uW", r.PowerMicroW}, {"nA", r.CurrentNanoA}, {"seq", r.Seq}} {
		if v.n != rating.Unknown {
			fmt.Fprintf(&b, " %s=%d", v.name, v.n)
		}
	}
	if r.ResolutionMwh != 0 {
		fmt.Fprintf(&b, " step=%d", r.ResolutionMwh)
	}
	if r.State != 0 {
		b.WriteString(" " + []string{"", "CHARGING", "SUSPENDED_EV", "SUSPENDED_EVSE", "IDLE"}[r.State])
	}
	if r.Context != 0 {
		b.WriteString(" " + []string{"", "begin", "clock", "end", "other"}[r.Context])
	}
	for i, name := range []string{"phase-sum", "unit-guessed", "no-zone", "stop-unknown", "at-unreadable", "offline", "signed"} {
		if r.Flags>>i&1 != 0 {
			b.WriteString(" [" + name + "]")
		}
	}
	return b.String() + "\n"
}

func TestLimits(t *testing.T) {
	f := func(message, want string) {
		t.Helper()
		_, err := Decode([]byte("k"), []byte(message), nil)
		if fmt.Sprint(err) != want {
			t.Errorf("error %q, want %q", fmt.Sprint(err), want)
		}
	}
	f(strings.Repeat(" ", MaxBytes)+"[", `ocpp: charger "k": message: 16777217 bytes, at most 16777216`)
	deep := func(n int) string { return `[4,"1",` + strings.Repeat("[", n) + strings.Repeat("]", n) + `]` }
	f(deep(MaxDepth-1), "<nil>")
	f(deep(MaxDepth), `ocpp: charger "k": byte 38: nested more than 32 deep, found "["`)
	value := func(n int) string {
		one := `{"timestamp":"","sampledValue":[{"value":"1"}]}`
		return `[2,"1","MeterValues",{"meterValue":[` + strings.Repeat(one+",", n-1) + one + `]}]`
	}
	f(value(MaxReadings), "<nil>")
	f(value(MaxReadings+1), `ocpp: charger "k": frame[3]: more than 65535 readings`)
}

func TestAccepts(t *testing.T) {
	f := func(contentType string, want bool) {
		t.Helper()
		if got := Accepts([]byte(contentType)); got != want {
			t.Errorf("%q: %t", contentType, got)
		}
	}
	f("application/vnd.ocpp.1.6+json", true)
	f("Application/VND.ocpp.1.6+json; charset=utf-8", true)
	f("application/json", false) // the topic's format says which JSON it is
	f("application/ocpp1.6+json", true)
	f("application/vnd.ocpp.2.0.1+json", false)
	f("application/x-protobuf", false)
	f("", false)
}

// TestNoAllocation: no line of the traces allocates.
func TestNoAllocation(t *testing.T) {
	files, err := filepath.Glob("testdata/ocpp16/*.jsonl")
	if err != nil || len(files) != 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	dst := make([]rating.Reading, 0, 16)
	for _, path := range files {
		for i, line := range lines(t, path) {
			n := testing.AllocsPerRun(10, func() {
				if _, err := Decode(nil, line, dst); err != nil {
					t.Fatal(err)
				}
			})
			if n != 0 {
				t.Errorf("%s:%d: %v allocations", path, i+1, n)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	f := func(name string, message []byte) {
		b.Run(name, func(b *testing.B) {
			dst := make([]rating.Reading, 0, 16)
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(nil, message, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	f("register-only", lines(b, "testdata/ocpp16/keba-m20-six-connectors-clock-ahead.jsonl")[0])
	f("eight-values", lines(b, "testdata/ocpp16/evbox-elvi-suspended.jsonl")[0])
	f("thirteen-values", lines(b, "testdata/ocpp16/unknown-acchargepoint-full-session.jsonl")[12])
	f("stop", lines(b, "testdata/ocpp16/unknown-acchargepoint-full-session.jsonl")[17])
}
