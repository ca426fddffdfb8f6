package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
)

// chargerLog is a file of testdata/ocpp16 and what a right engine says of it. Energies are in Wh, as chargers count.
type chargerLog struct {
	file  string
	looks []look
	ends  []string // sessions_latest of this charger at the end: transaction, connector, status, Wh, start, end, micros with VAT
}

// look is a question after some lines of the file.
type look struct {
	lines   int    // of the file, sent so far
	session string // transaction
	running bool   // false: it has ended
	wh      int64
}

// chargerLogs: the energies are those that the chargers' registers show, worked out by hand.
func chargerLogs() []chargerLog {
	return []chargerLog{
		{
			// The register counts from the session's start, which nobody saw, but whose time is the transaction's id.
			file:  "abb-terra-ac-session-register",
			looks: []look{{1, "1632332118", true, 200}, {2, "1632332118", true, 200}},
			ends:  []string{"1632332118 1 PROVISIONAL 200 17:35:18 17:42:45 72600"},
		},
		{
			file:  "actec-ev-ac22k-clock-ahead",
			looks: []look{{1, "1", true, 0}, {9, "1", true, 610}, {17, "1", true, 1300}},
			ends:  []string{"1 1 PROVISIONAL 1300 06:15:22 06:31:23 471900"},
		},
		{
			file:  "alfen-ch1-huge-transaction-id",
			looks: []look{{1, "9223372036854766666", true, 0}},
			ends:  []string{"9223372036854766666 1 PROVISIONAL 0 16:15:09 16:15:09 0"},
		},
		{
			file:  "evbox-elvi-suspended",
			looks: []look{{1, "1", true, 0}},
			ends:  []string{"1 1 PROVISIONAL 0 14:18:05 14:18:05 0"},
		},
		{
			file:  "growatt-thor11-begin-repeated",
			looks: []look{{1, "1735917607", true, 0}, {2, "1735917607", true, 37}, {3, "1735917607", true, 74}},
			ends:  []string{"1735917607 1 PROVISIONAL 74 15:20:17 15:22:18 26862"},
		},
		{
			file:  "keba-m20-six-connectors-clock-ahead",
			looks: []look{{1, "1763968421", true, 0}, {3, "1763968421", true, 0}, {3, "1763968136", true, 0}},
			ends:  []string{"1763968136 2 PROVISIONAL 0 12:58:07 12:58:07 0", "1763968421 3 PROVISIONAL 0 12:57:07 12:58:07 0"},
		},
		{
			// Two transactions: one of a second, one whose end register comes before its Stop and waits for it.
			file: "unknown-acchargepoint-full-session",
			looks: []look{
				{7, "1771262029", true, 0},
				{8, "1771262029", false, 0},
				{12, "1771262049", true, 0},
				{13, "1771262049", true, 107},
				{14, "1771262049", true, 177},
				{17, "1771262049", true, 177},
				{18, "1771262049", false, 0},
			},
			ends: []string{"1771262029 1 COMPLETED 0 17:13:48 17:13:49 0", "1771262049 1 COMPLETED 248 17:14:08 17:15:48 90024"},
		},
		{
			// A Stop whose Start nobody saw, then 4.1 Wh that belong to no transaction: nothing to bill.
			file:  "wallbox-copper-tail-energy",
			looks: []look{{1, "1706601047", false, 0}, {2, "1706601047", false, 0}},
		},
	}
}

// frame is a line of a log.
type frame struct {
	charger string
	ms      int64
	text    string
}

// readLog reads a file; a line without a time has that of the line before.
func readLog(t *testing.T, file string) []frame {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "ocpp16", file+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var list []frame
	for line := range strings.Lines(string(b)) {
		var e struct {
			Received *time.Time
			Charger  string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		f := frame{charger: e.Charger, text: strings.TrimSpace(line)}
		switch {
		case e.Received != nil:
			f.ms = e.Received.UnixMilli()
		case len(list) > 0:
			f.ms = list[len(list)-1].ms
		default:
			t.Fatalf("%s: the first line has no time", file)
		}
		list = append(list, f)
	}
	return list
}

// TestRealChargers: what real chargers sent, through Kafka, gives the energies that their registers show: while the
// sessions run, and when the time of the log says that nothing more comes. The logs are of different years, so each
// charger has a partition of its own: a watermark of 2026 would end the sessions of 2021 at once.
func TestRealChargers(t *testing.T) {
	s := newScene(t, "chargers")
	logs := chargerLogs()
	e := s.engine("ocpp", "ocpp16", int32(len(logs)), "  block_age_max: 1s", "  blocks_per_second: 100")
	s.must("reference", "load", "--config", e.config, filepath.Join(testdata(t), "chargers"))
	e.start()
	e.ready()

	client := s.kafkaClient()
	producer := client.Producer()
	sent := int64(0)
	send := func(partition int, f frame) {
		t.Helper()
		m := engine.Message{Key: []byte(f.charger), Value: []byte(f.text), TimestampMs: f.ms}
		if _, err := producer.Produce(s.ctx, s.readingsTopic(), int32(partition), []engine.Message{m}); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	consumed := func() {
		t.Helper()
		s.await("all messages rated", 30*time.Second, runningEngines(e), func() (bool, string) {
			n, ok := e.metric("wattline_messages_total")
			return ok && int64(n) == sent, fmt.Sprintf("%v of %d messages (%v)", n, sent, ok)
		})
	}
	for partition, log := range logs {
		frames := readLog(t, log.file)
		at := 0
		for _, l := range log.looks {
			for ; at < l.lines; at++ {
				send(partition, frames[at])
			}
			consumed()
			e.lookAt(log.file, frames[0].charger, l)
		}
		for ; at < len(frames); at++ {
			send(partition, frames[at])
		}
	}
	consumed()

	// Two transactions have the id 1: the answer must not be one of them by chance.
	if code, body := e.get("/v1/sessions/1", nil); code != http.StatusMultipleChoices || !strings.Contains(body, "cp-actec-1") || !strings.Contains(body, "cp-evbox-12821") {
		t.Errorf("GET /v1/sessions/1: %d %s, want both sessions", code, body)
	}

	// A message two hours later, of whatever kind, moves the watermark beyond the session timeout.
	for partition, log := range logs {
		frames := readLog(t, log.file)
		last := frames[len(frames)-1]
		send(partition, frame{
			charger: last.charger, ms: last.ms + 2*3_600_000,
			text: fmt.Sprintf(`{"received":null,"charger":%q,"direction":"in","frame":[2,"later","Heartbeat",{}]}`, last.charger),
		})
	}
	consumed()
	s.await("blocks of all messages", 30*time.Second, runningEngines(e), func() (bool, string) {
		n := s.ask("SELECT sum(block_last - block_first + 1) FROM blocks")
		return n == fmt.Sprint(sent), n
	})
	for _, log := range logs {
		charger := readLog(t, log.file)[0].charger
		got := s.ask(`SELECT concat_ws(' ', transaction, toString(connector), toString(status), toString(toInt64(energy_kwh * 1000000) / 1000),
			formatDateTime(start_time, '%T'), formatDateTime(last_time, '%T'), toString(toInt64(incl * 1000000)))
			FROM sessions_latest WHERE charge_point = '` + charger + `' ORDER BY transaction FORMAT TSVRaw`)
		if d := cmp.Diff(strings.Join(log.ends, "\n"), got); d != "" {
			t.Errorf("%s: sessions_latest (-want +got):\n%s", log.file, d)
		}
	}
	// The Stop whose Start nobody saw is money that somebody has to look for: it is not dropped in silence.
	// The locations of this test say nothing for CDRs, so each session has a reject of its own.
	noCDR := func(r string) bool { return strings.Contains(r, ": no CDR: cdr_location.") }
	if list := slices.DeleteFunc(s.rejects(client), noCDR); len(list) != 1 || !strings.Contains(list[0], s.readingsTopic()+"/7/0/0") || !strings.Contains(list[0], "stop of a session that was never seen") {
		t.Errorf("rejects: %q, want the Stop of the Wallbox alone", list)
	}
	if got := s.ask("SELECT sum(energy_mwh) FROM charges"); got != "1822000" {
		t.Errorf("charges have %s mWh, want 1822000: 200 + 1300 + 74 + 248 Wh", got)
	}
	t.Logf("%d messages of %d chargers; clean stop in %v", sent, len(logs), e.stop().Round(time.Millisecond))
	s.must("verify", "--all", "--config", e.config)
}

// lookAt asks for a session by its charger and transaction.
func (e *engineNode) lookAt(file, charger string, l look) {
	e.s.t.Helper()
	var v runningSession
	code, body := e.get("/v1/sessions/"+charger+":"+l.session, &v)
	where := fmt.Sprintf("%s, after line %d: GET session %s", file, l.lines, l.session)
	if !l.running {
		if code != http.StatusNotFound {
			e.s.t.Errorf("%s: %d %s, want 404: it has ended", where, code, body)
		}
		return
	}
	if code != http.StatusOK {
		e.s.t.Errorf("%s: %d %s", where, code, body)
		return
	}
	// 0.30 EUR a kWh are 300 micros a Wh; VAT is 21 %.
	want := runningSession{ChargePoint: charger, Transaction: l.session, Status: "ACTIVE", EnergyMwh: l.wh * 1000, Currency: "EUR", InclMicros: l.wh * 363, Tariff: "NL*E2E*kwh"}
	got := runningSession{ChargePoint: v.ChargePoint, Transaction: v.Transaction, Status: v.Status, EnergyMwh: v.EnergyMwh, Currency: v.Currency, InclMicros: v.InclMicros, Tariff: v.Tariff}
	if d := cmp.Diff(want, got); d != "" {
		e.s.t.Errorf("%s (-want +got):\n%s", where, d)
	}
	if v.ExclMicros == nil || *v.ExclMicros != l.wh*300 {
		e.s.t.Errorf("%s: excl_micros %v, want %d", where, v.ExclMicros, l.wh*300)
	}
	var again runningSession
	if code, body := e.get("/v1/sessions/"+v.ID, &again); code != http.StatusOK || again.EnergyMwh != v.EnergyMwh {
		e.s.t.Errorf("%s, by its id %s: %d %s", where, v.ID, code, body)
	}
}

// testdata is the folder with the test's files, for a program that runs in another.
func testdata(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
