package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/arrowipc"
	"github.com/wattline/wattline/connectors/jsonreading"
	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/connectors/ocpp"
	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// What is planted in every input. The numbers are schemes' own test numbers.
const (
	plantedToken     = "planted-token-9F27A04C"
	plantedCard      = "4111111111111111"
	plantedGroups    = "5555 5555 5555 4444"
	plantedPyroscope = "planted-pyroscope-2718"
)

// mark is something planted, in the forms in which it could lie about: as it is, in hex, in base64 at any place of it.
type mark struct {
	name  string
	forms []string
}

func newMark(name, text string) mark {
	m := mark{name, []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text)))}}
	for shift := range 3 {
		b := base64.RawStdEncoding.EncodeToString([]byte("xx"[:shift] + text))
		m.forms = append(m.forms, b[(shift*8+5)/6:len(b)-2]) // without what its neighbours decide
	}
	return m
}

// hunt looks for marks in everything that is left behind.
type hunt struct {
	t     *testing.T
	marks []mark
	seen  map[string]int // what was looked at, bytes
}

// in looks at one text and says what it found.
func (h *hunt) in(where, text string) (found []string) {
	h.seen[where] += len(text)
	for _, m := range h.marks {
		if slices.ContainsFunc(m.forms, func(form string) bool { return strings.Contains(text, form) }) {
			found = append(found, m.name)
		}
	}
	return found
}

// nothing is in, which must find nothing.
func (h *hunt) nothing(where, text string) {
	h.t.Helper()
	for _, name := range h.in(where, text) {
		at := 0
		for _, m := range h.marks {
			for _, form := range m.forms {
				if i := strings.Index(text, form); m.name == name && i >= 0 {
					at = i
				}
			}
		}
		h.t.Errorf("%s holds the %s: ...%q...", where, name, text[max(0, at-100):min(len(text), at+60)])
	}
}

// files looks at every file below dir that is not excepted.
func (h *hunt) files(dir string, except func(path string) bool) {
	h.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // merged away meanwhile
		}
		if err != nil {
			return err
		}
		if except(path) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		h.nothing(path, string(b))
		return err
	})
	if err != nil {
		h.t.Error(err)
	}
}

// topic reads all of a topic as any client does: what is packed on the disk is unpacked. It returns what it found.
func (h *hunt) topic(s *scene, c *kafka.Client, name string, partitions int) (found []string, records int) {
	h.t.Helper()
	for p := range partitions {
		_, err := c.ReadLog(s.ctx, name, int32(p), 0, func(r engine.Record) error {
			records++
			found = append(found, h.in("topic "+name, string(r.Key)+"\x00"+string(r.ContentType)+"\x00"+string(r.Value))...)
			return nil
		})
		if err != nil {
			h.t.Errorf("read %s/%d: %v", name, p, err)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), records
}

// tables reads every row of every table that the store keeps, its own logs too, and returns how many rows there were.
func (h *hunt) tables(q sqlEnd) (rows map[string]int) {
	h.t.Helper()
	rows = map[string]int{}
	list := q.ask(h.t, `SELECT database || '.' || name FROM system.tables WHERE engine LIKE '%MergeTree%' OR engine LIKE '%Log' ORDER BY ALL FORMAT TSVRaw`)
	for table := range strings.Lines(list + "\nsystem.processes\nsystem.errors\nsystem.settings_changes\n") {
		table = strings.TrimSpace(table)
		if table == "" {
			continue
		}
		text, err := q.curl(h.t.Context(), "SELECT * FROM "+table+" FORMAT JSONEachRow")
		if err != nil {
			h.t.Errorf("read %s: %v", table, err)
			continue
		}
		rows[table] = strings.Count(text, "\n")
		h.nothing("table "+table, text)
	}
	return rows
}

// planted are messages that have the marks in every place where a sender can put something, by format.
func planted(t *testing.T, atMs int64) []engine.Message {
	t.Helper()
	var list []engine.Message
	add := func(contentType, key string, value []byte) {
		list = append(list, engine.Message{Key: []byte(key), Value: value, ContentType: contentType, TimestampMs: atMs + int64(len(list))})
	}
	bad := func(contentType string, value []byte) {
		add(contentType, "CP-BAD", value)
		add(contentType, "CP-BAD", value[:len(value)*2/3])
		add(contentType, "CP-BAD", append(slices.Clone(value), plantedToken+plantedCard...))
	}
	for _, f := range []struct {
		name, contentType string
		encode            func([]rating.Reading) []byte
	}{
		{"PB", wire.ContentType, func(r []rating.Reading) []byte { return wire.Append(nil, &r[0]) }},
		{"PACK", wire.ContentType, func(r []rating.Reading) []byte { return wire.AppendBatch(nil, r) }},
		{"JSON", jsonreading.ContentType, func(r []rating.Reading) []byte { return jsonreading.AppendArray(nil, r) }},
		{"ARROW", arrowipc.ContentType, func(r []rating.Reading) []byte {
			b, err := arrowipc.Encode(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}},
	} {
		for _, c := range []struct{ cp, tx, token, message string }{
			{"CP-" + f.name, "T1", plantedToken, "m1"},
			{"CP-" + f.name, "T2", plantedCard, "m2"},
			{"CP-" + f.name, plantedCard, "", "m3"},
			{"CP-" + f.name, plantedGroups, plantedToken, "m4"},
			{plantedCard, "T5", plantedToken, "m5"},
			{"CP-" + f.name, "T6", plantedToken, plantedCard},
		} {
			for i := range int64(4) {
				add(f.contentType, c.cp, f.encode(plantedReading(c.cp, c.tx, c.token, c.message, atMs+i*60_000, i)))
			}
		}
		bad(f.contentType, f.encode(plantedReading("CP-"+f.name, "T7", plantedToken, "m7", atMs, 0)))
	}
	at := time.UnixMilli(atMs).UTC().Format(time.RFC3339)
	for _, text := range plantedJSON(at) {
		add(jsonreading.ContentType, "CP-JSON", []byte(text))
	}
	for i, frames := range [][]string{plantedFrames(at), plantedFrames2(at)} {
		contentType := []string{ocpp.ContentType, ocpp.ContentType2}[i]
		for _, frame := range frames {
			add(contentType, "CP-OCPP"+fmt.Sprint(i), []byte(frame))
			bad(contentType, []byte(frame))
		}
	}
	add("text/"+plantedToken, "CP-TYPE", []byte("x"))
	add("text/"+plantedCard, "CP-TYPE", []byte("x"))
	add(jsonreading.ContentType, plantedCard, []byte(`{"transaction":"T9","connector":1,"register_mwh":1}`))
	add("", plantedToken+strings.Repeat("x", 40), []byte(plantedToken+plantedCard))
	return list
}

// plantedReading is the i-th reading of a session; T2 and T6 end with the fourth.
func plantedReading(cp, tx, token, message string, atMs, i int64) []rating.Reading {
	r := rating.Reading{
		ChargePoint: []byte(cp), Transaction: []byte(tx), Token: []byte(token), MessageID: []byte(message), AtMs: atMs, RegisterMwh: 1_000_000 * i, Seq: i,
		Connector: 1, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown, State: rating.StateCharging, Kind: rating.KindMeter,
	}
	switch {
	case i == 0:
		r.Kind = rating.KindStart
	case i == 3 && (tx == "T2" || tx == "T6"):
		r.Kind = rating.KindStop
	}
	return []rating.Reading{r}
}

// plantedJSON are readings with marks where none belong.
func plantedJSON(at string) []string {
	texts := []string{
		`{"transaction":"T8","connector":1,"register_mwh":"TOKEN"}`, `{"transaction":"T8","connector":"CARD","register_mwh":1}`,
		`{"transaction":"T8","connector":1,"register_kwh":CARD}`, `{"transaction":"T8","at_ms":"TOKEN"}`, `{"state":"TOKEN","register_mwh":1}`,
		`{"kind":"CARD","register_mwh":1}`, `{"TOKEN":1,"CARD":2}`, `{"transaction":"T8","message_id":"CARD","token":"TOKEN","kind":"START","connector":1}`,
		`{"transaction":"T10","connector":1,"register_mwh":1,"vendor":{"card":"CARD","token":["TOKEN"]},"token":"CARD"}`,
		`{"transaction":"TOKENTOKENTOKENTOKEN","connector":1,"register_mwh":1}`, `{"Register_MWH_CARD":1,"registerMwh":"CARD"}`, `["TOKEN"]`, `"CARD"`, `TOKEN`,
	}
	return plant(texts, at)
}

// plant puts the marks into texts.
func plant(texts []string, at string) []string {
	r := strings.NewReplacer("TOKEN", plantedToken, "CARDS", plantedGroups, "CARD", plantedCard, "NOW", at)
	for i := range texts {
		texts[i] = r.Replace(texts[i])
	}
	return texts
}

// plantedFrames are frames of OCPP 1.6.
func plantedFrames(at string) []string {
	in := func(frame string) string {
		return `{"received":"NOW","charger":"CP-OCPP16","direction":"in","vendor":"CARD","frame":` + frame + `}`
	}
	out := func(frame string) string { return strings.Replace(in(frame), `"in"`, `"out"`, 1) }
	return plant([]string{
		in(`[2,"a1","Authorize",{"idTag":"TOKEN"}]`),
		in(`[2,"a2","StartTransaction",{"connectorId":1,"idTag":"TOKEN","meterStart":1,"timestamp":"NOW","vendor":"CARD"}]`),
		out(`[3,"a2",{"transactionId":17,"idTagInfo":{"status":"Accepted","parentIdTag":"TOKEN"}}]`),
		in(`[2,"a3","MeterValues",{"connectorId":1,"transactionId":17,"meterValue":[{"timestamp":"NOW","sampledValue":[{"value":"1000","vendor":"CARD"}]}]}]`),
		in(`[2,"CARD","StartTransaction",{"connectorId":2,"idTag":"CARD","meterStart":1,"timestamp":"NOW"}]`),
		out(`[3,"CARD",{"transactionId":18,"idTagInfo":{"status":"Accepted"}}]`),
		in(`[2,"a5","MeterValues",{"connectorId":3,"transactionId":CARD,"meterValue":[{"timestamp":"NOW","sampledValue":[{"value":"1000"}]}]}]`),
		in(`[2,"a7","MeterValues",{"connectorId":1,"transactionId":17,"meterValue":[{"timestamp":"TOKEN","sampledValue":[{"value":"TOKEN"}]}]}]`),
		in(`[2,"a8","MeterValues",{"connectorId":"CARD","transactionId":17,"meterValue":[{"timestamp":"NOW","sampledValue":[{"value":"1","unit":"TOKEN"}]}]}]`),
		in(`[2,"a9","StatusNotification",{"connectorId":1,"errorCode":"OtherError","info":"CARD","status":"Charging","vendorId":"TOKEN","vendorErrorCode":"CARD","timestamp":"NOW"}]`),
		in(`[2,"b1","DataTransfer",{"vendorId":"TOKEN","messageId":"CARD","data":"CARDS"}]`),
		in(`[2,"b2","StopTransaction",{"transactionId":99,"idTag":"TOKEN","meterStop":2000,"timestamp":"NOW","reason":"CARD"}]`),
		in(`[2,"b3","StopTransaction",{"transactionId":18,"idTag":"CARD","meterStop":2000,"timestamp":"NOW"}]`),
		in(`[2,"b4","TOKEN",{}]`), in(`["TOKEN"]`), in(`"CARD"`),
		`{"received":"NOW","charger":"CARD","direction":"in","frame":[2,"b5","StartTransaction",{"connectorId":1,"idTag":"TOKEN","meterStart":1,"timestamp":"NOW"}]}`,
		`{"received":"NOW","charger":"CARD","direction":"TOKEN","frame":[9]}`,
	}, at)
}

// plantedFrames2 are frames of OCPP 2.0.1.
func plantedFrames2(at string) []string {
	event := func(kind, tx, more string) string {
		return `{"received":"NOW","charger":"CP-OCPP2","direction":"in","frame":[2,"c1","TransactionEvent",{"eventType":"` + kind +
			`","timestamp":"NOW","triggerReason":"CablePluggedIn","transactionInfo":{"transactionId":"` + tx + `","chargingState":"Charging","vendor":"CARD"},
			"evse":{"id":1,"connectorId":1},"customData":{"vendorId":"TOKEN","pan":"CARDS"}` + more + `}]}`
	}
	const token = `,"idToken":{"idToken":"TOKEN","type":"ISO14443","additionalInfo":[{"additionalIdToken":"CARD","type":"pan"}]}`
	const value = `,"meterValue":[{"timestamp":"NOW","sampledValue":[{"value":1000,"signedMeterValue":{"signedMeterData":"CARD","encodingMethod":"OCMF","signingMethod":"","publicKey":"TOKEN"}}]}]`
	return plant([]string{
		event("Started", "tx-1", `,"seqNo":0`+token+value), event("Updated", "tx-1", `,"seqNo":1`+token+value),
		event("Started", "CARD", `,"seqNo":0`+token+value), event("Updated", "CARDS", `,"seqNo":1`+value),
		event("TOKEN", "tx-2", `,"seqNo":1`), event("Updated", "tx-1", `,"seqNo":"TOKEN"`), event("Updated", "tx-1", `,"seqNo":CARD`),
		event("Started", "tx-3", `,"seqNo":0`+strings.ReplaceAll(token, "TOKEN", "CARD")+value),
		strings.Replace(event("Started", "tx-4", `,"seqNo":0`+token), `"id":1`, `"id":"CARD"`, 1), event("Ended", "tx-9", `,"seqNo":7`+token),
	}, at)
}

// pushes is a Pyroscope server that keeps what it gets, unpacked.
type pushes struct {
	mu    sync.Mutex
	texts []string
}

// ServeHTTP implements http.Handler.
func (p *pushes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	texts := []string{r.URL.String()}
	parts, err := r.MultipartReader()
	for err == nil {
		var part *multipart.Part
		if part, err = parts.NextPart(); err == nil {
			var b []byte
			if b, err = io.ReadAll(part); err == nil {
				texts = append(texts, fmt.Sprint(part.Header), string(b), unzipped(b))
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts = append(p.texts, texts...)
}

// unzipped is what gzip packed; "" if it did not.
func unzipped(b []byte) string {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return ""
	}
	return string(text)
}

// keyLine is a line out of the middle of a PEM key.
func keyLine(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 4 || len(lines[2]) < 20 {
		t.Fatalf("%s is no PEM key", file)
	}
	return lines[2]
}

// longest is the longest word of a file that is a key.
func longest(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`[A-Za-z0-9+/_-]{20,}`).FindAllString(string(b), -1)
	if len(words) == 0 {
		t.Fatalf("%s has no key", file)
	}
	return slices.MaxFunc(words, func(a, b string) int { return len(a) - len(b) })
}

// writeChargers makes a reference folder that knows the charge points of planted.
func (s *scene) writeChargers(title string) string {
	s.t.Helper()
	dir := filepath.Join(s.dir, "chargers-"+fmt.Sprint(len(title)))
	var evses []string
	for _, uid := range []string{"CP-PB", "CP-PACK", "CP-JSON", "CP-ARROW", "CP-OCPP16", "CP-OCPP2"} {
		evses = append(evses, `{"uid":"`+uid+`","evse_id":"NL*E2E*E`+strings.ReplaceAll(uid, "-", "*")+`","status":"AVAILABLE","last_updated":"2020-01-01T00:00:00Z","connectors":[{"id":"1","standard":"IEC_62196_T2","format":"SOCKET",
			"power_type":"AC_3_PHASE","max_voltage":230,"max_amperage":32,"tariff_ids":["kwh"],"last_updated":"2020-01-01T00:00:00Z"}]}`)
	}
	for name, text := range map[string]string{
		"tariffs/kwh.json": `{"country_code":"NL","party_id":"E2E","id":"kwh","currency":"EUR","elements":[{"price_components":[{"type":"ENERGY","price":0.3,"vat":21,"step_size":1}]}],
			"tariff_alt_text":[{"language":"en","text":"` + title + `"}],"last_updated":"2020-01-01T00:00:00Z"}`,
		"tariffs/member.json": `{"country_code":"NL","party_id":"E2E","id":"member","currency":"EUR","elements":[{"price_components":[{"type":"ENERGY","price":0.2,"vat":21,"step_size":1}]}],
			"last_updated":"2020-01-01T00:00:00Z"}`,
		"tiers/member.json": `{"country_code":"NL","party_id":"E2E","id":"member","rules":[{"tariffs":["member"]}]}`,
		"contracts/all.csv": "uid,contract_id,country_code,party_id,tier\n" + plantedToken + ",NL-E2E-1,NL,E2E,member\n" + plantedCard + ",NL-E2E-2,NL,E2E,member\n",
		"locations/all.json": `{"country_code":"NL","party_id":"E2E","id":"ALL","publish":true,"name":"` + title + `","address":"Stroomweg 1","city":"Utrecht","country":"NLD",
			"coordinates":{"latitude":"52.0907","longitude":"5.1214"},"time_zone":"Europe/Amsterdam","evses":[` + strings.Join(evses, ",") + `],"last_updated":"2020-01-01T00:00:00Z"}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// askEverything is all that the API says to its most trusted caller, also about what is planted.
func askEverything(ask func(path, token string) (int, string), token string) string {
	all := ""
	for _, path := range []string{
		"/", "/healthz", "/readyz", "/metrics", "/v1/sessions?dearest=1000", "/v1/sessions/T1", "/v1/sessions/CP-PB:T1", "/debug/pprof/goroutine?debug=2",
		"/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/cmdline", "/debug/pprof/threadcreate?debug=1", "/debug/pprof/block?debug=1",
		"/debug/pprof/mutex?debug=1",
	} {
		_, body := ask(path, token)
		all += path + "\n" + body + "\n"
	}
	// What is asked with a mark says it back to who asked, and to nobody else: the log and metrics must not have it.
	for _, path := range []string{"/v1/sessions/" + plantedToken, "/v1/sessions/" + plantedCard, "/v1/sessions?dearest=" + plantedCard, "/" + plantedToken + "?x=" + plantedCard} {
		ask(path, token)
		ask(path, plantedToken)
	}
	return all
}

// TestNowhere: drivers' tokens, card numbers and all passwords and keys that there are, put into every input, are found
// nowhere but there: not in logs, answers, metrics, profiles, ClickHouse, any other topic, or any file that is not theirs;
// while sessions run, after kill -9, after recovery, and after an orderly stop.
func TestNowhere(t *testing.T) {
	s := newScene(t, "nowhere")
	w := startSecuredWorld(t, s)
	var pushed pushes
	pyroscope := httptest.NewServer(&pushed)
	t.Cleanup(pyroscope.Close)
	api := freeAddr(t)
	config := s.write("nowhere.yaml", w.configText(s, api, "  sasl_password_file: "+s.write("kafka.password", plantedKafka+"\n"))+
		"pyroscope:\n  addr: "+pyroscope.URL+"\n  user: wattline\n  password: "+plantedPyroscope+"\nrejects: {public_key_file: "+filepath.Join(s.dir, "rejects.pub")+"}\n"+
		"tokens: {keyset_file: "+filepath.Join(s.dir, "tokens.keyset")+"}\n")
	s.must("tokens", "new-key", "--config", config)
	s.must("rejects", "new-key", "--private", filepath.Join(s.dir, "rejects.key"), "--public", filepath.Join(s.dir, "rejects.pub"))
	token := strings.TrimSpace(s.must("api", "token", "--config", config, "--role", "operator", "e2e").out)
	h := &hunt{t: t, seen: map[string]int{}, marks: []mark{
		newMark("driver's token", plantedToken), newMark("card number", plantedCard), newMark("card number in groups", plantedGroups),
		newMark("password of Kafka", plantedKafka), newMark("password of the store", w.password), newMark("password of Pyroscope", plantedPyroscope),
		newMark("API token", token), newMark("API key", keyLine(t, w.apiKey)),
		newMark("private key of rejects", longest(t, filepath.Join(s.dir, "rejects.key"))), newMark("key of pseudonyms", longest(t, filepath.Join(s.dir, "tokens.keyset"))),
	}}
	if r := s.run("reference", "load", "--config", config, s.writeChargers("Card "+plantedCard)); r.code != 1 || !strings.Contains(r.err, "payment card") {
		t.Errorf("a tariff with a card number was loaded: %v", r)
	} else {
		h.nothing("the refusal", r.String())
	}
	s.must("reference", "load", "--config", config, s.writeChargers("By the kWh"))
	engineProcess := s.launch("nowhere", "run", "--config", config)
	ask := w.api(t, api)
	ready := func() {
		t.Helper()
		s.await("the engine ready", 2*time.Minute, []*process{engineProcess}, func() (bool, string) {
			status, body := ask("/readyz", token)
			return status == http.StatusOK, fmt.Sprint(status, body)
		})
	}
	ready()
	client := w.client(t)
	sent := int64(0)
	send := func(list []engine.Message) {
		t.Helper()
		for _, m := range list {
			if _, err := client.Producer().Produce(s.ctx, s.readingsTopic(), int32(sent%2), []engine.Message{m}); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	q := w.sql(t, s.name)
	durable := func() {
		t.Helper()
		s.await("all messages durable", 2*time.Minute, []*process{engineProcess}, func() (bool, string) {
			text := q.ask(t, "SELECT sum(block_last - block_first + 1) FROM blocks")
			return text == fmt.Sprint(sent), text
		})
	}
	const beganMs = 1_790_000_000_000
	send(planted(t, beganMs))
	durable()
	h.nothing("what the API says", askEverything(ask, token))
	h.nothing("the engine's log", engineProcess.output())
	if err := engineProcess.kill(); err != nil {
		t.Fatal(err)
	}
	send(planted(t, beganMs+600_000))
	engineProcess = s.launch("nowhere", "run", "--config", config)
	ready()
	durable()
	h.nothing("what the API says after the recovery", askEverything(ask, token))
	if took, err := engineProcess.stop(syscall.SIGTERM, 30*time.Second); err != nil {
		t.Error(took, err)
	}
	h.nothing("what commands say", s.must("config", "show", "--config", config).String()+s.must("verify", "--config", config).String()+s.must("migrate", "--config", config).String())
	h.left(s, w, config, q, client)
	h.profiles(&pushed)
}

// left looks at everything that lies about afterwards. That it would find something is seen by what is there.
func (h *hunt) left(s *scene, w *securedWorld, config string, q sqlEnd, client *kafka.Client) {
	h.t.Helper()
	plain := kafkago.Client{Addr: kafkago.TCP(w.broker.Addr()), Timeout: 10 * time.Second}
	all, err := plain.Metadata(s.ctx, &kafkago.MetadataRequest{})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, topic := range all.Topics {
		found, records := h.topic(s, client, topic.Name, len(topic.Partitions))
		h.t.Logf("topic %s: %d records", topic.Name, records)
		switch {
		case records == 0 && (strings.HasSuffix(topic.Name, ".cdrs") || strings.HasSuffix(topic.Name, ".prices")):
			h.t.Errorf("topic %s is empty: this looks at nothing", topic.Name)
		case topic.Name == s.readingsTopic():
			if want := []string{"card number", "card number in groups", "driver's token"}; !slices.Equal(found, want) {
				h.t.Errorf("the input topic has %q, want %q: this looks at nothing", found, want)
			}
		case len(found) > 0:
			h.t.Errorf("topic %s has the %q", topic.Name, found)
		}
	}
	h.sealed(s, config, client)
	rows := h.tables(q)
	h.t.Logf("rows: %v", rows)
	if rows[s.name+".sessions"] == 0 || rows[s.name+".charges"] == 0 || rows[s.name+".blocks"] == 0 {
		h.t.Errorf("rows: %v: this looks at nothing", rows)
	}
	if priced := q.ask(h.t, "SELECT groupUniqArray(charge_point) FROM (SELECT charge_point FROM charges ORDER BY ALL)"); strings.Count(priced, "CP-") < 5 {
		h.t.Errorf("sessions with tokens were priced at %s only", priced)
	}
	if members := q.ask(h.t, "SELECT uniqExact(contract, token_pseudonym) FROM sessions WHERE tier = 'member' AND contract != ''"); members != "2" {
		h.t.Errorf("%s drivers are known by their pseudonyms, want both", members)
	}
	for _, log := range append(slices.Clone(s.logs), w.broker.LogPath()) {
		b, err := os.ReadFile(log)
		if err != nil {
			h.t.Fatal(err)
		}
		h.nothing(log, string(b))
	}
	own := []string{"rejects.key", "tokens.keyset", "kafka.password", "nowhere.yaml", filepath.Base(w.passwordFile), "key.pem"}
	input := s.readingsTopic() + "-"
	for _, dir := range []string{s.dir, filepath.Join(w.dir, "data"), filepath.Join(w.dir, "kafka")} {
		before := len(h.seen)
		h.files(dir, func(path string) bool {
			base := filepath.Base(path)
			return slices.Contains(own, base) || strings.HasPrefix(base, input) || strings.HasPrefix(base, "chargers-") || strings.HasSuffix(base, ".properties")
		})
		h.t.Logf("%s: %d files", dir, len(h.seen)-before)
	}
}

// sealed: what was rejected for a card number is there, and only who has the private key is shown it.
func (h *hunt) sealed(s *scene, config string, client *kafka.Client) {
	h.t.Helper()
	var ids []string
	_, err := client.ReadLog(s.ctx, s.rejectsTopic(), 0, 0, func(r engine.Record) error {
		if strings.Contains(string(r.Value), "pan_like") {
			ids = append(ids, string(r.Key))
		}
		return nil
	})
	if err != nil || len(ids) < 20 {
		h.t.Fatalf("%d rejects for card numbers, %v", len(ids), err)
	}
	shown := s.must("rejects", "show", "--raw", "--config", config, "--key", filepath.Join(s.dir, "rejects.key"), ids[0])
	if len(h.in("what the owner of the key is shown", shown.out)) == 0 {
		h.t.Errorf("the owner of the key is not shown what was sent: %v", shown)
	}
	h.nothing("the list of rejects", s.must("rejects", "list", "--config", config, "--since", "100000h").String())
}

// profiles looks at what was pushed.
func (h *hunt) profiles(p *pushes) {
	h.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.texts {
		h.nothing("a profile", text)
	}
	if len(p.texts) == 0 {
		h.t.Error("no profiles: this looks at nothing")
	}
}
