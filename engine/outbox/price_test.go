package outbox

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

func testPrice() *Price {
	return &Price{
		Session: identity.SessionID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Offset: 1235, Status: "ACTIVE", ChargePoint: `CP-"1"`,
		Connector: 2, Transaction: "4711", StartMs: 1_750_000_000_000, LastMs: 1_750_000_600_500, Currency: "EUR",
		Total: rating.Total{ExclMicros: 1_234_567, InclMicros: 1_493_826, EnergyMwh: 4_115_223, ChargingMs: 600_500},
		Flags: []string{"late", "clock"},
	}
}

// TestPriceGolden holds the bytes of docs/formats/prices.md.
func TestPriceGolden(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats/prices.md")
	if err != nil {
		t.Fatal(err)
	}
	src := Source{Topic: "wattline.readings", Partition: 3}
	p := testPrice()
	unknown := testPrice()
	unknown.Total.ExclUnknown, unknown.Flags, unknown.Status = true, nil, "COMPLETED"
	for _, x := range []*Price{p, unknown} {
		if text := string(AppendPrice(nil, src, x)); !strings.Contains(string(page), "\n    "+text+"\n") {
			t.Errorf("docs/formats/prices.md does not show\n%s", text)
		}
	}
}

// TestPricesRounds: a session is noted once a round, by its first message behind the beginning.
func TestPricesRounds(t *testing.T) {
	p := NewPrices()
	last := map[snapshot.Key]int64{}
	hear := func(k uint64, ms int64) {
		key := snapshot.Key{k, 1}
		if last[key] <= p.SinceMs {
			p.Touch(key)
		}
		last[key] = max(last[key], ms)
	}
	f := func(want ...uint64) {
		t.Helper()
		var got []uint64
		for p.Due() {
			for _, k := range p.Take(2) {
				got = append(got, k[0])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("told %v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("told %v, want %v", got, want)
			}
		}
	}
	hear(1, 10)
	if p.Noted() {
		t.Error("noted before the start")
	}
	p.SinceMs = 10
	hear(3, 20)
	hear(3, 21)
	hear(1, 22)
	hear(2, 9) // of a record that is late: noted twice, told once
	hear(2, 9)
	p.Begin(22)
	f(1, 2, 3)
	hear(3, 22)
	hear(3, 23)
	p.Begin(23)
	f(3)
	p.Begin(24)
	f()
}

// TestGate: what has ended is not told any more, and an end waits for what is being told of its sessions, and for nothing
// else.
func TestGate(t *testing.T) {
	g := NewGate()
	a, b := identity.SessionID{1}, identity.SessionID{2}
	sheets := slab.NewSheets()
	var box Box
	box.Add(&End{Session: a, Ended: true}, &sheets, 0)
	box.Add(&End{Session: b, Final: true}, &sheets, 0) // given up: it has ended before
	g.Round()
	inside, ended := make(chan bool), make(chan error)
	go g.Tell([]LivePrice{{Session: a}, {Session: b}}, func(prices []LivePrice) {
		inside <- len(prices) == 2
		<-inside
	})
	if !<-inside {
		t.Error("a price of a session that runs is left out")
	}
	var other Box
	other.Add(&End{Session: identity.SessionID{3}, Ended: true}, &sheets, 0)
	if err := g.End(context.Background(), &other); err != nil { // it would never come back
		t.Fatal(err)
	}
	go func() { ended <- g.End(context.Background(), &box) }()
	select {
	case err := <-ended:
		t.Errorf("an end did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	inside <- true
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	told := 0
	tell := func(prices []LivePrice) { told += len(prices) }
	g.Tell([]LivePrice{{Session: a}, {Session: b}}, tell)
	g.Tell([]LivePrice{{Session: a}}, tell)
	if told != 1 {
		t.Errorf("%d prices are told, want 1", told)
	}
	g.Round()
	g.Tell([]LivePrice{{Session: a}}, tell)
	if told != 2 {
		t.Error("a new round still leaves out what ended in the last")
	}
}
