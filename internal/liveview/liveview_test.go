package liveview

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata")

// full has the longest of everything that is to be expected.
func full() *Frame {
	f := &Frame{
		Title: "Wattline demo: 2000 charge points, 60 times as fast as time", At: time.Date(2026, 1, 5, 7, 44, 11, 0, time.UTC),
		ReadingsPerSecond: 1_234_567, LiveSessions: 1044, HeldSessions: 3, Lag: 12_345, Freshness: 1284 * time.Millisecond, FreshnessKnown: true,
		Totals: true, Rows: 7_472, EnergyMwh: 6_889_123_456, Revenue: []Money{{"EUR", 4_774_005_999}, {"GBP", 186_000_000}},
		Hints:    []string{"session  curl 127.0.0.1:8080/v1/sessions/765ddfae-5291-bca8-291b-c83bdca1b294"},
		Warnings: []string{"16:05:27 insert failed, will be tried again error=connection refused and a very long text behind it"},
	}
	for i := range 10 {
		f.Dearest = append(f.Dearest, Session{
			ChargePoint: "WTL-BER-00190/1", Since: "08:17", EnergyMwh: 47_130_400 - int64(i)*1_000_000,
			Price: Money{"EUR", 1_044_106_599 - int64(i)*100_000_000}, Why: "08:36 time of day",
		})
	}
	return f
}

func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	got := strings.Join(lines, "\n") + "\n"
	path := "testdata/" + name
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got)\n%s", path, d)
	}
}

func TestLook(t *testing.T) {
	golden(t, "screen.txt", full().Lines(80, 50))
	golden(t, "screen-23.txt", full().Lines(80, 23))
	golden(t, "plain.txt", full().Plain(80))
	golden(t, "screen-empty.txt", (&Frame{Title: "Wattline demo", State: "not yet in the consumer group", Lag: -1}).Lines(80, 50))
	golden(t, "plain-empty.txt", (&Frame{State: "not yet in the consumer group", Lag: -1}).Plain(80))
}

// bill has a line of every kind.
func bill() *Bill {
	return &Bill{
		Title: "the bill of a session, live", Session: "765ddfae-5291-bca8-291b-c83bdca1b294", ChargePoint: "WTL-BER-00190/1", Tariff: "NL*WTL*DC-POWER", Status: "ACTIVE",
		Since: "Mon 5 Jan 08:17:08", Last: "Mon 5 Jan 08:44:47", EnergyMwh: 48_264_023, Currency: "EUR", Incl: 45_053_353, Excl: 37_234_176, NoTax: true, Open: 3_100_001,
		Rows: []BillLine{
			{"08:17:08  start", "fee, 19 % tax", 1_190_000},
			{"", "energy 12.345 kWh at 0.59 per kWh, 19 % tax", 8_667_000},
			{"08:36:12  the price changes with the power", "energy 35.919 kWh at 0.79 per kWh, 19 % tax, and a text that is much too long for it", 33_767_000},
			{"at the end", "lowered to the maximum price", -1_670_648},
		},
	}
}

// TestBill: amounts stand below each other and add up, and a low screen leaves out what is oldest.
func TestBill(t *testing.T) {
	golden(t, "bill.txt", bill().Lines(80, 50))
	golden(t, "bill-13.txt", bill().Lines(80, 13))
	golden(t, "bill-40.txt", bill().Plain(40))
	done := bill()
	done.Final, done.Open, done.Status, done.Note = true, 0, "COMPLETED", "a note"
	golden(t, "bill-final.txt", done.Plain(80))
	golden(t, "bill-none.txt", (&Bill{Title: "the bill of a session, live", Note: "a note"}).Lines(80, 24))
	for height := 1; height < 20; height++ {
		lines := bill().Lines(80, height)
		if last := lines[len(lines)-1]; !strings.Contains(last, "37.2341") || height > 10 && len(lines) > height {
			t.Errorf("%d lines of %d, the last: %s", len(lines), height, last)
		}
	}
}

// TestHeight: the usual terminal of 24 lines has room for everything, one of 12 for what is below the sessions.
func TestHeight(t *testing.T) {
	f := full()
	f.Warnings = nil
	f.Hints = []string{"a", "b", "c", "last"}
	for _, height := range []int{12, 23, 40} {
		lines := f.Lines(80, height)
		sessions := 0
		for _, l := range lines {
			if strings.HasPrefix(l, "WTL-") {
				sessions++
			}
		}
		want := 10
		if height == 12 {
			want = 1
		}
		if sessions != want || lines[len(lines)-1] != "last" || height > 12 && len(lines) > height {
			t.Errorf("%d lines: %d are drawn with %d sessions, the last is %q", height, len(lines), sessions, lines[len(lines)-1])
		}
	}
}

// TestWidth holds V1 and V2.
func TestWidth(t *testing.T) {
	f := full()
	f.Dearest[0].ChargePoint = "Ladesäule-mit-einem-sehr-langen-Namen\x1b[31m"
	for _, width := range []int{20, 79, 80, 132} {
		for _, l := range append(f.Lines(width, 23), f.Plain(width)...) {
			if len(l) > width {
				t.Errorf("%d columns where %d are: %s", len(l), width, l)
			}
			if strings.Trim(l, "\x20!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
				t.Errorf("not ASCII: %q", l)
			}
		}
	}
}

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	width, height := 80, 10
	s := NewScreen(&out, func() (int, int) { return width, height })
	if err := s.Close(); err != nil || out.Len() > 0 {
		t.Fatalf("a screen that was never drawn wrote %q, %v", out.String(), err)
	}
	for range 2 {
		if err := s.Draw(full()); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n != height-1 {
			t.Errorf("%d lines on a screen of %d", n, height)
		}
		if strings.Count(out.String(), hideCursor) != strings.Count(out.String(), clearAll) {
			t.Errorf("cursor and clearing do not agree: %q", out.String())
		}
		if !strings.HasSuffix(out.String(), clearBelow) {
			t.Errorf("what stood below stays: %q", out.String())
		}
		out.Reset()
	}
	if err := s.Close(); err != nil || out.String() != showCursor {
		t.Errorf("the cursor is not given back: %q, %v", out.String(), err)
	}
	out.Reset()
	width, height = 0, 0
	if err := s.Draw(full()); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("a terminal without size: %q, %v", out.String(), err)
	}
}

func TestFigures(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(Group(0), "0")
	f(Group(999), "999")
	f(Group(-1000), "-1,000")
	f(Group(1234567), "1,234,567")
	f(Kwh(999_999), "0.999")
	f(Kwh(-1_500_000), "-1.500")
	f(Kwh(1_234_567_890), "1,234.567")
	f(Amount(0, 2), "0.00")
	f(Amount(-1, 6), "-0.000001")
	f(Amount(1_999_999, 2), "1.99")
	f(Amount(1_999_999, 0), "1")
	f(Cut("abc", 2), "ab")
	f(Cut("a\tb", 9), "a?b")
}
