package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
)

// TestRejectsSealed: what a message said that can not be used is nowhere on the rejects topic but sealed; it is listed,
// shown to who has the key, also when the log of readings has forgotten it, and sent again, once.
func TestRejectsSealed(t *testing.T) {
	s := newScene(t, "sealed")
	e := s.engine("a", "protobuf", 1, "  block_age_max: 1s", "  blocks_per_second: 100")
	private, public := filepath.Join(s.dir, "rejects.key"), filepath.Join(s.dir, "rejects.pub")
	s.must("rejects", "new-key", "--private", private, "--public", public)
	e.config = s.write("a.yaml", s.configText("a", e.api, "protobuf", 1, "  block_age_max: 1s", "  blocks_per_second: 100")+"rejects:\n  public_key_file: "+public+"\n")
	s.must("migrate", "--config", e.config)
	e.start()
	e.ready()
	client := s.kafkaClient()
	const token, card = "04A2B3C4D5E6F7", "4111111111111111"
	now := time.Now().UnixMilli()
	send := func(contentType, value string) {
		t.Helper()
		m := engine.Message{Key: []byte("CP1"), Value: []byte(value), ContentType: contentType, TimestampMs: now}
		if _, err := client.Producer().Produce(s.ctx, s.readingsTopic(), 0, []engine.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	awaitRejects := func(n int) []string {
		t.Helper()
		var list []string
		s.await(fmt.Sprintf("%d rejects", n), time.Minute, runningEngines(e), func() (bool, string) {
			list = s.rejects(client)
			return len(list) >= n, fmt.Sprint(list)
		})
		return list
	}
	send("text/xml", "<token>"+token+"</token>")
	send("application/vnd.wattline.reading+json", `{"charge_point":"`+token+`","kind":"`+card+`"}`)
	for _, r := range awaitRejects(2) {
		if strings.Contains(r, token) || strings.Contains(r, card) || !strings.Contains(r, "sealed") {
			t.Errorf("on the rejects topic: %s", r)
		}
	}
	first := s.readingsTopic() + "/0/0/0"
	list := s.must("rejects", "list", "--config", e.config, "--since", "1h").out
	if !strings.Contains(list, first) || !strings.Contains(list, `content-type "..." is unknown`) || strings.Contains(list, token) || strings.Count(list, "\n") != 2 {
		t.Errorf("list: %s", list)
	}
	if text := s.must("rejects", "list", "--config", e.config, "--count", "--reason", "content-type").out; !strings.Contains(text, "1  "+s.readingsTopic()) {
		t.Errorf("counted: %s", text)
	}
	shown := s.must("rejects", "show", "--config", e.config, "--key", private, first)
	if !strings.Contains(shown.out, "<token>"+token+"</token>") || !strings.Contains(shown.out, `"CP1"`) || !strings.Contains(shown.out, `content-type "text/xml" is unknown`) || !strings.Contains(shown.err, "rejected message shown") || strings.Contains(shown.err, token) {
		t.Errorf("shown: %v", shown)
	}
	if text := s.must("rejects", "show", "--config", e.config, "--raw", first).out; text != "<token>"+token+"</token>" {
		t.Errorf("from the readings topic: %q", text)
	}

	s.must("rejects", "retry", "--config", e.config, "--key", private, "--dry-run", "--reason", "content-type")
	if text := s.must("rejects", "retry", "--config", e.config, "--key", private, "--reason", "content-type").out; !strings.Contains(text, first+"  sent again as "+s.readingsTopic()+"/0/2") {
		t.Errorf("sent again: %s", text)
	}
	awaitRejects(4) // the note, and the reject of what is still of an unknown type
	again := s.must("rejects", "retry", "--config", e.config, "--key", private, first)
	if !strings.Contains(again.err, "0 sent again, 1 had been before") {
		t.Errorf("a second time: %v", again)
	}
	list = s.must("rejects", "list", "--config", e.config).out
	if !strings.Contains(list, first+"  sent again ") || !strings.Contains(list, s.readingsTopic()+"/0/2/0") {
		t.Errorf("list: %s", list)
	}
	e.stop()
	log := e.proc.output()
	if strings.Contains(log, token) || strings.Contains(log, card) {
		t.Error("the engine's log has what was in a rejected message")
	}
}
