package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownStore runs a store of the scene's own, at an address that it keeps when it is started again.
func (s *scene) ownStore() (start func() *process, q sqlEnd, passwordFile string) {
	s.t.Helper()
	addr, data := freeAddr(s.t), filepath.Join(s.dir, "store")
	cfg := s.write("store.yaml", fmt.Sprintf("data:\n  dir: %s\nclickhouse:\n  embedded_addr: %s\n", data, addr))
	passwordFile = filepath.Join(data, "store", "password")
	start = func() *process {
		p := s.launch("own-store", "store", "--config", cfg)
		s.await("the store listens", time.Minute, []*process{p}, func() (bool, string) {
			out := p.output()
			return strings.Contains(out, "reader_password_file"), out
		})
		return p
	}
	return start, sqlEnd{addr: addr, database: s.name, user: "default"}, passwordFile
}

// TestStoreGoesAndComes: the store of an engine under load hangs, is killed, comes back, has no room, and has again.
// All the while far more readings arrive than the engine may keep. It holds what its blocks and queues hold, says once
// what is the matter, and goes on by itself with nothing lost.
func TestStoreGoesAndComes(t *testing.T) {
	s := newScene(t, "away")
	n, untilMs := killedNetwork(t)
	partitions := n.Config().Partitions
	truth := truthOf(t, n, untilMs)
	sums := n.Sums(untilMs, 15*60_000)
	total := sums.Readings + sums.Duplicates

	startStore, sql, passwordFile := s.ownStore()
	store := startStore()
	var err error
	if sql.password, err = firstLine(passwordFile); err != nil {
		t.Fatal(err)
	}
	a := s.engine("a", "protobuf", partitions, "  block_rows: 500", "  block_age_max: 1s", "  blocks_per_second: 100", "  insert_backoff_max: 1s")
	a.config = s.write("a.yaml", strings.NewReplacer(
		shared.storeAddr, sql.addr, shared.passwordFile, passwordFile,
		"clickhouse:\n", "clickhouse:\n  insert_timeout: 10s\n  query_timeout: 10s\n", "kafka:\n", "kafka:\n  fetch_partition: 32KiB\n  fetch_queue: 2\n",
	).Replace(s.configText("a", a.api, "protobuf", partitions, "  block_rows: 500", "  block_age_max: 1s", "  blocks_per_second: 100", "  insert_backoff_max: 1s")))
	s.must("migrate", "--config", a.config)
	s.loadReference(n, a.config)
	a.start()
	a.ready()
	metric := func(name string) float64 {
		t.Helper()
		v, ok := a.metric(name)
		if !ok {
			t.Fatalf("no metric %s", name)
		}
		return v
	}
	says := func(state string) {
		t.Helper()
		s.await("readyz says that the store is "+state, time.Minute, []*process{a.proc}, func() (bool, string) {
			code, body := a.get("/readyz", nil)
			if state == "ok" {
				return code == http.StatusOK, body
			}
			return code == http.StatusServiceUnavailable && strings.Contains(body, "store is "+state), body
		})
		if v := metric(`wattline_end_state{end="store",state="` + state + `"}`); v != 1 {
			t.Errorf("wattline_end_state of %s is %v", state, v)
		}
	}
	durable := func() float64 { return metric("wattline_committed_offset") }

	sent := s.send(n, newProducer(t, s.kafkaClient(), s.readingsTopic(), partitions), 1800)
	s.await("a tenth is durable", time.Minute, []*process{a.proc}, func() (bool, string) {
		v, _ := a.metric("wattline_committed_offset")
		return v > float64(total)/10, fmt.Sprint(v)
	})
	before := metric("go_memstats_heap_inuse_bytes")
	if err := store.proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	says("slow")
	stalled := metric("wattline_next_offset")
	sent.wait(t)
	cpu, began := metric("process_cpu_seconds_total"), time.Now()
	time.Sleep(5 * time.Second) // for the figure below
	busy := (metric("process_cpu_seconds_total") - cpu) / time.Since(began).Seconds()
	if now := metric("wattline_next_offset"); now != stalled {
		t.Errorf("%v messages were rated when the store hung, %v later: the blocks have no bound", stalled, now)
	}
	if waiting := float64(total) - stalled; waiting < float64(total)/4 {
		t.Errorf("only %v of %d messages had to wait in Kafka: too few to show a bound", waiting, total)
	}
	heap := metric("go_memstats_heap_inuse_bytes")
	t.Logf("store hung: heap %.1f MiB before, %.1f MiB with %.0f of %d messages waiting in Kafka; engine uses %.1f %% of a core",
		before/(1<<20), heap/(1<<20), float64(total)-stalled, total, busy*100)
	if heap > before+64<<20 {
		t.Errorf("the heap grew from %.0f to %.0f bytes while the store hung", before, heap)
	}

	if err := store.kill(); err != nil {
		t.Fatal(err)
	}
	says("unreachable")
	cpu, began = metric("process_cpu_seconds_total"), time.Now()
	time.Sleep(5 * time.Second)
	t.Logf("store gone: engine uses %.1f %% of a core", (metric("process_cpu_seconds_total")-cpu)/time.Since(began).Seconds()*100)
	store = startStore()
	says("ok")
	s.await("it goes on", time.Minute, []*process{a.proc, store}, func() (bool, string) {
		v, _ := a.metric("wattline_committed_offset")
		return v > stalled, fmt.Sprint(v)
	})

	// ClickHouse's own words for a full disk, by its own guard.
	at := durable()
	sql.ask(t, "ALTER TABLE charges MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000")
	if at >= float64(total) {
		t.Fatalf("%v of %d messages were durable before the disk was full: nothing was on the way", at, total)
	}
	says("full")
	sql.ask(t, "ALTER TABLE charges RESET SETTING min_free_disk_bytes_to_perform_insert")
	says("ok")
	s.await("all is durable", 2*time.Minute, []*process{a.proc, store}, func() (bool, string) {
		v, _ := a.metric("wattline_committed_offset")
		return v == float64(total), fmt.Sprint(v)
	})

	told := 0
	for line := range strings.Lines(a.proc.output()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") || strings.Contains(line, "works again") {
			told++
			t.Log(strings.TrimSpace(line))
		}
	}
	if changes := metric(`wattline_end_changes_total{end="store"}`); told > int(changes)+4 {
		t.Errorf("%d lines for %v changes of state", told, changes)
	}
	a.stop()
	latest, summed := stored(t, sql)
	compare(t, "sessions_latest", truth, latest)
	compare(t, "sums of charges", truth, summed)
	r := s.must("verify", "--all", "--config", a.config)
	t.Logf("verify --all:\n%s", r.out)
}
