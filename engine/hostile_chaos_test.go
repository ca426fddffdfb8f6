package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

// chaos makes n messages that no charger sends in this order: all kinds, few ids, clocks and registers that jump.
func chaos(rnd *rand.Rand, n int) []Record {
	w := newWorld(1)
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	recordMs, reg := t0, 1000*kwh
	for range n {
		switch rnd.IntN(40) {
		case 0:
			recordMs += rnd.Int64N(4 * 60 * minuteMs)
		case 1:
			recordMs -= rnd.Int64N(20 * minuteMs)
		default:
			recordMs += rnd.Int64N(3 * minuteMs)
		}
		m := message{
			Kind: []rating.Kind{rating.KindStart, rating.KindAnswer, rating.KindStop, rating.KindStatus, rating.KindMeter, rating.KindMeter, rating.KindMeter, rating.KindMeter}[rnd.IntN(8)],
			CP:   pick("CP1", "CP1", "CP9"), Conn: int32(rnd.IntN(3)), Tx: pick("", "0", "5", "6", "7", "7"), MsgID: pick("m1", "m2", "m3"),
			At: recordMs - rnd.Int64N(2*minuteMs), Seq: noSeq,
		}
		switch rnd.IntN(12) {
		case 0:
			m.At -= rnd.Int64N(3 * 60 * minuteMs)
		case 1:
			m.At += rnd.Int64N(60 * minuteMs)
		case 2:
			m.At = noReg
		}
		reg += rnd.Int64N(kwh)
		m.Reg = reg
		switch rnd.IntN(10) {
		case 0:
			m.Reg = noReg
		case 1:
			m.Reg = rnd.Int64N(kwh)
		case 2:
			m.Reg -= rnd.Int64N(3 * kwh)
		case 3:
			m.Reg, reg = 0, 0
		}
		if rnd.IntN(3) == 0 {
			m.Res = kwh
		}
		if rnd.IntN(3) == 0 {
			m.State = rating.ChargeState(rnd.IntN(int(rating.StateReservationExpired) + 1))
		}
		if rnd.IntN(3) == 0 {
			m.Context = rating.Context(rnd.IntN(int(rating.ContextOther) + 1))
		}
		if rnd.IntN(3) == 0 {
			m.Power = rnd.Int64N(22_000_000_000)
		}
		if rnd.IntN(6) == 0 {
			m.Seq = rnd.Int64N(200)
		}
		m.Flags = rating.ReadingFlags(rnd.IntN(4) * rnd.IntN(2))
		w.send(readings, recordMs, m)
	}
	return w.logs[readings.String()]
}

// sums adds up what blocks bill, by session.
type sums struct {
	incl, energy map[[16]byte]int64
	keys         map[string]bool
	faults       []string
}

func (x *sums) add(b *Block) {
	for i := range b.Charges {
		r := &b.Charges[i]
		for j := range r.Position {
			x.incl[r.SessionID[j]] += r.Charge[j].InclMicros
			if r.Charge[j].Kind == rating.ChargeUsage {
				x.energy[r.SessionID[j]] += r.Charge[j].EnergyMwh
			}
			k := fmt.Sprintf("%x %d %d", r.SessionID[j], r.Position[j], r.Line[j])
			if x.keys[k] {
				x.faults = append(x.faults, "position and line twice: "+k)
			}
			x.keys[k] = true
		}
	}
	newest := map[[16]byte][2]int{}
	at := func(p [2]int) int64 { return b.Sessions[p[0]].Version[p[1]] }
	for i := range b.Sessions {
		for j, id := range b.Sessions[i].SessionID {
			if p, ok := newest[id]; !ok || at(p) < at([2]int{i, j}) {
				newest[id] = [2]int{i, j}
			}
		}
	}
	for id, p := range newest {
		r, j := &b.Sessions[p[0]], p[1]
		bad := func(what string, got, want int64) {
			if got != want {
				x.faults = append(x.faults, fmt.Sprintf("session %x tx %s status %d flags %v: %s %d, rows say %d",
					id, r.Transaction[j], r.Status[j], r.Flags[j].Names(), what, got, want))
			}
		}
		bad("accrued", r.AccruedIncl[j], x.incl[id])
		if r.Status[j] == StatusCompleted || r.Status[j] == StatusProvisional {
			bad("total", r.Total[j].InclMicros, x.incl[id])
			bad("energy", r.Total[j].EnergyMwh, x.energy[id])
		}
		if r.LastMs[j] < r.StartMs[j] || r.LastMwh[j] < r.StartMwh[j] {
			x.faults = append(x.faults, fmt.Sprintf("session %x goes back: %d-%d, %d-%d", id, r.StartMs[j], r.LastMs[j], r.StartMwh[j], r.LastMwh[j]))
		}
	}
}

// runChaos rates log in batches that cut gives. Charge points that are not known from the beginning are from the
// middle on. restore takes the shard through a snapshot now and then.
func runChaos(t *testing.T, log []Record, cut func() int, restore func() bool, known ...string) (out []string, x *sums) {
	t.Helper()
	b := newBare(t, testConfig(), append(known, "CP1")...)
	refs := &b.refs // the reference reads these, whatever becomes of b
	x = &sums{incl: map[[16]byte]int64{}, energy: map[[16]byte]int64{}, keys: map[string]bool{}}
	turn := func() {
		out = append(out, b.rows()...)
		x.add(b.block)
		b.block.reset(readings, b.nextOffset, b.bookOffset)
	}
	half := len(log) / 2
	for done := 0; done < len(log); {
		n := min(len(log)-done, cut())
		if done < half {
			n = min(n, half-done)
		}
		if done == half && len(known) == 0 {
			turn()
			b.w.publish(refs, ReferenceRecord{
				LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: "L2"}, Location: testLocation("L2", "T1", "CP9"),
			})
			if err := b.ref.Follow(context.Background(), b.w, "wattline.reference"); err != nil {
				t.Fatal(err)
			}
			b.changeBook(b.ref.Next())
		}
		recs := slices.Clone(log[done : done+n])
		if ok, err := b.rate(&memBatch{recs: recs, next: recs[n-1].Offset + 1}, unlimited); !ok || err != nil {
			t.Fatalf("offset %d: %v %v", b.nextOffset, ok, err)
		}
		done += n
		if done != half && restore() {
			turn()
			b = b.again(t)
		}
	}
	turn()
	return append(newestVersions(out), fmt.Sprintf("state %x", encode(b.shard))), x
}

// TestChaos: whatever comes, nothing panics, sessions cost what their rows say, and neither batches nor a restart
// from a snapshot tell (I1).
func TestChaos(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		log := chaos(rand.New(rand.NewPCG(seed, 1)), 1500)
		run := func(name string, cut func() int, restore func() bool) []string {
			t.Helper()
			defer func() {
				if p := recover(); p != nil {
					t.Fatalf("seed %d, %s: %v", seed, name, p)
				}
			}()
			out, x := runChaos(t, log, cut, restore)
			for _, f := range x.faults[:min(3, len(x.faults))] {
				t.Errorf("seed %d, %s: %s", seed, name, f)
			}
			return out
		}
		never := func() bool { return false }
		rnd := rand.New(rand.NewPCG(seed, 2))
		want := run("one by one", func() int { return 1 }, never)
		if diff := cmp.Diff(want, run("batches", func() int { return 1 + rnd.IntN(150) }, never)); diff != "" {
			t.Errorf("seed %d, batches: %.2000s", seed, diff)
		}
		if diff := cmp.Diff(want, run("restored", func() int { return 1 + rnd.IntN(90) }, func() bool { return rnd.IntN(4) == 0 })); diff != "" {
			t.Errorf("seed %d, restored: %.2000s", seed, diff)
		}
		if t.Failed() {
			return
		}
	}
}

// ragged makes sessions that follow each other, each with an id of its own, whose messages are dropped, doubled,
// late, in disorder, with registers that glitch, start anew or come in steps.
func ragged(rnd *rand.Rand, sessions int) []Record {
	type sent struct {
		recordMs int64
		m        message
	}
	var list []sent
	at, reg := t0, 1000*kwh
	for i := range sessions {
		seq := int64(0)
		put := func(m message) {
			m.CP, m.Conn, m.Tx, m.At = "CP9", 1, fmt.Sprint(100+i), at
			if i%2 == 0 || m.Kind == rating.KindStatus {
				m.Seq = noSeq
			} else {
				m.Seq = seq
				seq++
			}
			switch rnd.IntN(20) {
			case 0:
				return
			case 1:
				list = append(list, sent{at + 500, m})
			case 2:
				m.At -= rnd.Int64N(10 * minuteMs)
			}
			list = append(list, sent{at + 1000, m})
		}
		state, most := rating.StateUnchanged, int(rating.StateIdle)
		if rnd.IntN(4) == 0 {
			state, most = rating.StateReserved, int(rating.StateReservationExpired)
		}
		put(message{Kind: rating.KindStart, Reg: reg, State: state})
		for range rnd.IntN(15) {
			at += rnd.Int64N(9 * minuteMs)
			state = rating.StateUnchanged
			switch rnd.IntN(8) {
			case 0:
				put(message{Kind: rating.KindStatus, Reg: noReg, State: rating.ChargeState(1 + rnd.IntN(int(rating.StateIdle)))})
				most = int(rating.StateIdle)
				continue
			case 1:
				state = rating.ChargeState(rnd.IntN(most + 1))
			}
			m := message{Kind: rating.KindMeter, State: state}
			if state > rating.StateUnchanged && state < rating.StateReserved {
				most = int(rating.StateIdle) // it has begun
			}
			if most == int(rating.StateIdle) {
				reg += rnd.Int64N(kwh)
			}
			m.Reg = reg
			switch rnd.IntN(12) {
			case 0:
				m.Reg = rnd.Int64N(kwh)
			case 1:
				m.Reg, m.Res = reg/kwh*kwh, kwh
			case 2:
				m.Reg = noReg
			case 3:
				reg = 0
				m.Reg = 0
			case 4:
				m.Context = rating.ContextEnd
			}
			put(m)
		}
		at += rnd.Int64N(9 * minuteMs)
		if rnd.IntN(10) == 0 {
			at += 3 * 60 * minuteMs
		}
		put(message{Kind: rating.KindStop, Reg: []int64{reg, reg, reg, noReg}[rnd.IntN(4)]})
		at += rnd.Int64N(9 * minuteMs)
	}
	for range len(list) / 10 {
		i := rnd.IntN(len(list) - 1)
		list[i].m, list[i+1].m = list[i+1].m, list[i].m
	}
	w := newWorld(1)
	for _, x := range list {
		w.send(readings, x.recordMs, x.m)
	}
	return w.logs[readings.String()]
}

// TestRaggedHeld: a session that waited for its charger costs what it would have cost with the charger known.
func TestRaggedHeld(t *testing.T) {
	whole, never := func() int { return 1 << 20 }, func() bool { return false }
	for seed := uint64(1); seed <= 60; seed++ {
		log := ragged(rand.New(rand.NewPCG(seed, 3)), 60)
		_, want := runChaos(t, log, whole, never, "CP9")
		_, got := runChaos(t, log, whole, never)
		for _, f := range append(want.faults, got.faults...) {
			t.Fatalf("seed %d: %s", seed, f)
		}
		for id, incl := range want.incl {
			if got.incl[id] != incl || got.energy[id] != want.energy[id] {
				t.Fatalf("seed %d: session %x: %d for %d mWh, known from the beginning %d for %d", seed, id, got.incl[id], got.energy[id], incl, want.energy[id])
			}
		}
	}
}
