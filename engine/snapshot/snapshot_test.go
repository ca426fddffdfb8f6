package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/wattline/wattline/rating"
)

var update = flag.Bool("update", false, "write testdata/snapshot-v2.hex anew: only when the version changes, too")

// plan prices the sessions of the tests.
func plan(t testing.TB) *rating.Plan {
	t.Helper()
	zone, err := rating.LoadZone("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	p, err := rating.Compile(&rating.Tariff{
		CountryCode: "NL", PartyID: "WTL", ID: "T1", Currency: "EUR", Min: none, Max: none,
		Elements: []rating.Element{{Restrictions: rating.Unrestricted(), Components: []rating.Component{
			{Dimension: rating.Energy, PriceNano: 300_000_000, VAT: 2100, StepSize: 1},
			{Dimension: rating.ParkingTime, PriceNano: 1_000_000_000, VAT: 900, StepSize: 60},
		}}},
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
	}, zone)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// priced is the pricing state of a session of n readings.
func priced(p *rating.Plan, rnd *rand.Rand, n int) rating.State {
	var s rating.State
	at, reg := int64(1_750_000_000_000)+rnd.Int64N(1e9), rnd.Int64N(1e12)
	pt := func() rating.Point {
		return rating.Point{
			AtMs: at, RegisterMwh: reg, PowerMicroW: rating.Unknown, CurrentNanoA: rating.Unknown,
			State: rating.ChargeState(1 + rnd.IntN(4)),
		}
	}
	p.Start(&s, pt(), 900_000)
	for range n {
		at += rnd.Int64N(3_600_000)
		reg += rnd.Int64N(10_000_000)
		p.Advance(&s, pt(), nil, 900_000, nil)
	}
	return s
}

// small is a state that has one of everything.
func small(p *rating.Plan) *State {
	s := priced(p, rand.New(rand.NewPCG(1, 1)), 3)
	live := Session{
		Key: Key{1, 2}, Rate: s, LastSeq: 3, SeqBits: 7, RegOffsetMwh: 5, PendMs: 6, PendMwh: 7, PendPower: 8, PendCurrent: 9,
		EndMs: rating.Unknown, EndMwh: 11, FirstOffset: 12, Version: 13 << 16, LastRecordMs: 14, Lines: 15, RowsExcl: 16, RowsIncl: 17,
		ChargePoint: 1, Place: 1, Plan: 1, Window: 1, Sheet: 1, Connector: 2, Flags: 1 << 31, Readings: 18, Status: 2, Pend: PendLow, PendState: 1, TxLen: 2,
	}
	copy(live.Tx[:], "t1")
	held := Session{
		Key: Key{1, 3}, LastSeq: rating.Unknown, EndMs: rating.Unknown, ChargePoint: 2, Connector: 1, Status: 5, Readings: 2, TxLen: 1,
		Rate: rating.State{FirstMs: 1, StartMs: 1, StartMwh: 2, PrevMs: 1, PrevMwh: 2, LastMs: 3, LastMwh: 4, Charge: rating.StateCharging},
	}
	held.Tx[0] = 'h'
	held.Driver.Set(rating.Pseudonym{KeyID: 77, Value: [16]byte{0xd, 15: 0xe}})
	live.Driver.Set(rating.Pseudonym{KeyID: 1 << 31, Value: [16]byte{0xf, 15: 0x1}})
	live.Driver.Tier = 1
	live.Driver.SetContract("NL-WTL-C1")
	early := Session{ // has a plan, and no register value yet
		Key: Key{4, 0}, LastSeq: 0, EndMs: rating.Unknown, ChargePoint: 1, Place: 1, Plan: 1, Connector: 1, Status: 2,
		Rate: rating.State{FirstMs: 1, StartMs: 1, LastMs: 1, LastMwh: rating.Unknown},
	}
	start := Start{Connector: 2, AtMs: 1, RegisterMwh: rating.Unknown, RecordMs: 3, Offset: 4, MessageLen: 3, State: 1, Flags: 4}
	copy(start.MessageID[:], "m-1")
	start.KeyID, start.Pseudonym = 78, [16]byte{0xa, 15: 0xb}
	plain := start
	plain.KeyID, plain.Pseudonym = 0, [16]byte{}
	return &State{
		Topic: "readings", Partition: 3, NextOffset: 1000, WatermarkMs: 1_750_000_100_000, TickMinute: 29_166_668, BookOffset: 9, RatingVersion: 1,
		Names: []string{"", "CP1", "CP2"}, Places: []Place{{}, {Offset: 2, UID: "CP1", Connector: "1"}},
		Plans:    []Plan{{}, {CountryCode: "NL", PartyID: "WTL", ID: "T1", Offset: 1, Zone: "Europe/Amsterdam"}},
		Tiers:    []string{"", "member"},
		Sessions: []Session{live, held, early}, Windows: []Window{{Seen: [64]uint32{3, 5}, Next: 2}},
		Sheets:  []Sheet{{Costs: [NumCosts]Cost{CostEnergy: {16, 17}, CostParking: {-1, 0}}, Periods: 2, Last: 4, Flags: SheetTrimmed}},
		Periods: []Period{{1_750_000_000_000, 1_234_567<<2 | int64(PhaseParking)}, NewPeriod(1_750_000_060_000, PhaseReserved)},
		Connectors: []Connector{
			{},
			{ChargePoint: 1, Number: 1, Status: 1, StatusMs: 9, Live: Key{4, 0}, Ended: Key{8, 8}, EndedFromMs: 6, EndedMs: 7},
			{ChargePoint: 1, Number: 2, Next: 1, StatusMs: rating.Unknown, Live: Key{1, 2}},
		},
		Starts: []Start{start, plain},
		Held: []Held{{
			Key: Key{1, 3}, Reason: "charge point or connector unknown", Ended: true, Provisional: true,
			Points:  []rating.Point{{AtMs: 1, RegisterMwh: 2, PowerMicroW: rating.Unknown, CurrentNanoA: 4, State: rating.StateCharging}},
			Changes: []rating.Change{{AtMs: 2, State: rating.StateIdle}},
		}},
		Changes: []Changes{{Key: Key{1, 2}, List: []rating.Change{{AtMs: 5, State: rating.StateSuspendedEV}}}},
	}
}

// random is a state of any size with anything that Decode takes in it.
func random(p *rating.Plan, seed uint64) *State {
	rnd := rand.New(rand.NewPCG(seed, 2))
	num := func() int64 { return int64(rnd.Uint64()) >> rnd.IntN(64) }
	text := func(most int) string { return strings.Repeat("é1-Z", 20)[:rnd.IntN(most+1)] }
	changes := func() (out []rating.Change) {
		for range rnd.IntN(3) {
			out = append(out, rating.Change{AtMs: num(), State: rating.ChargeState(rnd.IntN(7))})
		}
		return out
	}
	key := func() Key { return Key{rnd.Uint64(), rnd.Uint64()} }
	st := &State{
		Topic: text(20), Partition: rnd.Int32(), NextOffset: num(), WatermarkMs: num(), TickMinute: num(), BookOffset: num(), RatingVersion: rnd.Int32(),
	}
	for range rnd.IntN(5) {
		st.Names = append(st.Names, text(48))
		st.Places = append(st.Places, Place{num(), text(36), text(36)})
		st.Plans = append(st.Plans, Plan{text(2), text(3), text(36), num(), text(30)})
		st.Connectors = append(st.Connectors, Connector{rnd.Uint32(), rnd.Int32(), rnd.Uint32(), uint8(rnd.Uint32()), num(), key(), key(), num(), num()})
		x := Start{Connector: rnd.Uint32(), AtMs: num(), RegisterMwh: num(), RecordMs: num(), Offset: num(), State: uint8(rnd.Uint32()), Flags: rnd.Uint32()}
		x.MessageLen = uint8(copy(x.MessageID[:], text(MaxTransaction)))
		if rnd.IntN(2) == 0 {
			x.KeyID, x.Pseudonym = 1+rnd.Uint32N(9), [16]byte{uint8(rnd.Uint32())}
		}
		st.Tiers = append(st.Tiers, text(36))
		st.Starts = append(st.Starts, x)
		var w Window
		for i := range w.Seen {
			w.Seen[i] = rnd.Uint32()
		}
		st.Windows = append(st.Windows, w)
		h := Held{Key: key(), Reason: text(40), Trimmed: rnd.IntN(2) == 0, Ended: rnd.IntN(2) == 0, Provisional: rnd.IntN(2) == 0, Changes: changes()}
		for range rnd.IntN(4) {
			h.Points = append(h.Points, rating.Point{AtMs: num(), RegisterMwh: num(), PowerMicroW: num(), CurrentNanoA: num(), State: rating.ChargeState(rnd.IntN(7))})
		}
		st.Held = append(st.Held, h)
		st.Changes = append(st.Changes, Changes{key(), changes()})
	}
	for range rnd.IntN(20) {
		s := Session{
			Key: key(), LastSeq: num(), SeqBits: rnd.Uint64(), RegOffsetMwh: num(), PendMs: num(), PendMwh: num(), PendPower: num(), PendCurrent: num(),
			EndMs: num(), EndMwh: num(), FirstOffset: num(), Version: num(), LastRecordMs: num(), Lines: num(), RowsExcl: num(), RowsIncl: num(),
			ChargePoint: rnd.Uint32(), Place: rnd.Uint32(), Window: rnd.Uint32(), Connector: rnd.Int32(), Flags: rnd.Uint32(), Readings: rnd.Uint32(),
			Status: uint8(rnd.Uint32()), Pend: uint8(rnd.IntN(2)), PendState: uint8(rnd.IntN(7)),
		}
		s.TxLen = uint8(copy(s.Tx[:], text(MaxTransaction)))
		if rnd.IntN(2) == 0 {
			s.Driver.Set(rating.Pseudonym{KeyID: 1 + rnd.Uint32N(9), Value: [16]byte{uint8(rnd.Uint32())}})
			s.Driver.Tier = rnd.Uint32N(3)
			s.Driver.SetContract(text(36))
		}
		switch rnd.IntN(3) {
		case 0:
			s.Plan, s.Rate = 1+rnd.Uint32N(100), priced(p, rnd, rnd.IntN(20))
		case 1:
			s.Plan, s.Rate = 1, rating.State{FirstMs: num(), StartMs: num(), LastMs: num(), LastMwh: rating.Unknown}
		default:
			s.Rate = rating.State{FirstMs: num(), StartMs: num(), StartMwh: num(), PrevMs: num(), PrevMwh: num(), LastMs: num(), LastMwh: num(), Charge: rating.ChargeState(rnd.IntN(7))}
		}
		if rnd.IntN(2) == 0 {
			x := Sheet{Periods: rnd.Uint32N(4), Last: rnd.Uint32(), Flags: SheetFlags(rnd.IntN(1 << sheetFlags))}
			for range x.Periods {
				st.Periods = append(st.Periods, Period{num(), num()>>2<<2 | rnd.Int64N(int64(numPhases))})
			}
			for i := range rnd.IntN(NumCosts + 1) {
				x.Costs[i] = Cost{num(), num()}
			}
			st.Sheets = append(st.Sheets, x)
			s.Sheet = uint32(len(st.Sheets))
		}
		st.Sessions = append(st.Sessions, s)
	}
	return st
}

var states = []cmp.Option{cmp.AllowUnexported(rating.State{}, Period{}), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b rating.State) bool { return a == b })}

// TestGolden holds format version 2 to the bytes of docs/formats/snapshot.md.
func TestGolden(t *testing.T) {
	const file = "testdata/snapshot-v2.hex"
	st := small(plan(t))
	got := Append(nil, st)
	if *update {
		if err := os.WriteFile(file, []byte(lines(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("the bytes of version %d have changed: %s", Version, diff)
	}
	back, err := Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(st, back, states...); diff != "" {
		t.Error(diff)
	}
}

// TestVersionBefore: a snapshot of the version before is the same state, whose sheets say that they are not whole.
func TestVersionBefore(t *testing.T) {
	text, err := os.ReadFile("testdata/snapshot-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	want := small(plan(t))
	want.Sheets, want.Periods = []Sheet{{Flags: SheetPartial}}, nil
	want.Tiers, want.Starts = nil, want.Starts[1:]
	for i := range want.Sessions {
		want.Sessions[i].Driver = Driver{}
	}
	if diff := cmp.Diff(want, got, states...); diff != "" {
		t.Error(diff)
	}
}

func lines(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		fmt.Fprintf(&out, "%x\n", b[:n])
		b = b[n:]
	}
	return out.String()
}

func TestRoundTrip(t *testing.T) {
	p := plan(t)
	for seed := range uint64(500) {
		st := random(p, seed)
		prefix := []byte("what is there stays")
		b := Append(bytes.Clone(prefix), st)
		if !bytes.HasPrefix(b, prefix) {
			t.Fatalf("seed %d: Append does not append", seed)
		}
		b = b[len(prefix):]
		back, err := Decode(b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(st, back, states...); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		again := Append(nil, back)
		if !bytes.Equal(again, b) {
			t.Fatalf("seed %d: decoded and encoded again it has other bytes", seed)
		}
		for i := range b { // the state shares nothing with the bytes
			b[i] = 0xa5
		}
		if !bytes.Equal(Append(nil, back), again) {
			t.Fatalf("seed %d: the state changed with the bytes it was read from", seed)
		}
	}
}

// TestCorrupt: not a bit may change, no byte may lack or be too many.
func TestCorrupt(t *testing.T) {
	good := Append(nil, small(plan(t)))
	for n := range len(good) {
		if _, err := Decode(good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken", n, len(good))
		}
	}
	if _, err := Decode(append(bytes.Clone(good), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte too many: %v", err)
	}
	for bit := range len(good) * 8 {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := Decode(b); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d of byte %d flipped: %v", bit%8, bit/8, err)
		}
	}
}

// sealed gives b the checksum that Decode asks for.
func sealed(b []byte) []byte { return binary.LittleEndian.AppendUint32(bytes.Clone(b), Checksum(b)) }

// TestMadeUp: a right checksum is no proof; what is inside is checked, too.
func TestMadeUp(t *testing.T) {
	good := Append(nil, small(plan(t)))
	body := good[:len(good)-4]
	f := func(name string, b []byte, want string) {
		t.Helper()
		_, err := Decode(sealed(b))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", name, err, want)
		}
	}
	f("another version", append([]byte{Version + 1}, body[1:]...), "use the release that wrote it")
	f("a byte after the end", append(bytes.Clone(body), 0), "1 bytes after the end")
	for n := 1; n < len(body); n++ {
		if _, err := Decode(sealed(body[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("the first %d of %d bytes, sealed: %v", n, len(body), err)
		}
	}
	// A partition of 64 bits that its 32 do not hold.
	wide := bytes.Clone(body)
	wide[1+4+len("readings")+5] = 1
	f("a partition beyond 32 bits", wide, "snapshot is corrupt")
	lone := small(plan(t))
	lone.Sessions[0].Sheet = 2
	f("a sheet that is not the next", bodyOf(lone), "session 0 has sheet 2")
	lone.Sessions[0].Sheet, lone.Sheets[0].Periods = 1, 3
	f("a period that is not there", bodyOf(lone), "2 periods of 3")
	lone.Sheets[0].Periods, lone.Sheets[0].Flags = 2, 1<<sheetFlags
	f("an unknown flag", bodyOf(lone), "a sheet of flags 4")
	huge := append(bytes.Clone(body[:1+4+len("readings")+6*8]), 0xff, 0xff, 0xff, 0x7f)
	f("a list longer than the input", huge, "does not fit")
}

func bodyOf(st *State) []byte {
	b := Append(nil, st)
	return b[:len(b)-4]
}

// TestMemory: what is claimed allocates nothing; what is there costs a small multiple of its bytes.
func TestMemory(t *testing.T) {
	for _, b := range [][]byte{Append(nil, random(plan(t), 7)), manySessions(20_000)} {
		if n, most := allocated(b), uint64(10*len(b)+100_000); n > most {
			t.Errorf("%d bytes decoded allocate %d, at most %d", len(b), n, most)
		}
	}
}

// manySessions is the shortest encoding of n sessions.
func manySessions(n int) []byte {
	st := &State{}
	for i := range n {
		st.Sessions = append(st.Sessions, Session{Key: Key{uint64(i), 1}})
	}
	return Append(nil, st)
}

func allocated(b []byte) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = Decode(b)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzDecode(f *testing.F) {
	p := plan(f)
	seed := func(b []byte) { f.Add(b[:len(b)-4]) }
	seed(Append(nil, &State{}))
	seed(Append(nil, small(p)))
	if text, err := os.ReadFile("testdata/snapshot-v1.hex"); err == nil {
		b, _ := hex.DecodeString(strings.Join(strings.Fields(string(text)), "")) // TestVersionBefore reads it
		seed(b)
	}
	for i := range uint64(8) {
		seed(Append(nil, random(p, i)))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		b := sealed(body)
		st, err := Decode(b)
		if err != nil {
			return
		}
		if body[0] == versionBefore {
			back, err := Decode(Append(nil, st))
			if diff := cmp.Diff(st, back, states...); err != nil || diff != "" {
				t.Fatalf("a state of the version before is another one when it was written: %v %s", err, diff)
			}
		} else if got := Append(nil, st); !bytes.Equal(got, b) {
			t.Fatalf("bytes are taken that Append does not make:\n%x\n%x", b, got)
		}
		if n, most := allocated(b), uint64(20*len(b)+100_000); n > most {
			t.Fatalf("%d bytes decoded allocate %d, at most %d", len(b), n, most)
		}
	})
}

// BenchmarkAppend and BenchmarkDecode are the price of a snapshot of 100,000 sessions.
func BenchmarkAppend(b *testing.B) {
	st := benchState(b)
	buf := Append(nil, st)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], st)
	}
	b.ReportMetric(float64(len(buf))/float64(len(st.Sessions)), "B/session")
}

func BenchmarkDecode(b *testing.B) {
	buf := Append(nil, benchState(b))
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func benchState(b *testing.B) *State {
	st := small(plan(b))
	one, sheet, period := st.Sessions[0], st.Sheets[0], st.Periods[0]
	sheet.Periods = 1
	st.Sessions, st.Sheets, st.Periods = nil, nil, nil
	for i := range 100_000 {
		one.Key, one.Sheet = Key{uint64(i + 1), math.MaxUint64}, uint32(i+1)
		st.Sheets, st.Periods = append(st.Sheets, sheet), append(st.Periods, period)
		st.Sessions = append(st.Sessions, one)
	}
	return st
}

// TestNoteSeq: the window of sequence numbers against a set of all that was seen.
func TestNoteSeq(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		ss := &Session{LastSeq: rating.Unknown}
		seen, last := map[int64]bool{}, int64(0)
		at := rnd.Int64N(1000) - 500
		for i := range 400 {
			seq := at + rnd.Int64N(10)
			switch rnd.IntN(12) {
			case 0:
				seq = at - rnd.Int64N(90)
			case 1:
				seq = at + 55 + rnd.Int64N(20)
			case 2:
				seq = at + rnd.Int64N(1<<40)
			}
			want := !seen[seq] || seq < last-64 // below the window nothing is known: new
			if got := ss.NoteSeq(seq); got != want {
				t.Fatalf("seed %d, message %d: seq %d after %d is new: %v, want %v", seed, i, seq, last, got, want)
			}
			if len(seen) == 0 || seq > last {
				last = seq
			}
			seen[seq] = true
			at = last
			if ss.LastSeq != last {
				t.Fatalf("seed %d: LastSeq %d, want %d", seed, ss.LastSeq, last)
			}
		}
	}
}
