package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/wattline/wattline/connectors/kafka"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/loadgen"
)

// priced is a session as truth and store are compared.
type priced struct {
	Status                            string
	Readings                          int64
	EnergyMwh                         int64
	ChargingMs, ParkingMs, ReservedMs int64
	Currency, Excl                    string // Excl in micros; "unknown" where the tariff leaves it so
	InclMicros                        int64
}

// truthOf is what loadgen's oracle says of every session, by charge point, connector and transaction.
func truthOf(t *testing.T, n *loadgen.Network, untilMs int64) map[string]priced {
	t.Helper()
	truth := map[string]priced{}
	for s := range n.Sessions(untilMs) {
		p, err := truthOfSession(s, untilMs)
		if err != nil {
			t.Fatal(err)
		}
		truth[sessionName(s.ChargePoint, s.Connector, s.Transaction)] = p
	}
	return truth
}

// truthOfSession is the oracle's word on a session that has ended before untilMs.
func truthOfSession(s *loadgen.Session, untilMs int64) (priced, error) {
	v, err := s.Truth(untilMs)
	if err != nil {
		return priced{}, err
	}
	if !v.Finished {
		return priced{}, fmt.Errorf("session %s/%d/%s has not ended at %d", s.ChargePoint, s.Connector, s.Transaction, untilMs)
	}
	p := priced{
		Status: "COMPLETED", Readings: v.Readings, EnergyMwh: v.EnergyMwh, ChargingMs: v.ChargingMs, ParkingMs: v.ParkingMs,
		ReservedMs: v.ReservedMs, Currency: s.Tariff.Currency, Excl: "unknown", InclMicros: v.InclMicros,
	}
	if !v.ExclUnknown {
		p.Excl = strconv.FormatInt(v.ExclMicros, 10)
	}
	return p, nil
}

func sessionName(chargePoint string, connector int32, transaction string) string {
	return fmt.Sprintf("%s/%d/%s", chargePoint, connector, transaction)
}

// stored reads the same from ClickHouse, once as sessions_latest tells it and once as the rows of charges add up.
// Times and readings are not in the rows; they are copied from the other.
func stored(t *testing.T, q sqlEnd) (latest, summed map[string]priced) {
	t.Helper()
	out := q.ask(t, `SELECT l.charge_point, l.connector, l.transaction, toString(l.status) AS status, toInt64(l.readings) AS readings,
		toInt64(l.energy_kwh * 1000000) AS energy, toInt64(l.charging_s * 1000) AS charging, toInt64(l.parking_s * 1000) AS parking,
		toInt64(l.reservation_s * 1000) AS reserved, l.currency AS currency,
		ifNull(toString(toInt64(l.excl * 1000000)), 'unknown') AS excl, toInt64(l.incl * 1000000) AS incl,
		c.energy AS row_energy, if(c.known = c.rows, toString(c.excl), 'unknown') AS row_excl, c.incl AS row_incl
	FROM sessions_latest AS l LEFT JOIN (
		SELECT session_id, sumIf(energy_mwh, kind = 'usage') AS energy, count() AS rows, count(excl_micros) AS known,
			ifNull(sum(excl_micros), 0) AS excl, sum(incl_micros) AS incl
		FROM charges GROUP BY session_id) AS c ON c.session_id = l.session_id
	ORDER BY ALL FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0`)
	latest, summed = map[string]priced{}, map[string]priced{}
	for line := range strings.Lines(out) {
		var r struct {
			ChargePoint                                   string `json:"charge_point"`
			Connector                                     int32
			Transaction                                   string
			Status                                        string
			Readings, Energy, Charging, Parking, Reserved int64
			Currency, Excl                                string
			Incl                                          int64
			RowEnergy                                     int64  `json:"row_energy"`
			RowExcl                                       string `json:"row_excl"`
			RowIncl                                       int64  `json:"row_incl"`
		}
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		name := sessionName(r.ChargePoint, r.Connector, r.Transaction)
		if _, ok := latest[name]; ok {
			t.Errorf("sessions_latest has %s twice", name)
		}
		p := priced{
			Status: r.Status, Readings: r.Readings, EnergyMwh: r.Energy, ChargingMs: r.Charging, ParkingMs: r.Parking,
			ReservedMs: r.Reserved, Currency: r.Currency, Excl: r.Excl, InclMicros: r.Incl,
		}
		latest[name] = p
		p.EnergyMwh, p.Excl, p.InclMicros = r.RowEnergy, r.RowExcl, r.RowIncl
		summed[name] = p
	}
	return latest, summed
}

// compare fails with the first sessions that differ.
func compare(t *testing.T, what string, want, got map[string]priced) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		lines := strings.SplitAfterN(d, "\n", 60)
		t.Errorf("%s differ from the truth (-truth +%s):\n%s", what, what, strings.Join(lines[:len(lines)-1], ""))
	}
}

// durable is how many readings are in finished blocks.
func (s *scene) durable() int64 {
	s.t.Helper()
	n, err := strconv.ParseInt(s.ask("SELECT sum(readings) FROM blocks"), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// awaitDurable waits until share percent of total readings are in finished blocks, and returns how many.
func (s *scene) awaitDurable(share, total int64, running ...*engineNode) int64 {
	s.t.Helper()
	var n int64
	s.await(fmt.Sprintf("%d %% of %d readings durable", share, total), 90*time.Second, runningEngines(running...), func() (bool, string) {
		n = s.durable()
		return n*100 >= total*share, fmt.Sprintf("%d readings durable", n)
	})
	return n
}

// loadReference publishes the network's tariffs and locations with the command that an operator uses.
func (s *scene) loadReference(n *loadgen.Network, config string) {
	s.t.Helper()
	dir := s.dir + "/reference"
	if err := n.WriteReference(dir); err != nil {
		s.t.Fatal(err)
	}
	s.must("reference", "load", "--config", config, dir)
}

// sending is a loadgen run in the background.
type sending struct {
	done     chan struct{}
	progress loadgen.Progress
	err      error
	cancel   context.CancelFunc
}

// send produces the whole network at speed simulated seconds a second. It ends with the test.
func (s *scene) send(n *loadgen.Network, p loadgen.Producer, speed int64) *sending {
	ctx, cancel := context.WithCancel(s.ctx)
	r := &sending{done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(r.done)
		r.progress, r.err = loadgen.Run(ctx, loadgen.RunConfig{Network: n, Speed: speed, Clock: systemClock{}}, p)
	}()
	s.t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// wait returns when everything is acknowledged.
func (r *sending) wait(t *testing.T) loadgen.Progress {
	t.Helper()
	<-r.done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.progress
}

// killedNetwork has sessions of all kinds, all of which end: 296,000 readings in six hours.
func killedNetwork(t *testing.T) (n *loadgen.Network, untilMs int64) {
	t.Helper()
	cfg := loadgen.City()
	cfg.Seed, cfg.ChargePoints, cfg.Partitions = 20261124, 1000, 8
	cfg.EndMs = cfg.EpochMs + 6*3_600_000
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n, cfg.EndMs + cfg.TickMs
}

// TestTwoEnginesOneKilled: two engines of one group rate a network while one is killed, twice, and the other stopped
// in order. The truth is known before.
func TestTwoEnginesOneKilled(t *testing.T) {
	s := newScene(t, "killed")
	n, untilMs := killedNetwork(t)
	partitions := n.Config().Partitions
	truth := truthOf(t, n, untilMs)
	sums := n.Sums(untilMs, 15*60_000)
	total := sums.Readings + sums.Duplicates
	if total < 200_000 {
		t.Fatalf("the network has %d readings, want 200,000 at least", total)
	}

	// A snapshot for each 0.1 s of rating makes recoveries that load one and replay on top of it. Engine b leaves the
	// group when it stops, so its partitions go to a and come back; engine a keeps them, so they wait for it.
	more := []string{"  snapshot_replay: 100ms", "  block_age_max: 1s", "  blocks_per_second: 100"}
	a := s.engine("a", "protobuf", partitions, more...)
	b := s.engine("b", "protobuf", partitions, more...)
	b.config = s.write("b.yaml", strings.Replace(s.configText("b", b.api, "protobuf", partitions, more...), "kafka:\n", "kafka:\n  leave_on_stop: true\n", 1))
	s.must("migrate", "--config", a.config)
	s.loadReference(n, a.config)
	a.start()
	b.start()
	a.ready()
	b.ready()

	began := time.Now()
	client := s.kafkaClient()
	sent := s.send(n, newProducer(t, client, s.readingsTopic(), partitions), 1800)
	point := func(share int64, what string) {
		at := s.awaitDurable(share, total, a, b)
		if at*100 > total*95 {
			t.Fatalf("%s came when %d of %d readings were durable: nothing was on the way", what, at, total)
		}
		t.Logf("%5.1f s: %s at %d of %d readings", time.Since(began).Seconds(), what, at, total)
	}
	point(15, "kill -9 a, between rows and commit,")
	frozen := s.freezeCommits(partitions, a, b)
	a.kill()
	frozen.thaw()
	a.start()
	t.Logf("%5.1f s: the blocks of %d partitions were in the store and not committed", time.Since(began).Seconds(), frozen.partitions)
	point(40, "SIGTERM b")
	t.Logf("b stopped in %v", b.stop().Round(time.Millisecond))
	b.start()
	point(65, "kill -9 b")
	b.kill()
	b.start()
	point(80, "kill -9 a")
	a.kill()
	a.start()

	progress := sent.wait(t)
	if progress.Records != total || progress.Duplicates != sums.Duplicates {
		t.Errorf("%d records sent, %d of them duplicates; the network has %d and %d", progress.Records, progress.Duplicates, total, sums.Duplicates)
	}
	s.awaitDurable(100, total, a, b)
	took := time.Since(began)
	if got := s.durable(); got != total {
		t.Errorf("blocks have %d readings, sent were %d", got, total)
	}
	a.ready()
	b.ready()
	stops := []time.Duration{a.stop(), b.stop()}
	t.Logf("%d readings of %d sessions rated in %.1f s (produced in %.1f s), 3 kills -9, 1 stop; clean stops at the end %v",
		total, len(truth), took.Seconds(), progress.Elapsed.Seconds(), stops)

	latest, summed := stored(t, s.sql())
	compare(t, "sessions_latest", truth, latest)
	compare(t, "sums of charges", truth, summed)
	s.checkRows(&sums)
	store := s.openStore()
	if equal, detail, err := store.ProjectionsEqual(s.ctx); err != nil || !equal {
		t.Errorf("projections: equal %v, %s, %v", equal, detail, err)
	}
	if list := s.rejects(client); len(list) > 0 {
		t.Errorf("%d rejects, the first: %s", len(list), list[0])
	}
	began = time.Now()
	r := s.must("verify", "--all", "--config", a.config)
	t.Logf("verify --all in %.1f s:\n%s", time.Since(began).Seconds(), r.out)
	t.Run("verify finds", func(t *testing.T) { verifyFinds(t, s, a.config) })
}

// checkRows compares the whole ledger with the fast pricer's rows: their number shows slices cut where they should be.
func (s *scene) checkRows(want *loadgen.Sums) {
	s.t.Helper()
	got := s.ask("SELECT count(), sum(energy_mwh), sum(duration_ms), sum(excl_micros), sum(incl_micros) FROM charges")
	if w := fmt.Sprintf("%d\t%d\t%d\t%d\t%d", want.Rows, want.RowsEnergyMwh, want.RowsDurationMs, want.RowsExclMicros, want.RowsInclMicros); got != w {
		s.t.Errorf("rows, energy, duration, excl, incl of charges: %s, want %s", got, w)
	}
	if got := s.ask("SELECT count() - countDistinct(session_id, position, line) FROM charges"); got != "0" {
		s.t.Errorf("%s rows of charges have the (session, position, line) of another", got)
	}
	if got := s.ask("SELECT sum(rejects) FROM blocks"); got != "0" {
		s.t.Errorf("blocks count %s rejects", got)
	}
}

// frozenBroker is a broker that stands still.
type frozenBroker struct {
	s          *scene
	partitions int // that have a block whose rows are all in the store while its offset is not committed
}

// freezeCommits stops the world where it is most dangerous to be killed: blocks are planned, their rows and their own
// row are in the store, and no engine has been told that a later commit is through. First the store stands still until
// most partitions have a plan that it does not serve; then the broker does, and the store works these plans off.
func (s *scene) freezeCommits(partitions int32, engines ...*engineNode) *frozenBroker {
	s.t.Helper()
	running := runningEngines(engines...)
	// An engine that is still recovering a partition makes no plan of it.
	s.await("a block of every partition", 30*time.Second, running, func() (bool, string) {
		n := s.ask("SELECT uniqExact(partition) FROM blocks")
		return n == strconv.Itoa(int(partitions)), n + " partitions"
	})
	s.freeze(shared.store.pid)
	var plans map[int32][]engine.Plan
	s.await("plans of most partitions while the store stands still", 30*time.Second, running, func() (bool, string) {
		plans = s.plans(partitions)
		return len(plans) > int(partitions)/2, fmt.Sprintf("%v", plans)
	})
	// What a block tells others goes before its rows: it has to be through before the broker stands still.
	client, told, since := s.kafkaClient(), int64(-1), time.Now()
	s.await("CDRs of the planned blocks", 30*time.Second, running, func() (bool, string) {
		if n := s.numCDRs(client, partitions); n != told {
			told, since = n, time.Now()
		}
		return time.Since(since) > 2*time.Second, fmt.Sprintf("%d, the last one %v ago", told, time.Since(since))
	})
	s.freeze(shared.kafka.Pid())
	s.thaw(shared.store.pid)
	f := &frozenBroker{s: s, partitions: len(plans)}
	s.await("rows of the planned blocks", 30*time.Second, running, func() (bool, string) {
		missing := []string{}
		for partition, list := range plans {
			for _, p := range list {
				if s.ask(fmt.Sprintf("SELECT count() FROM blocks WHERE partition = %d AND block_first = %d AND block_last = %d", partition, p.First, p.Last)) != "1" {
					missing = append(missing, fmt.Sprintf("%d: %d to %d", partition, p.First, p.Last))
				}
			}
		}
		return len(missing) == 0, fmt.Sprintf("missing %q", missing)
	})
	return f
}

// numCDRs is how many records the topic of CDRs has.
func (s *scene) numCDRs(client *kafka.Client, partitions int32) (n int64) {
	s.t.Helper()
	for p := range partitions {
		end, err := client.ReadLog(s.ctx, s.cdrsTopic(), p, 0, func(engine.Record) error { return nil })
		if err != nil {
			s.t.Fatal(err)
		}
		n += end
	}
	return n
}

// thaw lets the broker go on.
func (f *frozenBroker) thaw() {
	f.s.t.Helper()
	f.s.thaw(shared.kafka.Pid())
}

// freeze is kill -STOP of one of our own processes; it goes on at the end of the test at the latest.
func (s *scene) freeze(pid int) {
	s.t.Helper()
	s.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) thaw(pid int) {
	s.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		s.t.Fatal(err)
	}
}

// commits reads what the group has committed, by partition; those without a commit of ours are not in it.
func (s *scene) commits(partitions int32) map[int32]engine.Commit {
	s.t.Helper()
	var numbers []int
	for i := range int(partitions) {
		numbers = append(numbers, i)
	}
	client := kafkago.Client{Addr: kafkago.TCP(shared.kafka.Addr()), Timeout: 10 * time.Second}
	res, err := client.OffsetFetch(s.ctx, &kafkago.OffsetFetchRequest{GroupID: s.name, Topics: map[string][]int{s.readingsTopic(): numbers}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		s.t.Fatal(err)
	}
	commits := map[int32]engine.Commit{}
	for _, p := range res.Topics[s.readingsTopic()] {
		if p.Error != nil {
			s.t.Fatal(p.Error)
		}
		if p.Metadata != "" {
			commits[int32(p.Partition)] = engine.Commit{Offset: p.CommittedOffset, Metadata: p.Metadata}
		}
	}
	return commits
}

// plans are the plans beside the committed offsets, by partition; those without a plan are not in it.
func (s *scene) plans(partitions int32) map[int32][]engine.Plan {
	s.t.Helper()
	plans := map[int32][]engine.Plan{}
	for number, c := range s.commits(partitions) {
		m, err := engine.ParseMetadata(c.Metadata)
		if err != nil {
			s.t.Fatalf("metadata of partition %d: %v", number, err)
		}
		if len(m.Plans) > 0 {
			plans[number] = m.Plans
		}
	}
	return plans
}

// verifyFinds: what an operator, or a fault of the store, changes behind our back is found and named.
func verifyFinds(t *testing.T, s *scene, config string) {
	row := strings.Split(s.ask(`SELECT session_id, position, line, partition, block_first FROM charges
		WHERE kind = 'usage' AND incl_micros > 0 ORDER BY cityHash64(session_id, position, line) LIMIT 1`), "\t")
	session, where := row[0], fmt.Sprintf("session_id = '%s' AND position = %s AND line = %s", row[0], row[1], row[2])
	finds := func(what string, names ...string) {
		t.Helper()
		r := s.run("verify", "--all", "--config", config)
		if r.code != 1 {
			t.Fatalf("verify after %s: %v", what, r)
		}
		for _, name := range names {
			if !strings.Contains(r.out+r.err, name) {
				t.Errorf("verify after %s does not name %q:\n%s%s", what, name, r.out, r.err)
			}
		}
		t.Logf("verify after %s:\n%s", what, r.out)
	}
	alter := func(statement string) {
		t.Helper()
		s.ask("ALTER TABLE charges " + statement + " SETTINGS mutations_sync = 2")
	}
	alter("UPDATE incl_micros = incl_micros + 1 WHERE " + where)
	finds("one micro more", row[4], session)
	alter("UPDATE incl_micros = incl_micros - 1 WHERE " + where)
	if r := s.run("verify", "--all", "--config", config); r.code != 0 {
		t.Errorf("verify after the micro was taken off again: %v", r)
	}
	alter("DELETE WHERE " + where)
	finds("a row was deleted", row[4], session)
}
