package verify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

const (
	t0       = int64(1_750_000_000_000) // 2025-06-15T15:06:40Z
	kwh      = int64(1_000_000)
	minuteMs = int64(60_000)
)

func parts() []engine.Partition {
	return []engine.Partition{{Topic: "readings", Number: 0}, {Topic: "readings", Number: 1}}
}

// tariff has something of everything: FLAT, a clock boundary, energy and duration limits, power, parking, steps,
// a reservation and its expiry, a minimum and a maximum.
func tariff(id string, price int64) *rating.Tariff {
	any := rating.Unrestricted()
	evening, big, long, strong := any, any, any, any
	evening.StartTimeMin = 18 * 60
	big.MinEnergyMwh = 5 * kwh
	long.MinDurationMs = 40 * minuteMs
	strong.MinPowerMicroW = 20_000_000_000
	reserved, expired := any, any
	reserved.Reservation, expired.Reservation = rating.ReservationUsed, rating.ReservationExpires
	energy := func(p int64) []rating.Component {
		return []rating.Component{{Dimension: rating.Energy, PriceNano: p, VAT: 2100, StepSize: 100}}
	}
	return &rating.Tariff{
		CountryCode: "NL", PartyID: "WTL", ID: id, Currency: "EUR",
		Min: rating.PriceLimit{ExclNano: 400_000_000, InclNano: 500_000_000}, Max: rating.PriceLimit{ExclNano: 9_000_000_000, InclNano: 10_000_000_000},
		Elements: []rating.Element{
			{Components: []rating.Component{{Dimension: rating.Time, PriceNano: 1_700_000_000, VAT: 900, StepSize: 300}, {Dimension: rating.Flat, PriceNano: 111_111_111, VAT: 900}}, Restrictions: reserved},
			{Components: []rating.Component{{Dimension: rating.Time, PriceNano: 3_300_000_000, VAT: 900, StepSize: 300}, {Dimension: rating.Flat, PriceNano: 222_222_222, VAT: 900}}, Restrictions: expired},
			{Components: energy(price + 123_456_789), Restrictions: strong},
			{Components: energy(price + 55_555_555), Restrictions: big},
			{Components: []rating.Component{{Dimension: rating.ParkingTime, PriceNano: 2_345_678_901, VAT: 900, StepSize: 60}}, Restrictions: long},
			{Components: energy(price + 7_777_777), Restrictions: evening},
			{Components: append(energy(price), rating.Component{Dimension: rating.Flat, PriceNano: 333_333_333, VAT: 2100}, rating.Component{Dimension: rating.Time, PriceNano: 100_000_001, VAT: 2100, StepSize: 1}), Restrictions: any},
		},
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
	}
}

func (w *world) publishTariff(t *rating.Tariff) {
	w.publish(engine.ReferenceRecord{TariffKey: rating.TariffKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID}, Tariff: t})
}

func (w *world) publishLocation(id string, uids ...string) {
	l := &rating.Location{CountryCode: "NL", PartyID: "WTL", ID: id, Zone: "Europe/Amsterdam", Country: "NLD", LastUpdatedMs: rating.Unknown}
	for _, uid := range uids {
		l.EVSEs = append(l.EVSEs, rating.EVSE{UID: uid, Connectors: []rating.Connector{{ID: "1", MaxPowerW: 22_000, TariffIDs: []string{"T1"}}}})
	}
	w.publish(engine.ReferenceRecord{LocationKey: rating.LocationKey{CountryCode: "NL", PartyID: "WTL", ID: id}, Location: l})
}

// traffic sends n seeded sessions a partition: reservations used and expired, changes of state, power, duplicates,
// late readings, lost Stops, nonsense, sessions that run on, and one of an unknown charger.
func (w *world) traffic(seed uint64, n int, fromMs int64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	states := []rating.ChargeState{0, 0, 0, rating.StateSuspendedEV, rating.StateCharging, rating.StateSuspendedEVSE, rating.StateIdle}
	for _, p := range parts() {
		var all []message
		for i := range n {
			m := message{CP: fmt.Sprintf("CP%d-%d", p.Number, i%9), Tx: fmt.Sprint(seed, "-", i), At: fromMs + int64(i/9)*100*minuteMs + rnd.Int64N(5*minuteMs), Reg: rnd.Int64N(1000) * kwh, Power: rating.Unknown}
			put := func(k rating.Kind, st rating.ChargeState) {
				m.Kind, m.State = k, st
				if m.Power = rating.Unknown; rnd.IntN(3) == 0 {
					m.Power = rnd.Int64N(30_000_000_000)
				}
				all = append(all, m)
				if rnd.IntN(12) == 0 {
					all = append(all, all[len(all)-1-rnd.IntN(min(3, len(all)))])
				}
				m.Seq++
				m.At += rnd.Int64N(7 * minuteMs)
			}
			if rnd.IntN(4) == 0 {
				put(rating.KindStart, rating.StateReserved)
				put(rating.KindMeter, rating.StateReserved)
				if rnd.IntN(2) == 0 {
					put(rating.KindMeter, rating.StateReservationExpired)
					put(rating.KindStop, 0)
					continue
				}
				put(rating.KindMeter, rating.StateCharging)
			} else {
				put(rating.KindStart, rating.StateCharging)
			}
			for range 3 + rnd.IntN(9) {
				m.Reg += rnd.Int64N(kwh)
				put(rating.KindMeter, states[rnd.IntN(len(states))])
			}
			if rnd.IntN(6) > 0 && i < n-6 { // the last ones run on
				put(rating.KindStop, rating.StateIdle)
			}
		}
		slices.SortStableFunc(all, func(a, b message) int { return int(a.At - b.At) })
		for _, m := range all {
			w.send(p, m.At+1000, m)
			if rnd.IntN(50) == 0 {
				w.mu.Lock()
				w.append(p.Topic, p.Number, engine.Record{TimestampMs: m.At, Value: []byte("nonsense")})
				w.mu.Unlock()
			}
		}
	}
}

// rated is a world in which an engine, started twice, has rated everything; a charger and a tariff came between.
func rated(t testing.TB, seed uint64) *world {
	t.Helper()
	w := newWorld()
	key := engine.HashKey{1, 2, 3}
	w.publish(engine.ReferenceRecord{HashKey: &key})
	w.publishTariff(tariff("T1", 300_000_000))
	var uids []string
	for _, p := range parts() {
		for i := range 8 { // CPx-8 is not known at first
			uids = append(uids, fmt.Sprintf("CP%d-%d", p.Number, i))
		}
	}
	w.publishLocation("L1", uids...)
	w.traffic(seed, 40, t0)
	w.rate(t, parts()...)
	w.publishTariff(tariff("T1", 350_000_000))
	w.publishLocation("L2", "CP0-8")
	w.traffic(seed+1, 30, t0+10*60*minuteMs)
	w.rate(t, parts()...)
	return w
}

func TestClean(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		w := rated(t, seed)
		r := w.verify(t, nil)
		for _, f := range r.Findings {
			t.Errorf("seed %d: %s", seed, f)
		}
		if r.Blocks < 8 || r.Remade != r.Blocks || r.Ended < 80 || r.Running < 3 || r.Held < 1 || len(r.Skipped) != 0 {
			t.Errorf("seed %d: too little was proven: %s, skipped %v", seed, r.Summary(), r.Skipped)
		}
		if t.Failed() {
			return
		}
	}
}

// TestFinds: the tests spoil a world: each names the checks that must find it, and nothing else may.
func TestFinds(t *testing.T) {
	f := func(name string, spoil func(w *world) (want string)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			w := rated(t, 3)
			want := spoil(w)
			r := w.verify(t, nil)
			var got []string
			for c := range r.Found {
				got = append(got, string(c))
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
			for _, x := range r.Findings {
				t.Log(x)
				if x.Check != CheckProjection && (x.Topic == "" || x.Look == "") {
					t.Errorf("does not say where to look: %s", x)
				}
			}
			if r.OK() || strings.HasPrefix(r.Summary(), "all proven") {
				t.Error("the report says OK")
			}
		})
	}
	// middle is a row of the middle of the ledger that has energy and money and is of a session that has ended.
	middle := func(w *world) int {
		for i := len(w.charges) / 2; ; i++ {
			if c := &w.charges[i].c; c.EnergyMwh > 0 && c.InclMicros > 0 && c.Kind == rating.ChargeUsage && w.sessions[w.charges[i].key.Session].Status == engine.StatusCompleted {
				return i
			}
		}
	}
	block := func(w *world, n int) int {
		slices.SortStableFunc(w.blocks, func(a, b engine.BlockRow) int {
			return int((int64(a.Partition.Number)<<32 + a.First) - (int64(b.Partition.Number)<<32 + b.First))
		})
		return n
	}

	f("a row deleted", func(w *world) string {
		i := middle(w)
		w.charges = slices.Delete(w.charges, i, i+1)
		return "accrued amount quantity sums"
	})
	f("a row doubled", func(w *world) string {
		w.charges = append(w.charges, w.charges[middle(w)])
		return "accrued amount doubled quantity sums"
	})
	f("an amount changed by one micro", func(w *world) string {
		w.charges[middle(w)].c.InclMicros++
		return "accrued amount sums"
	})
	f("an amount without tax changed by one micro", func(w *world) string {
		w.charges[middle(w)].c.ExclMicros--
		return "accrued amount sums"
	})
	f("a milliwatt-hour", func(w *world) string {
		w.charges[middle(w)].c.EnergyMwh++
		return "quantity sums"
	})
	f("a row of a running session deleted", func(w *world) string {
		for i := len(w.charges) / 2; ; i++ {
			if w.charges[i].c.InclMicros > 0 && w.sessions[w.charges[i].key.Session].Status == engine.StatusActive {
				w.charges = slices.Delete(w.charges, i, i+1)
				return "accrued quantity sums"
			}
		}
	})
	f("a row deleted, and every sum mended", func(w *world) string {
		i := middle(w)
		r := w.charges[i]
		w.charges = slices.Delete(w.charges, i, i+1)
		for j := range w.blocks {
			if b := &w.blocks[j]; b.Partition == r.p && b.First == r.block {
				b.Charges.Rows--
				b.Charges.EnergyMwh -= r.c.EnergyMwh
				b.Charges.ExclMicros -= r.c.ExclMicros
				b.Charges.InclMicros -= r.c.InclMicros
				b.Charges.Versions -= r.key.Position
			}
		}
		s := w.sessions[r.key.Session]
		s.AccruedExcl -= r.c.ExclMicros
		s.AccruedIncl -= r.c.InclMicros
		w.sessions[r.key.Session] = s
		return "amount quantity remade"
	})
	f("a version that was replaced since deleted", func(w *world) string {
		w.brought[len(w.brought)/2].sums.Rows--
		return "versions"
	})
	f("a price in a version that was replaced since changed by one micro", func(w *world) string {
		w.brought[len(w.brought)/2].sums.InclMicros++
		return "versions"
	})
	f("a block row removed", func(w *world) string {
		i := block(w, 2)
		w.blocks = slices.Delete(w.blocks, i, i+1)
		return "orphan tiling"
	})
	f("the first block row removed", func(w *world) string {
		i := block(w, 0)
		w.blocks = slices.Delete(w.blocks, i, i+1)
		return "orphan tiling"
	})
	f("the last block row removed", func(w *world) string {
		i := block(w, len(w.blocks)-1)
		w.blocks = slices.Delete(w.blocks, i, i+1)
		return "orphan tiling"
	})
	f("all block rows of a partition removed", func(w *world) string {
		w.blocks = slices.DeleteFunc(w.blocks, func(b engine.BlockRow) bool { return b.Partition.Number == 1 })
		return "orphan tiling"
	})
	f("two blocks that overlap", func(w *world) string {
		w.blocks[block(w, 1)].Last += 2
		return "tiling"
	})
	f("a block row doubled", func(w *world) string {
		w.blocks = append(w.blocks, w.blocks[block(w, 1)])
		return "tiling"
	})
	f("another book", func(w *world) string {
		i := block(w, 0)
		w.blocks[i].BookOffset = 2
		return "remade session"
	})
	f("a book that is not there", func(w *world) string {
		w.blocks[block(w, len(w.blocks)-1)].BookOffset += 100
		return "reference"
	})
	f("a watermark that goes back", func(w *world) string {
		w.blocks[block(w, 1)].WatermarkMs = 5
		return "block remade"
	})
	f("a checksum", func(w *world) string {
		w.blocks[block(w, 1)].Checksum ^= 1
		return "remade"
	})
	f("a version's price", func(w *world) string {
		for id, s := range w.sessions {
			if s.Status == engine.StatusActive && s.InclMicros > 0 {
				s.InclMicros++
				w.sessions[id] = s
				return "price"
			}
		}
		panic("none")
	})
	f("a final price", func(w *world) string {
		for id, s := range w.sessions {
			if s.Status == engine.StatusCompleted {
				s.ExclMicros--
				w.sessions[id] = s
				return "price"
			}
		}
		panic("none")
	})
	f("an older version", func(w *world) string {
		for id, s := range w.sessions {
			if s.Status == engine.StatusCompleted {
				s.Position--
				w.sessions[id] = s
				return "session"
			}
		}
		panic("none")
	})
	f("a session without version", func(w *world) string {
		delete(w.sessions, w.charges[middle(w)].key.Session)
		return "session"
	})
	f("a session lost with all its rows", func(w *world) string {
		id := w.charges[middle(w)].key.Session
		delete(w.sessions, id)
		w.charges = slices.DeleteFunc(w.charges, func(r chargeRow) bool { return r.key.Session == id })
		return "session sums"
	})
	f("a session of nobody", func(w *world) string {
		w.sessions[[16]byte{9}] = versionRow{p: parts()[0], Version: Version{There: true, Position: 5 << 16, FirstOffset: 3}}
		return "session"
	})
	f("a projection", func(w *world) string {
		w.projections = "by_hour: 3 groups differ"
		return "projection"
	})
	f("a message changed", func(w *world) string {
		log := w.logs[parts()[0].String()]
		for i := len(log) / 2; ; i++ {
			if at := bytes.Index(log[i].Value, []byte(`"Kind":0`)); at > 0 && bytes.Contains(log[i].Value, []byte(`"State":1`)) {
				log[i].Value = bytes.Replace(log[i].Value, []byte(`"State":1`), []byte(`"State":2`), 1)
				return "amount price quantity remade"
			}
		}
	})
	f("a topic made anew", func(w *world) string {
		for _, p := range parts() {
			w.logs[p.String()] = w.logs[p.String()][:150]
		}
		return "topic"
	})
}

// TestSample: the sample is as large as asked, the same for a seed, and has what the ledger lost.
func TestSample(t *testing.T) {
	w := rated(t, 5)
	sample := func(seed uint64) *Report {
		return w.verify(t, func(c *Config) { c.All, c.Sample, c.Seed = false, 10, seed })
	}
	a, b := sample(1), sample(1)
	if diff := cmp.Diff(a, b); diff != "" || !a.OK() {
		t.Errorf("two runs: %s, findings %v", diff, a.Findings)
	}
	if n := a.Ended + a.Running + a.Held; n != 20 || a.Remade != a.Blocks {
		t.Errorf("%d sessions were priced again, want 10 of each of 2 partitions; %s", n, a.Summary())
	}
	var victim [16]byte
	best := ^uint64(0)
	for id, s := range w.sessions {
		if r := rank(id, 1); s.p == parts()[0] && r < best {
			best, victim = r, id
		}
	}
	spoiled := w.sessions[victim]
	delete(w.sessions, victim)
	if r := sample(1); r.Found[CheckSession] != 1 {
		t.Errorf("a session that the ledger lost: %v", r.Findings)
	}
	spoiled.InclMicros++
	w.sessions[victim] = spoiled
	if r := sample(1); r.Found[CheckPrice] != 1 || r.Findings[0].Session != idText(victim) {
		t.Errorf("a wrong price of the session of the least rank: %v", r.Findings)
	}
	missed := false
	for seed := range uint64(20) {
		missed = missed || sample(seed+2).OK()
	}
	if !missed {
		t.Error("every seed chooses the same session")
	}
}

// TestRetention: what is gone from the topic is not judged, and told; what is left is.
func TestRetention(t *testing.T) {
	w := rated(t, 6)
	for _, p := range parts() {
		w.starts[p.String()] = 200
	}
	r := w.verify(t, nil)
	for _, f := range r.Findings {
		t.Error(f)
	}
	if gone := r.Skipped["sessions whose first messages are gone from the topic"]; gone < 10 || r.Ended < 30 || r.Remade != 0 {
		t.Errorf("%s, skipped %v", r.Summary(), r.Skipped)
	}
	for id, s := range w.sessions {
		if s.FirstOffset >= 200 && s.Status == engine.StatusCompleted {
			s.InclMicros++
			w.sessions[id] = s
			break
		}
	}
	if r := w.verify(t, nil); r.Found[CheckPrice] != 1 {
		t.Errorf("a wrong price behind the log's start: %v", r.Findings)
	}
}

// TestBesideWorkingEngines: blocks that end while the run does are no findings (V3).
func TestBesideWorkingEngines(t *testing.T) {
	w := rated(t, 7)
	slices.SortStableFunc(w.blocks, func(a, b engine.BlockRow) int { return int(a.First - b.First) })
	for _, p := range parts() {
		last := 0
		for i := range w.blocks {
			if w.blocks[i].Partition == p {
				last = i
			}
		}
		w.late = append(w.late, w.blocks[last])
		w.commits[p] = engine.Commit{Offset: w.blocks[last].First}
		w.blocks = slices.Delete(w.blocks, last, last+1)
	}
	r := w.verify(t, nil)
	for _, f := range r.Findings {
		t.Error(f)
	}
	if n := r.Skipped["sessions that went on while the run did"]; n < 5 {
		t.Errorf("skipped %v", r.Skipped)
	}
}

// TestRestrict: one partition alone, one that is not there, an empty ledger.
func TestRestrict(t *testing.T) {
	w := rated(t, 8)
	one := int32(1)
	if r := w.verify(t, func(c *Config) { c.Topic, c.Partition = "readings", &one }); r.Partitions != 1 || !r.OK() {
		t.Errorf("%s: %v", r.Summary(), r.Findings)
	}
	ends := Ends{Blocks: ledger{w}, Rows: ledger{w}, Topic: w, Decoders: decoders, Reference: w.decodeReference}
	f := func(topic string, number int32, want string) {
		t.Helper()
		c := Config{Engine: engineConfig(), Topic: topic}
		if number >= 0 {
			c.Partition = &number
		}
		if _, err := Run(t.Context(), c, ends); err == nil || err.Error() != want {
			t.Errorf("%s/%d: %v, want %s", topic, number, err, want)
		}
	}
	f("nope", -1, "topic nope is not in kafka.readings, and the ledger has no row of it")
	f("nope", 1, "topic nope is not in kafka.readings, and the ledger has no row of it")
	f("readings", 99, "topic readings has no partition 99, only 0 to 1")
	f("", 99, "no topic of kafka.readings or the ledger has a partition 99")
	w.blocks, w.charges = nil, nil
	r, err := Run(t.Context(), Config{Engine: engineConfig()}, ends)
	if err != nil || r.OK() || r.Found[CheckTiling] != int64(len(parts())) || !strings.Contains(r.Findings[0].String(), "the ledger has no block of it") {
		t.Errorf("an empty ledger with committed offsets: %v %v", r, err)
	}
	for p := range w.commits {
		w.commits[p] = engine.Commit{Offset: -1}
	}
	r, err = Run(t.Context(), Config{Engine: engineConfig()}, ends)
	if err != nil || !r.OK() || !strings.HasPrefix(r.Summary(), "nothing to prove") {
		t.Errorf("an empty installation: %v %v", r, err)
	}
}

// TestListIsBounded: all findings are counted, the first ones are told.
func TestListIsBounded(t *testing.T) {
	w := rated(t, 9)
	for i := range w.charges {
		w.charges[i].c.InclMicros++
	}
	r := w.verify(t, func(c *Config) { c.List = 2 })
	if r.Found[CheckSums] != r.Blocks || r.Found[CheckAmount] < 50 {
		t.Errorf("found %v", r.Found)
	}
	n := map[Check]int{}
	for _, f := range r.Findings {
		n[f.Check]++
	}
	if n[CheckSums] != 4 || n[CheckAmount] != 4 {
		t.Errorf("told %v, want 2 of each check and partition", n)
	}
}
