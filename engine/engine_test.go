package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wattline/wattline/rating"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	t0    = int64(1_750_000_000_000) // 2025-06-15T15:06:40Z
	kwh   = int64(1_000_000)
	noReg = rating.Unknown
	noSeq = rating.Unknown
)

var readings = Partition{Topic: "readings", Number: 0}

// testTariff costs 0.30 a kWh, 0.10 more from 16:00 local, and 1.00 an hour of parking.
func testTariff(id string, day, night int64) *rating.Tariff {
	from16 := rating.Unrestricted()
	from16.StartTimeMin = 16 * 60
	parts := func(price int64) []rating.Component {
		return []rating.Component{
			{Dimension: rating.Energy, PriceNano: price, VAT: 2100, StepSize: 1},
			{Dimension: rating.ParkingTime, PriceNano: 1_000_000_000, VAT: 2100, StepSize: 60},
		}
	}
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	return &rating.Tariff{
		CountryCode: "NL", PartyID: "WTL", ID: id, Currency: "EUR", Min: none, Max: none,
		Elements: []rating.Element{
			{Components: parts(night), Restrictions: from16},
			{Components: parts(day), Restrictions: rating.Unrestricted()},
		},
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
	}
}

func testLocation(id, tariff string, uids ...string) *rating.Location {
	l := &rating.Location{
		CountryCode: "NL", PartyID: "WTL", ID: id, Zone: "Europe/Amsterdam", Country: "NLD", LastUpdatedMs: rating.Unknown,
		Name: "Test", Address: "Dam 1", City: "Amsterdam", Latitude: "52.37302", Longitude: "4.89305",
	}
	for _, uid := range uids {
		e := rating.EVSE{UID: uid, ID: "NL*WTL*E" + uid}
		for _, number := range []string{"1", "2"} {
			e.Connectors = append(e.Connectors, rating.Connector{
				ID: number, MaxPowerW: 22_000, TariffIDs: []string{tariff}, Standard: "IEC_62196_T2", Format: "SOCKET", PowerType: "AC_3_PHASE",
			})
		}
		l.EVSEs = append(l.EVSEs, e)
	}
	return l
}

func publishBasics(w *world, refs *[]ReferenceRecord, uids ...string) {
	key := HashKey{1, 2, 3}
	w.publish(refs, ReferenceRecord{HashKey: &key})
	publishTariff(w, refs, testTariff("T1", 300_000_000, 400_000_000))
	l := testLocation("L1", "T1", uids...)
	w.publish(refs, ReferenceRecord{LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L1"}, Location: l})
}

func publishTariff(w *world, refs *[]ReferenceRecord, t *rating.Tariff) {
	w.publish(refs, ReferenceRecord{TariffKey: rating.TariffKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID}, Tariff: t})
}

// runUntil runs the engine until all messages are committed, or it failed for good.
func runUntil(t testing.TB, w *world, e *Engine, parts ...Partition) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	deadline := time.After(20 * time.Second)
	wait := func() error {
		for {
			select {
			case err := <-done:
				return err
			case <-time.After(2 * time.Millisecond):
				w.mu.Lock()
				dead := w.dead
				w.mu.Unlock()
				if dead {
					e.kill()
				}
			}
		}
	}
	for {
		select {
		case err := <-done:
			return err
		case <-deadline:
			cancel()
			t.Log(<-done)
			t.Fatalf("not done after 20 s: %+v, ready: %v", e.Stats(), e.Ready())
		case <-time.After(2 * time.Millisecond):
		}
		w.mu.Lock()
		all, dead := true, w.dead
		for _, p := range parts {
			all = all && w.commits[p].Offset == int64(len(w.logs[p.String()]))
		}
		w.mu.Unlock()
		if err := e.Ready(); err != nil && strings.Contains(err.Error(), "halted") {
			cancel()
			t.Fatal(errors.Join(err, <-done))
		}
		if all || dead {
			cancel()
			return wait()
		}
	}
}

// kill is what kill -9 leaves: nobody closes anything.
func (e *Engine) kill() {
	e.mu.Lock()
	parts := make([]*partition, 0, len(e.parts))
	for p, c := range e.parts {
		c.cancel(context.Canceled)
		parts = append(parts, c)
		delete(e.parts, p)
	}
	e.mu.Unlock()
	for _, c := range parts {
		<-c.ended
	}
}

func meter(at, reg, seq int64) message {
	return message{Kind: rating.KindMeter, CP: "CP1", Tx: "7", Conn: 1, At: at, Reg: reg, Seq: seq}
}

// TestReadings: what is seen in real meter data becomes the right energy and the right flags (issue 3, edge.yaml
// "ingest"). Amounts follow from the energy; package rating has their tests.
func TestReadings(t *testing.T) {
	f := func(name string, send func(w *world), want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			w := newWorld(1)
			var refs []ReferenceRecord
			publishBasics(w, &refs, "CP1")
			send(w)
			if err := runUntil(t, w, w.engine(t, testConfig(), &refs, readings), readings); err != nil {
				t.Fatal(err)
			}
			var got []string
			for id, s := range w.sessions {
				energy := int64(0)
				for _, c := range w.charges {
					if fmt.Sprintf("%x", c.id) == id && c.c.Kind == rating.ChargeUsage {
						energy += c.c.EnergyMwh
					}
				}
				got = append(got, fmt.Sprintf("tx %s status %d: %d Wh, rows %d Wh, flags [%s]", s.tx, s.status, s.total.EnergyMwh/1000, energy/1000, flagNames(s.flags)))
			}
			for _, r := range w.reject {
				got = append(got, "reject "+r[strings.Index(r, "reason")+9:])
			}
			sort.Strings(got)
			if diff := cmp.Diff(strings.TrimSpace(want), strings.Join(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
	at := func(min int64) int64 { return t0 + min*minuteMs }
	each := func(w *world, ms ...message) {
		for _, m := range ms {
			w.send(readings, m.At+500, m)
		}
	}
	start := func(reg int64) message {
		m := meter(at(0), reg, 0)
		m.Kind = rating.KindStart
		return m
	}
	stop := func(min, reg, seq int64) message {
		m := meter(at(min), reg, seq)
		m.Kind = rating.KindStop
		return m
	}

	f("plain", func(w *world) {
		each(w, start(kwh), meter(at(10), 2*kwh, 1), meter(at(20), 3*kwh, 2), stop(30, 4*kwh, 3))
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags []")

	// ing-01
	f("duplicates", func(w *world) {
		each(w, start(kwh), meter(at(10), 2*kwh, 1), meter(at(10), 2*kwh, 1), meter(at(20), 3*kwh, 2), meter(at(10), 2*kwh, 1), stop(30, 4*kwh, 3), stop(30, 4*kwh, 3))
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags [duplicate]")

	f("duplicates without sequence numbers", func(w *world) {
		each(w, start(kwh), meter(at(10), 2*kwh, noSeq), meter(at(10), 2*kwh, noSeq), meter(at(20), 3*kwh, noSeq), meter(at(10), 2*kwh, noSeq), stop(30, 4*kwh, noSeq))
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags [duplicate]")

	// ing-02: 10:10 after 10:20. The register is cumulative: inside an uncut interval nothing changes.
	f("late inside an uncut interval", func(w *world) {
		each(w, start(kwh), meter(at(5), 3*kwh, 2), meter(at(3), 2*kwh, 1), stop(30, 4*kwh, 3))
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags []")

	f("late beyond the last interval is flagged", func(w *world) {
		each(w, start(kwh), meter(at(20), 3*kwh, 2), meter(at(25), 4*kwh, 3), meter(at(3), 2*kwh, 1), stop(30, 4*kwh, 4))
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags [disorder]")

	// ing-03
	f("offline replay", func(w *world) {
		for _, m := range []message{start(kwh), meter(at(10), 2*kwh, 1), meter(at(20), 3*kwh, 2), stop(30, 4*kwh, 3)} {
			w.send(readings, at(180), m)
		}
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags [late]")

	// ing-04
	f("lost stop: the next start closes", func(w *world) {
		next := start(4 * kwh)
		next.Tx, next.At = "8", at(120)
		end := stop(130, 5*kwh, 1)
		end.Tx = "8"
		each(w, start(kwh), meter(at(10), 3*kwh, 1), next, end)
	}, "tx 7 status 4: 2000 Wh, rows 2000 Wh, flags [no_stop]\ntx 8 status 3: 1000 Wh, rows 1000 Wh, flags []")

	f("lost stop: the watermark closes, a late stop is flagged", func(w *world) {
		each(w, start(kwh), meter(at(10), 3*kwh, 1))
		w.send(readings, at(200), message{Kind: rating.KindStatus, CP: "CP2", Conn: 1, At: at(200), Reg: noReg, Seq: noSeq})
		w.send(readings, at(201), stop(30, 4*kwh, 2))
	}, "tx 7 status 4: 2000 Wh, rows 2000 Wh, flags [disorder,no_stop]")

	// ing-05
	f("meterStop -1", func(w *world) {
		m := stop(30, noReg, 3)
		m.Flags = rating.ReadingStopUnknown
		each(w, start(kwh), meter(at(10), 2*kwh, 1), meter(at(20), 3*kwh, 2), m)
	}, "tx 7 status 3: 2000 Wh, rows 2000 Wh, flags [stop_unknown]")

	// ing-06
	f("1970", func(w *world) {
		m := meter(0, 2*kwh, 1)
		w.send(readings, at(0), start(kwh))
		w.send(readings, at(10), m)
		w.send(readings, at(30), stop(30, 4*kwh, 3))
	}, "reject time 0 ms is before 2010 or more than 24 h ahead of its record at 1750000600000 ms\"}\ntx 7 status 3: 3000 Wh, rows 3000 Wh, flags []")

	// ing-07: 41.12 then 82.30 without a unit on a 22 kW connector over two hours.
	f("kWh as Wh", func(w *world) {
		a, b := start(41_120), stop(120, 82_300, 3)
		a.Flags, b.Flags = rating.ReadingUnitGuessed, rating.ReadingUnitGuessed
		each(w, a, meter(at(50), 60_000, 1), meter(at(100), 78_000, 2), b)
	}, "tx 7 status 3: 41 Wh, rows 41 Wh, flags [unit]")

	// ing-08
	f("reset by reboot", func(w *world) {
		each(w, start(1000*kwh), meter(at(10), 1005*kwh, 1), meter(at(20), 0, 2), stop(30, 3*kwh, 3))
	}, "tx 7 status 3: 8000 Wh, rows 8000 Wh, flags [reset]")

	f("glitch", func(w *world) {
		each(w, start(100*kwh), meter(at(10), 101*kwh, 1), meter(at(20), 100*kwh+kwh/2, 2), stop(30, 102*kwh, 3))
	}, "tx 7 status 3: 2000 Wh, rows 2000 Wh, flags [glitch]")

	// ing-09
	f("tail energy after the stop", func(w *world) {
		tail := message{Kind: rating.KindMeter, CP: "CP1", Conn: 1, At: at(31), Reg: 2_259_992_100, Seq: noSeq}
		next := start(2_259_993_000)
		next.Tx, next.At = "8", at(60)
		end := stop(70, 2_260_993_000, 1)
		end.Tx = "8"
		each(w, start(2_258_988_000), stop(30, 2_259_988_000, 1), tail, next, end)
	}, "tx 7 status 3: 1000 Wh, rows 1000 Wh, flags []\ntx 8 status 3: 1000 Wh, rows 1000 Wh, flags []")

	f("resolution", func(w *world) {
		m := meter(at(10), 3_051_110_000, 1)
		m.Res = 10_000
		each(w, start(3_051_113_000), m, stop(30, 3_051_361_000, 2))
	}, "tx 7 status 3: 248 Wh, rows 248 Wh, flags [resolution]")

	f("a stop forever", func(w *world) {
		each(w, start(kwh), stop(30, 4*kwh, 3))
		for i := range int64(3) {
			m := stop(30, 4*kwh, 3)
			w.send(readings, at(40+i), m)
		}
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags []")

	f("a begin value is never the newest", func(w *world) {
		b := meter(at(10), 0, noSeq)
		b.Context = rating.ContextBegin
		each(w, meter(at(0), 0, noSeq), b, meter(at(10), 37_000, noSeq), b, meter(at(20), 74_000, noSeq))
	}, "tx 7 status 2: 37 Wh, rows 30 Wh, flags [no_start]")

	f("an end value waits for the stop", func(w *world) {
		e := meter(at(31), 9*kwh, noSeq)
		e.Context = rating.ContextEnd
		each(w, start(kwh), e, stop(30, 4*kwh, noSeq))
	}, "tx 7 status 3: 3000 Wh, rows 3000 Wh, flags [after_end]")

	f("OCPP 1.6: the answer names the transaction", func(w *world) {
		s := start(kwh)
		s.Tx, s.MsgID, s.Seq = "", "m1", noSeq
		a := message{Kind: rating.KindAnswer, CP: "CP1", MsgID: "m1", Tx: "99", At: noReg, Reg: noReg, Seq: noSeq}
		m := meter(at(10), 2*kwh, noSeq)
		m.Tx = "99"
		e := stop(30, 4*kwh, noSeq)
		e.Tx, e.Conn = "99", 0
		w.send(readings, at(0), s)
		w.send(readings, at(0), a)
		each(w, m, e)
	}, "tx 99 status 3: 3000 Wh, rows 3000 Wh, flags []")

	// ABB Terra AC: 200 Wh, 1,634 W, 447 s after the unix time that its transaction id is.
	f("a register that counts from the session's start", func(w *world) {
		m := meter(1_632_332_565_000, 200_000, noSeq)
		m.Tx, m.Power = "1632332118", 1_634_000_000
		e := m
		e.Kind, e.At, e.Reg = rating.KindStop, m.At+60_000, 230_000
		each(w, m, e)
	}, "tx 1632332118 status 3: 230 Wh, rows 230 Wh, flags [no_start,session_register]")

	f("a register that does not", func(w *world) {
		m := meter(1_632_332_565_000, 51_608_500, noSeq)
		m.Tx, m.Power = "1632332118", 1_634_000_000
		e := m
		e.Kind, e.At, e.Reg = rating.KindStop, m.At+60_000, 51_638_500
		each(w, m, e)
	}, "tx 1632332118 status 3: 30 Wh, rows 30 Wh, flags [no_start]")

	// The central system's counter starts anew: the same id is another session.
	f("a transaction id used again", func(w *world) {
		again := func(m message, min int64, tx string) message {
			m.At, m.Tx, m.Seq = at(min), tx, noSeq
			return m
		}
		each(w, start(kwh), stop(30, 4*kwh, 3), again(start(4*kwh), 60, "8"), again(stop(0, 5*kwh, 0), 70, "8"),
			again(start(5*kwh), 80, "7"), again(stop(0, 7*kwh, 0), 90, "7"))
	}, "tx 7 status 3: 2000 Wh, rows 2000 Wh, flags []\ntx 7 status 3: 3000 Wh, rows 3000 Wh, flags []\ntx 8 status 3: 1000 Wh, rows 1000 Wh, flags []")

	f("a stop of nobody", func(w *world) { each(w, stop(30, 4*kwh, 1)) },
		`reject stop of a session that was never seen, or ended before the last one"}`)

	f("unknown charge point is held", func(w *world) {
		a, b := start(kwh), stop(30, 4*kwh, 1)
		a.CP, b.CP = "CP9", "CP9"
		each(w, a, b)
	}, "tx 7 status 5: 3000 Wh, rows 0 Wh, flags [held]")

	f("not decodable", func(w *world) {
		w.mu.Lock()
		w.append(readings.Topic, readings.Number, Record{TimestampMs: t0, Value: []byte("{")})
		w.mu.Unlock()
		each(w, start(kwh), stop(30, 4*kwh, 3))
	}, "reject unexpected end of JSON input\"}\ntx 7 status 3: 3000 Wh, rows 3000 Wh, flags []")
}

func flagNames(f SessionFlags) string { return strings.Join(f.Names(), ",") }

// traffic sends seeded sessions of many kinds, out of order, doubled, cut off.
func traffic(w *world, seed uint64, parts []Partition) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	for si := range 60 {
		p := parts[si%len(parts)]
		cp, at, reg := fmt.Sprintf("CP%d", si%12), t0+int64(si/12)*90*minuteMs+rnd.Int64N(5*minuteMs), rnd.Int64N(1000)*kwh
		seq := int64(0)
		var ms []message
		put := func(k rating.Kind, st rating.ChargeState) {
			ms = append(ms, message{Kind: k, CP: cp, Tx: fmt.Sprint(si), Conn: 1, At: at, Reg: reg, Seq: seq, State: st})
			seq++
			at += rnd.Int64N(6 * minuteMs)
			reg += rnd.Int64N(kwh)
		}
		put(rating.KindStart, rating.StateCharging)
		for range 4 + rnd.IntN(12) {
			put(rating.KindMeter, []rating.ChargeState{0, 0, 0, rating.StateSuspendedEV, rating.StateCharging}[rnd.IntN(5)])
		}
		if rnd.IntN(6) > 0 {
			put(rating.KindStop, rating.StateIdle)
		}
		for i, m := range ms {
			w.send(p, m.At+1000, m)
			if rnd.IntN(10) == 0 {
				w.send(p, m.At+1500, ms[rnd.IntN(i+1)])
			}
			if rnd.IntN(40) == 0 {
				w.append(p.Topic, p.Number, Record{TimestampMs: m.At, Value: []byte("nonsense")})
			}
		}
	}
}

// result is all that must not depend on how the engine ran.
func (w *world) result() []string {
	var out []string
	seen := map[string]int{}
	for _, c := range w.charges {
		out = append(out, "charge "+c.key+" "+c.text)
		seen[c.key]++
	}
	for k, n := range seen {
		if n > 1 {
			out = append(out, fmt.Sprintf("DOUBLE %s x %d", k, n))
		}
	}
	for id, s := range w.sessions {
		out = append(out, fmt.Sprintf("session %s %d %s", id, s.version, s.text))
	}
	for k, v := range w.reject {
		out = append(out, "reject "+k+" "+v)
	}
	for k, v := range w.cdrs {
		out = append(out, "cdr "+k+" "+v)
	}
	slices.Sort(out)
	return out
}

// TestCrashAnywhere: whatever fails, and wherever the process dies, the rows, versions and rejects are those of a
// run without faults (I1, I4, I5, I7).
func TestCrashAnywhere(t *testing.T) {
	parts := []Partition{{"readings", 0}, {"readings", 1}}
	deaths := 0
	run := func(seed uint64, faults float64, crashes int) []string {
		w := newWorld(seed)
		var refs []ReferenceRecord
		var uids []string
		for i := range 12 {
			uids = append(uids, fmt.Sprintf("CP%d", i))
		}
		publishBasics(w, &refs, uids...)
		traffic(w, 7, parts)
		rnd := rand.New(rand.NewPCG(seed, 3))
		cfg := testConfig()
		if crashes > 0 {
			cfg.BlockOffsets, cfg.SnapshotReplay = int64(100+rnd.IntN(300)), time.Duration(rnd.IntN(200)+1)*time.Microsecond
			cfg.SnapshotChunk = 4096
			w.batch = 1 + rnd.IntN(200)
		}
		w.faults = faults
		for range crashes {
			w.crash = rnd.IntN(30)
			_ = runUntil(t, w, w.engine(t, cfg, &refs, parts...), parts...) // how a killed engine ends does not matter
			if !w.dead {
				break
			}
			deaths++
			w.dead, w.crash = false, -1
		}
		w.crash = -1
		w.dead = false
		if err := runUntil(t, w, w.engine(t, cfg, &refs, parts...), parts...); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w.checkTiles(t, seed)
		return w.result()
	}
	want := run(0, 0, 0)
	for seed := uint64(1); seed <= 60; seed++ {
		if diff := cmp.Diff(want, run(seed, 0.1, 6)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	if deaths < 80 {
		t.Errorf("only %d of the runs died: the test proves little", deaths)
	}
}

func (w *world) checkTiles(t *testing.T, seed uint64) {
	t.Helper()
	next := map[Partition]int64{}
	slices.SortFunc(w.blocks, func(a, b BlockRow) int { return int(a.First - b.First) })
	for _, b := range w.blocks {
		if b.First != next[b.Partition] {
			t.Errorf("seed %d: block of %s begins at %d, want %d (I7)", seed, b.Partition, b.First, next[b.Partition])
		}
		next[b.Partition] = b.Last + 1
	}
}

// TestHeldIsPricedLater: a session whose charger comes into the book after it ended is priced once, as if the
// charger had been known.
func TestHeldIsPricedLater(t *testing.T) {
	for _, crashes := range []int{0, 5} {
		w := newWorld(uint64(11 + crashes))
		var refs []ReferenceRecord
		publishBasics(w, &refs, "CP1")
		cfg := testConfig()
		s := message{Kind: rating.KindStart, CP: "CP9", Tx: "1", Conn: 1, At: t0, Reg: 0, Seq: 0}
		m, e := s, s
		m.Kind, m.At, m.Reg, m.Seq = rating.KindMeter, t0+10*minuteMs, kwh, 1
		e.Kind, e.At, e.Reg, e.Seq = rating.KindStop, t0+20*minuteMs, 2*kwh, 2
		for _, x := range []message{s, m, e} {
			w.send(readings, x.At, x)
		}
		if err := runUntil(t, w, w.engine(t, cfg, &refs, readings), readings); err != nil {
			t.Fatal(err)
		}
		if n := len(w.charges); n != 0 {
			t.Fatalf("%d rows of a held session", n)
		}
		l := testLocation("L2", "T1", "CP9")
		w.publish(&refs, ReferenceRecord{LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: l})
		w.send(readings, e.At+1000, message{Kind: rating.KindStatus, CP: "CP1", Conn: 1, At: e.At, Reg: noReg, Seq: noSeq})
		for range crashes {
			w.crash = w.rnd.IntN(12)
			if runUntil(t, w, w.engine(t, cfg, &refs, readings), readings) == nil {
				break
			}
			w.dead, w.crash = false, -1
		}
		w.dead, w.crash = false, -1
		if err := runUntil(t, w, w.engine(t, cfg, &refs, readings), readings); err != nil {
			t.Fatal(err)
		}
		incl := int64(0)
		for _, c := range w.charges {
			incl += c.c.InclMicros
		}
		for _, s := range w.sessions {
			// 2 kWh after 16:00 local (t0 is 17:06 in Amsterdam): 2 x 0.40, VAT 21 %.
			if s.status != StatusCompleted || s.total.InclMicros != 968_000 || incl != 968_000 {
				t.Errorf("crashes %d: session %+v, rows %d micros, want completed at 968000", crashes, s, incl)
			}
		}
		w.checkTiles(t, 0)
	}
}
