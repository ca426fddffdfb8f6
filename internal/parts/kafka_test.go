package parts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// testKafka starts a broker that ends with the test.
func testKafka(t *testing.T, cfg KafkaConfig) *Kafka {
	t.Helper()
	k, err := StartKafka(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Kill(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func createTopic(t *testing.T, k *Kafka, topic string, settings ...kafka.ConfigEntry) {
	t.Helper()
	conn, err := kafka.Dial("tcp", k.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.CreateTopics(kafka.TopicConfig{
		Topic: topic, NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: settings,
	})
	if err != nil {
		t.Fatalf("create topic: %v\n%s", err, logTail(k.LogPath(), 0))
	}
}

// firstSince is the offset of the first record that the broker has under this time or a later one.
func firstSince(t *testing.T, k *Kafka, topic string, at time.Time) int64 {
	t.Helper()
	conn, err := kafka.DialLeader(t.Context(), "tcp", k.Addr(), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	offset, err := conn.ReadOffset(at)
	if err != nil {
		t.Fatal(err)
	}
	return offset
}

func readFirst(t *testing.T, k *Kafka, topic string) kafka.Message {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.Addr()}, Topic: topic, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := r.ReadMessage(ctx)
	if err != nil {
		t.Fatalf("read: %v\n%s", err, logTail(k.LogPath(), 0))
	}
	return m
}

// A record goes through a real broker, stamped by it, and is still there after a kill -9 and a start in the
// same folder, on the same address.
func TestKafkaKeepsARecordOverAKill(t *testing.T) {
	cfg := KafkaConfig{Dir: t.TempDir()}
	k := testKafka(t, cfg)
	createTopic(t, k, "parts", kafka.ConfigEntry{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"})
	w := &kafka.Writer{
		Addr: kafka.TCP(k.Addr()), Topic: "parts", RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
		BatchBytes: 12 << 20,
	}
	defer w.Close()
	big := strings.Repeat("x", 8<<20) // more than Kafka's default of 1 MiB for a message
	before := time.Now()
	sent := kafka.Message{Key: []byte("k"), Value: []byte(big), Time: time.Unix(1e9, 0)}
	if err := w.WriteMessages(t.Context(), sent); err != nil {
		t.Fatalf("write: %v\n%s", err, logTail(k.LogPath(), 0))
	}
	got := readFirst(t, k, "parts")
	if string(got.Key) != "k" || string(got.Value) != big {
		t.Fatalf("read key %q and %d bytes, want %q and %d bytes", got.Key, len(got.Value), "k", len(big))
	}
	// kafka-go's Reader gives the producer's time whatever the batch says, so the broker's index is asked.
	if got := firstSince(t, k, "parts", before); got != 0 {
		t.Errorf("first offset since the write is %d, want 0: the record is not stamped by the broker", got)
	}

	if err := k.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := k.Kill(); err != nil {
		t.Errorf("second kill: %v", err)
	}
	again := testKafka(t, cfg)
	if again.Addr() != k.Addr() {
		t.Errorf("started again on %s, was on %s", again.Addr(), k.Addr())
	}
	if got := readFirst(t, again, "parts"); string(got.Value) != big {
		t.Errorf("after the kill: read %d bytes, want %d", len(got.Value), len(big))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := again.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := askBroker(ctx, again.Addr()); err == nil {
		t.Error("the broker answers after Stop")
	}
	log, err := os.ReadFile(again.LogPath())
	if err != nil || !strings.Contains(string(log), "shut down completed") {
		t.Errorf("the log does not tell of an orderly stop (%v):\n%s", err, logTail(again.LogPath(), 0))
	}
}

func TestKafkaThatCannotStartSaysWhy(t *testing.T) {
	_, err := StartKafka(t.Context(), KafkaConfig{
		Dir: t.TempDir(), ExtraProperties: map[string]string{"num.io.threads": "none"},
	})
	if err == nil || !strings.Contains(err.Error(), "num.io.threads") {
		t.Fatalf("error %v, want one that carries the broker's own words", err)
	}
	if _, err := StartKafka(t.Context(), KafkaConfig{}); err == nil {
		t.Fatal("no error for an empty Dir")
	}
}

func TestBrokerEndIsSeen(t *testing.T) {
	k := testKafka(t, KafkaConfig{Dir: t.TempDir(), HeapMiB: 256})
	p, err := os.FindProcess(k.Pid())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-k.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("Done is open 10 s after the broker was killed")
	}
}

// Jars of the cache are linked into another one, one of them altered: it must not be used, and be named.
func TestKafkaLibsTampered(t *testing.T) {
	good, err := KafkaLibs(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	jars, err := os.ReadDir(good)
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, alter func(dir string) error) {
		t.Helper()
		opt := Options{CacheDir: t.TempDir()}
		dir := filepath.Join(opt.CacheDir, filepath.Base(good))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, j := range jars {
			if err := os.Symlink(filepath.Join(good, j.Name()), filepath.Join(dir, j.Name())); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := KafkaLibs(t.Context(), opt); err != nil {
			t.Fatalf("before: %v", err)
		}
		if err := alter(dir); err != nil {
			t.Fatal(err)
		}
		_, err := KafkaLibs(t.Context(), opt)
		if !errors.Is(err, ErrChecksum) && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: error %v, want ErrChecksum or that it is not there", name, err)
		}
		if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "remove "+dir) {
			t.Errorf("error does not name %s or what to do: %v", name, err)
		}
	}
	victim := jars[0].Name()
	f(victim, func(dir string) error { // one byte changed
		b, err := os.ReadFile(filepath.Join(dir, victim))
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		if err := os.Remove(filepath.Join(dir, victim)); err != nil { // a link to the good one
			return err
		}
		return os.WriteFile(filepath.Join(dir, victim), b, 0o644)
	})
	f(victim, func(dir string) error { return os.Remove(filepath.Join(dir, victim)) })
	f("evil.jar", func(dir string) error { return os.WriteFile(filepath.Join(dir, "evil.jar"), nil, 0o644) })
}
