package replay

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// go test ./loadgen/replay -update writes testdata/impossible again.
var update = flag.Bool("update", false, "write golden files again")

func garage(t testing.TB) []Session {
	t.Helper()
	f, err := os.Open("testdata/garage-2019.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var r Reader
	if err := r.Add(f); err != nil {
		t.Fatal(err)
	}
	if len(r.Sessions) != 6704 {
		t.Fatalf("%d sessions, want 6704", len(r.Sessions))
	}
	return r.Sessions
}

// outcome is what the engine's rows say of a session.
type outcome struct {
	status     engine.SessionStatus
	flags      engine.SessionFlags
	energyMwh  int64
	incl, excl int64
	rowsIncl   int64
	rowsExcl   int64
	version    int64
}

// rated collects the rows that an engine makes of what is produced to one partition.
type rated struct {
	r        *engine.Replayer
	next     int64
	first    int64
	book     int64
	sessions map[string]*outcome
	byID     map[[16]byte]*outcome
}

func newRated(t testing.TB, r *Replay) *rated {
	t.Helper()
	var log records
	put := func(x ocpi.Reference) {
		key, value, err := ocpi.AppendReference(nil, nil, &x)
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, engine.Record{Offset: int64(len(log)), Key: key, Value: value})
	}
	put(ocpi.Reference{Kind: ocpi.ReferenceInstallation})
	for _, x := range Tariffs() {
		put(ocpi.Reference{Kind: ocpi.ReferenceTariff, Tariff: x, TariffKey: rating.TariffKey{CountryCode: x.CountryCode, PartyID: x.PartyID, ID: x.ID}})
	}
	for _, l := range r.Locations() {
		put(ocpi.Reference{Kind: ocpi.ReferenceLocation, Location: l, LocationKey: rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}})
	}
	ref := engine.NewReference(reference.Decode, nil)
	if err := ref.Follow(t.Context(), log, ""); err != nil {
		t.Fatal(err)
	}
	replayer, err := engine.NewReplayer(engine.Partition{Topic: "t"}, engine.Config{}, func(string, []byte) engine.Decode { return wire.Decode }, ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &rated{r: replayer, book: ref.Next(), sessions: map[string]*outcome{}, byID: map[[16]byte]*outcome{}}
}

type records []engine.Record

func (l records) ReadLog(_ context.Context, _ string, _ int32, from int64, fn func(engine.Record) error) (int64, error) {
	for _, r := range l[from:] {
		if err := fn(r); err != nil {
			return r.Offset, err
		}
	}
	return int64(len(l)), nil
}

// Append implements loadgen.Producer.
func (d *rated) Append(_ context.Context, r *loadgen.Record) error {
	if d.next == d.first {
		d.r.Begin(d.first, d.book)
	}
	d.r.Rate(engine.Record{Offset: d.next, TimestampMs: r.TimestampMs, Key: r.Key, Value: r.Value})
	d.next++
	if d.next-d.first == 10_000 {
		return d.Flush(context.Background())
	}
	return nil
}

// Flush implements loadgen.Producer.
func (d *rated) Flush(context.Context) error {
	if d.next == d.first {
		return nil
	}
	row := d.r.End(d.next - 1)
	d.first = d.next
	if row.Rejects != 0 {
		return fmt.Errorf("%d rejects", row.Rejects)
	}
	b := d.r.Block()
	for i := range b.Sessions {
		s := &b.Sessions[i]
		for j := range s.Version {
			o := d.byID[s.SessionID[j]]
			if o == nil {
				o = &outcome{version: -1}
				d.byID[s.SessionID[j]] = o
				d.sessions[s.ChargePoint[j]+"/"+strings.Clone(s.Transaction[j])] = o
			}
			if s.Version[j] > o.version {
				o.version, o.status, o.flags = s.Version[j], s.Status[j], s.Flags[j]
				o.energyMwh, o.incl, o.excl = s.Total[j].EnergyMwh, s.Total[j].InclMicros, s.Total[j].ExclMicros
			}
		}
	}
	for i := range b.Charges {
		for j, c := range b.Charges[i].Charge {
			o := d.byID[b.Charges[i].SessionID[j]]
			o.rowsIncl += c.InclMicros
			o.rowsExcl += c.ExclMicros
		}
	}
	return nil
}

// All 6,704 sessions of the garage, under each of three tariffs, cost what the oracle says: their newest version and the
// sum of their rows. By the departures that happened none is impossible; by the announced ones those of testdata/impossible
// are, and they and no others are flagged (of the possible ones every tenth is rated that way).
func TestGarage(t *testing.T) {
	sessions := garage(t)
	f := func(end End, every, wantImpossible int) {
		t.Helper()
		if invariant.Enabled {
			every = 20 // the race detector needs no more
		}
		var some []Session
		for i, all := 0, New(sessions, end); i < len(sessions); i++ {
			if i%every == 0 || all.Impossible(i) {
				some = append(some, sessions[i])
			}
		}
		r := New(some, end)
		d := newRated(t, r)
		progress, err := r.Run(t.Context(), RunConfig{Partitions: 1, Clock: engine.SystemClock{}}, d)
		if err != nil {
			t.Fatal(err)
		}
		if int(progress.Records) != r.Readings() || len(d.sessions) != 3*len(some) {
			t.Fatalf("%d of %d readings, %d sessions", progress.Records, r.Readings(), len(d.sessions))
		}
		wrong, impossible := 0, 0
		err = r.Truths(func(x *Truth) error {
			want := outcome{
				status: engine.StatusCompleted, energyMwh: sessions[x.Number-1].EnergyMwh, incl: x.InclMicros, excl: *x.ExclMicros, rowsIncl: x.InclMicros, rowsExcl: *x.ExclMicros,
			}
			if x.Impossible {
				impossible++
				want.flags = engine.FlagImpossible
			}
			got := *d.sessions[x.ChargePoint+"/"+x.Transaction]
			got.version = 0
			if got != want {
				if wrong++; wrong < 10 {
					t.Errorf("session %d by %s: %+v, want %+v", x.Number, x.Tariff, got, want)
				}
			}
			return nil
		})
		if err != nil || wrong > 0 {
			t.Fatalf("%d sessions are wrong; %v", wrong, err)
		}
		if impossible != 3*wantImpossible {
			t.Errorf("%d sessions are impossible, want 3 times %d", impossible, wantImpossible)
		}
		t.Logf("%d readings of %d sessions, %d impossible", r.Readings(), r.Sessions(), impossible)
	}
	f(EndDeparture, 1, 0)
	f(EndAnnounced, 10, 265)
}

// The impossible sessions by name: the list is a document.
func TestImpossible(t *testing.T) {
	sessions := garage(t)
	r := New(sessions, EndAnnounced)
	var b strings.Builder
	b.WriteString("# line of the file, station, arrival, kWh, minutes until the announced departure, minutes really stayed\n")
	for i, s := range sessions {
		if r.Impossible(i) {
			fmt.Fprintf(&b, "%d S%02d %s %d.%03d %d %d\n", s.Number, s.Station+1, timeText(s.ArriveMs), s.EnergyMwh/1_000_000, s.EnergyMwh/1000%1000,
				(s.AnnouncedMs-s.ArriveMs)/minuteMs, (s.LeaveMs-s.ArriveMs)/minuteMs)
		}
	}
	const file = "testdata/impossible"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-file +made; if that is right, run with -update:\n%s", diff)
	}
}

// collector keeps what it is given as text.
type collector struct{ list []string }

func (c *collector) Append(_ context.Context, r *loadgen.Record) error {
	c.list = append(c.list, fmt.Sprintf("%d %s %x", r.TimestampMs, r.Key, r.Value))
	return nil
}

func (c *collector) Flush(context.Context) error { return nil }

// fastClock is a clock whose timers are due at once, and move it.
type fastClock struct{ now time.Time }

func (c *fastClock) Now() time.Time { return c.now }

func (c *fastClock) After(d time.Duration) <-chan time.Time {
	c.now = c.now.Add(d)
	ch := make(chan time.Time, 1)
	ch <- c.now
	return ch
}

// Y1: the speed changes when readings are sent, not which, nor their order.
func TestSpeed(t *testing.T) {
	sessions := garage(t)[:50]
	f := func(speed int64, partitions int32) (collector, time.Duration) {
		t.Helper()
		var c collector
		clock := &fastClock{now: time.Unix(0, 0)}
		p, err := New(sessions, EndDeparture).Run(t.Context(), RunConfig{Partitions: partitions, Clock: clock, Speed: speed}, &c)
		if err != nil {
			t.Fatal(err)
		}
		return c, p.Elapsed
	}
	fast, took := f(0, 1)
	if took != 0 {
		t.Errorf("without a speed it waited %v", took)
	}
	slow, took := f(600, 7)
	if diff := cmp.Diff(fast.list, slow.list); diff != "" {
		t.Error(diff)
	}
	first, last := sessions[0].ArriveMs, int64(0)
	for _, s := range sessions {
		last = max(last, s.LeaveMs)
	}
	if want := time.Duration(last-first) * time.Millisecond / 600; took < want-time.Millisecond || took > want+time.Millisecond {
		t.Errorf("600 times as fast it took %v, want %v", took, want)
	}
	if !slices.IsSortedFunc(fast.list, func(a, b string) int { return strings.Compare(a[:13], b[:13]) }) {
		t.Error("not in order of time")
	}
}

// Y3: neither station nor session of the file is in what is sent or published.
func TestNames(t *testing.T) {
	var r Reader
	err := r.Add(strings.NewReader("arrival,departure,delivered_energy (kWh),station_id,session_id,estimated_departure\n" +
		"2019-05-01 01:18:45-07:00,2019-05-01 02:18:45-07:00,4.0690005,SECRET-305,SECRET_39_131,2019-05-01 09:20:45-07:00\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Session{Number: 1, ArriveMs: 1556698725000, LeaveMs: 1556702325000, AnnouncedMs: 1556727645000, EnergyMwh: 4_069_001}); r.Sessions[0] != want {
		t.Errorf("%+v, want %+v", r.Sessions[0], want)
	}
	replay := New(r.Sessions, EndDeparture)
	var c collector
	if _, err := replay.Run(t.Context(), RunConfig{Partitions: 1, Clock: engine.SystemClock{}}, &c); err != nil {
		t.Fatal(err)
	}
	var truth bytes.Buffer
	if err := replay.WriteTruth(&truth); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := replay.WriteReference(dir); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(c.list, "\n") + truth.String()
	if strings.Contains(all, "SECRET") || strings.Contains(all, fmt.Sprintf("%x", "SECRET")) || !strings.Contains(all, "GARAGE-A-S01") {
		t.Errorf("names:\n%s", all)
	}
}

func TestReadFailure(t *testing.T) {
	const head = "arrival,departure,delivered_energy (kWh),station_id,estimated_departure\n"
	const good = "2019-05-01 01:00:00-07:00,2019-05-01 02:00:00-07:00,1.5,S,2019-05-01 02:00:00-07:00\n"
	f := func(text, want string) {
		t.Helper()
		var r Reader
		err := r.Add(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "its head")
	f("arrival,departure\n", `no column "delivered_energy (kWh)"`)
	f("\x1f\x8b....", "unexpected EOF")
	f(head+good+"x\n", "wrong number of fields")
	f(head+good+strings.Replace(good, "01:00:00", "00:59:59", 1), "line 3: it arrives before the line before it")
	f(head+strings.Replace(good, "02:00:00", "01:00:00", 1), "line 2: it leaves before it arrives")
	f(head+strings.Replace(good, "01:00:00-07:00", "01:00:00", 1), "is not like")
	f(head+strings.Replace(good, "2019-05-01 02:00:00", "2020-05-01 02:00:00", 1), "more than 90 days")
	for _, energy := range []string{"", "-1", "1e3", "1,5", ".5", "10000.1", "99999999", "1.2.3"} {
		if strings.Contains(energy, ",") {
			energy = `"` + energy + `"`
		}
		f(head+strings.Replace(good, "1.5", energy, 1), "energy")
	}
}

// FuzzRead: no file makes it panic, and what is read can be replayed and has its energies.
func FuzzRead(f *testing.F) {
	f.Add([]byte("arrival,departure,delivered_energy (kWh),station_id,estimated_departure\n2019-05-01 01:00:00-07:00,2019-05-01 02:00:00-07:00,1.5,S,2019-05-01 02:00:00-07:00\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Reader
		if err := r.Add(bytes.NewReader(b)); err != nil || len(r.Sessions) > 20 {
			return
		}
		for _, end := range []End{EndDeparture, EndAnnounced} {
			p := New(r.Sessions, end)
			for i, s := range r.Sessions {
				first, last := p.point(i, 0), p.point(i, p.count(i)-1)
				if last.RegisterMwh-first.RegisterMwh != s.EnergyMwh || first.AtMs != s.ArriveMs || last.AtMs <= first.AtMs {
					t.Errorf("%+v: %+v to %+v", s, first, last)
				}
			}
		}
	})
}
