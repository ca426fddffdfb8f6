package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/wattline/wattline/connectors/kafka"
)

// TestConfigCheck: real broker and store, fine at first; then topics that are wrong, a table that is, and nobody there.
func TestConfigCheck(t *testing.T) {
	s := newScene(t, "check")
	e := s.engine("a", "protobuf", 2)
	check := func(args ...string) (code int, checks map[string][2]string, text string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var errs strings.Builder
		cmd := exec.CommandContext(ctx, shared.binary, append([]string{"config", "check", "--config", e.config, "--json"}, args...)...)
		cmd.Stderr = &errs
		out, _ := cmd.Output() // the code tells
		var report struct {
			Checks []struct{ Name, Verdict, Found, Do string }
		}
		if err := json.Unmarshal(out, &report); err != nil {
			t.Fatalf("%v: %s%s", err, out, &errs)
		}
		checks = map[string][2]string{}
		for _, c := range report.Checks {
			checks[c.Name] = [2]string{c.Verdict, c.Found + "; " + c.Do}
		}
		return cmd.ProcessState.ExitCode(), checks, string(out)
	}
	want := func(what string, checks map[string][2]string, name, verdict, part string) {
		t.Helper()
		if got := checks[name]; got[0] != verdict || !strings.Contains(got[1], part) {
			t.Errorf("%s: %s is %q, want %s with %q", what, name, got, verdict, part)
		}
	}
	readings, reference, state := "kafka topic "+s.readingsTopic(), "kafka topic "+s.name+".reference", "kafka topic "+s.name+".state"

	code, got, text := check()
	if code != 0 {
		t.Errorf("before anything is there: exit %d: %s", code, text)
	}
	want("missing", got, readings, "warn", "does not exist")
	want("missing", got, "clickhouse schema", "warn", "no tables")
	want("missing", got, "kafka broker offsets.retention.minutes", "ok", "7 days")
	want("missing", got, "clickhouse rights", "ok", "")

	s.must("migrate", "--config", e.config)
	client := s.kafkaClient()
	specs := []kafka.TopicSpec{kafka.ReadingsTopic(s.readingsTopic(), 2), kafka.ReferenceTopic(s.name + ".reference"), kafka.StateTopic(s.name+".state", 2), kafka.RejectsTopic(s.rejectsTopic(), 1)}
	if _, err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	code, got, text = check()
	if code != 0 {
		t.Errorf("as the engine makes it: exit %d: %s", code, text)
	}
	want("made", got, readings+" retention.ms", "ok", "for ever") // as this broker has it
	want("made", got, readings+" message.timestamp.type", "warn", "CreateTime")
	want("made", got, readings+" replicas", "warn", "1 replicas")
	want("made", got, reference+" retention.ms", "ok", "for ever")
	want("made", got, state+" cleanup.policy", "ok", "compact")
	want("made", got, state+" max.message.bytes", "ok", "16777216")
	want("made", got, "clickhouse schema", "ok", "")
	for _, table := range []string{"charges", "sessions", "blocks"} {
		want("made", got, "clickhouse table "+table+" settings", "ok", "non_replicated_deduplication_window = 1000000")
	}
	want("made", got, "clickhouse clock", "ok", "off this machine's")

	// All wrong, on purpose: under names of their own, for a topic can not be un-made quickly.
	wrong := s.engine("b", "protobuf", 2)
	wrong.config = s.write("b.yaml", strings.NewReplacer(s.readingsTopic()+":", s.name+".wrong:", s.name+".reference", s.name+".wrong-reference", s.name+".state", s.name+".wrong-state").
		Replace(s.configText("b", wrong.api, "protobuf", 2)))
	e = wrong
	bad := []kafka.TopicSpec{
		{Name: s.name + ".wrong", Partitions: 4, Configs: map[string]string{"retention.ms": "600000", "cleanup.policy": "compact,delete", "message.timestamp.type": "LogAppendTime"}},
		{Name: s.name + ".wrong-reference", Partitions: 2, Configs: map[string]string{"retention.ms": "604800000"}},
		{Name: s.name + ".wrong-state", Partitions: 2, Configs: map[string]string{"cleanup.policy": "delete", "max.message.bytes": "100000"}},
	}
	if _, err := client.EnsureTopics(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	if err := s.sql().driver(t).Exec(t.Context(), "ALTER TABLE "+s.name+".blocks MODIFY SETTING non_replicated_deduplication_window = 100"); err != nil {
		t.Fatal(err)
	}
	code, got, text = check()
	if code != 1 {
		t.Errorf("all wrong: exit %d: %s", code, text)
	}
	want("wrong", got, "kafka topic "+s.name+".wrong retention.ms", "fail", "604800000")
	want("wrong", got, "kafka topic "+s.name+".wrong cleanup.policy", "fail", "compact,delete")
	want("wrong", got, "kafka topic "+s.name+".wrong message.timestamp.type", "ok", "LogAppendTime")
	want("wrong", got, "kafka topic "+s.name+".wrong-reference partitions", "fail", "prefix of one log")
	want("wrong", got, "kafka topic "+s.name+".wrong-reference retention.ms", "fail", "set it to -1")
	want("wrong", got, "kafka topic "+s.name+".wrong-state cleanup.policy", "fail", "compact")
	want("wrong", got, "kafka topic "+s.name+".wrong-state max.message.bytes", "fail", "1048588")
	want("wrong", got, "kafka topic "+s.name+".wrong-state partitions", "fail", "needs 4")
	want("wrong", got, "clickhouse table blocks settings", "fail", "MODIFY SETTING non_replicated_deduplication_window = 1000000")

	e.config = s.write("c.yaml", strings.NewReplacer(shared.kafka.Addr(), freeAddr(t), shared.storeAddr, freeAddr(t)).Replace(s.configText("c", wrong.api, "protobuf", 2)))
	code, got, text = check()
	if code != 1 || strings.Contains(text, shared.password) {
		t.Errorf("nobody there: exit %d: %s", code, text)
	}
	want("nobody there", got, "kafka", "fail", "brokers")
	want("nobody there", got, "clickhouse", "fail", "clickhouse.addr")
	if code, _, text = check("--offline"); code != 0 || !strings.Contains(text, "not asked") {
		t.Errorf("offline: exit %d: %s", code, text)
	}
}
