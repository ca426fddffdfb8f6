package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/reject"

	"github.com/wattline/wattline/rating"
)

// TestRejectGolden is the text of docs/formats/rejects.md.
func TestRejectGolden(t *testing.T) {
	p := Partition{Topic: "wattline.readings", Number: 3}
	f := func(index int64, reason, key, value string) {
		t.Helper()
		m := rejectMessage(p, &Record{Offset: 1234, TimestampMs: t0}, index, reason, false, false)
		if string(m.Key) != key || string(m.Value) != value {
			t.Errorf("got  %s %s\nwant %s %s", m.Key, m.Value, key, value)
		}
		if m.ContentType != "application/json" || m.TimestampMs != t0 {
			t.Errorf("content type %q, timestamp %d", m.ContentType, m.TimestampMs)
		}
		if !json.Valid(m.Value) {
			t.Errorf("no JSON: %s", m.Value)
		}
	}
	f(0, `content-type "text/xml" is unknown`, "wattline.readings/3/1234/0",
		`{"v":2,"topic":"wattline.readings","partition":3,"offset":1234,"index":0,"at_ms":1750000000000,"reason":"content-type \"text/xml\" is unknown"}`)
	f(7, "a\\\n\x7f\x00é\xff€", "wattline.readings/3/1234/7",
		`{"v":2,"topic":"wattline.readings","partition":3,"offset":1234,"index":7,"at_ms":1750000000000,"reason":"a\\\u000a\u007f\u0000é`+"\ufffd€"+`"}`)
	f(0, strings.Repeat("x", 499)+"é and more", "wattline.readings/3/1234/0",
		`{"v":2,"topic":"wattline.readings","partition":3,"offset":1234,"index":0,"at_ms":1750000000000,"reason":"`+strings.Repeat("x", 499)+"\ufffd"+`"}`)
}

// TestRejectOriginal: the message goes with its first reject, for whoever may open it; nothing of it is in the clear part.
func TestRejectOriginal(t *testing.T) {
	b := newBare(t, Config{EngineID: "x"})
	const card = "4111111111111111"
	xml := Record{Offset: 5, TimestampMs: t0, ContentType: []byte("text/" + card), Key: []byte("CP1"), Value: []byte("<a/>")}
	bad := Record{Offset: 6, TimestampMs: t0, Value: []byte(`{"kind":"` + card + `"}`)}
	b.rateRecords([]Record{xml, bad})
	packed := Record{Offset: 7, TimestampMs: t0, Value: []byte("packed")}
	b.reject(&packed, 3, "first")
	b.reject(&packed, 9, "second")
	var got []string
	for _, m := range b.block.Rejects {
		o, err := reject.ParseOriginal(m.Private)
		got = append(got, fmt.Sprintf("%s %s %s %s %v", m.Key, o.ContentType, o.Key, o.Value, err == nil))
		if strings.Contains(string(m.Value), card) {
			t.Errorf("in clear: %s", m.Value)
		}
		if err == nil && !strings.Contains(string(m.Value), o.Reason) && !strings.Contains(o.Reason, card) {
			t.Errorf("the reason in full is %q, in clear %s", o.Reason, m.Value)
		}
	}
	p := b.partition.String()
	want := []string{p + "/5/0 text/" + card + " CP1 <a/> true", p + "/6/0   " + string(bad.Value) + " true", p + "/7/3   packed true", p + "/7/9    false"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestChecksumGolden holds the order of docs/formats/block.md: every field has a value of its own, so that none
// can be left out or change places.
func TestChecksumGolden(t *testing.T) {
	fill := func() *Block {
		b := newBlock()
		b.reset(readings, 100, 3)
		c := b.charges(202506)
		c.Position, c.Line, c.SessionID = append(c.Position, 2), append(c.Line, 3), append(c.SessionID, [16]byte{1, 2, 3, 15: 4})
		c.ChargePoint, c.Connector, c.Location = append(c.ChargePoint, "CP1"), append(c.Connector, 21), append(c.Location, "L1")
		c.Tariff, c.Currency, c.Tier = append(c.Tariff, "NL*WTL*T1"), append(c.Currency, "EUR"), append(c.Tier, "")
		c.Charge = append(c.Charge, rating.Charge{
			PeriodStartMs: 4, FromMs: 5, ToMs: 6, EnergyMwh: 7, DurationMs: 8, ExclMicros: -9, InclMicros: 10, PriceNano: 11, Period: 12, VAT: rating.NoVAT,
			Element: rating.NoElement, Component: 15, Dimension: rating.ParkingTime, Kind: rating.ChargeStep, Split: rating.SplitState, Interpolated: true,
		})
		s := b.sessions(202507)
		s.grow()
		s.Version[0], s.SessionID[0], s.Connector[0], s.TariffFrom[0], s.Status[0] = 2, [16]byte{9}, 3, 4, StatusCompleted
		s.StartMs[0], s.LastMs[0], s.StartMwh[0], s.LastMwh[0] = 6, 7, 8, 9
		s.Total[0] = rating.Total{ExclMicros: 10, InclMicros: 11, ExclUnknown: true, EnergyMwh: 13, ChargingMs: 14, ParkingMs: 15, ReservationMs: 16}
		s.AccruedExcl[0], s.AccruedIncl[0], s.Flags[0], s.Readings[0], s.FirstOffset[0] = 17, 18, FlagHeld, 20, 21
		s.ChargePoint[0], s.Transaction[0], s.Location[0], s.Tariff[0], s.Currency[0], s.Zone[0], s.HeldReason[0] = "a", "b", "c", "d", "e", "f", "g"
		return b
	}
	driven := fill()
	c, s := &driven.Charges[0], &driven.Sessions[0]
	c.Tier[0], s.Tier[0], s.Contract[0], s.TokenKey[0], s.Pseudonym[0] = "h", "i", "j", 22, [16]byte{23}
	driven.close(199, t0, "one engine")
	if got, want := fmt.Sprintf("%016x", driven.Row.Checksum), "fb890ab64b0f50af"; got != want {
		t.Errorf("checksum of rows with a driver %s, want %s", got, want)
	}
	b := fill() // without a driver the sum is that of releases that knew of none
	b.close(199, t0, "one engine")
	if got, want := fmt.Sprintf("%016x", b.Row.Checksum), "056e8c8b87fc7178"; got != want {
		t.Errorf("checksum %s, want %s", got, want)
	}
	again := fill()
	again.close(299, t0+1, "another")
	if again.Row.Checksum != b.Row.Checksum {
		t.Error("the checksum tells engine, range or watermark")
	}
}

// TestFlagsPage: docs/formats/flags.md has every flag at its bit.
func TestFlagsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `(\\w+)` \\| .{10,} \\|$").FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	var want []string
	for bit, name := range (flagUnitGuessed - 1).Names() {
		want = append(want, fmt.Sprintf("%d %s", bit, name))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRunbook: every halt that the program has, has a page with the four things that an operator needs, and the
// index leads to it; no page is of a halt that does not exist.
func TestRunbook(t *testing.T) {
	var reasons []string
	word := regexp.MustCompile(`(?:Reason: |\bhalt\w+ += )"([a-z-]+)"`)
	for _, glob := range []string{"*.go", "../connectors/kafka/*.go", "../connectors/clickhouse/*.go"} {
		files, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range word.FindAllStringSubmatch(string(src), -1) {
				reasons = append(reasons, m[1])
			}
		}
	}
	halts := len(reasons)
	reasons = append(reasons, "kafka-unreachable")
	for _, fault := range ends.Faults()[1:] {
		reasons = append(reasons, "store-"+string(fault))
	}
	alerts := alertPages(t)
	reasons = append(reasons, alerts...)
	slices.Sort(reasons)
	reasons = slices.Compact(reasons)
	if halts < 12 || len(reasons) < 12 {
		t.Fatalf("only %v found: where are the others?", reasons)
	}
	index, err := os.ReadFile("../docs/runbook/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for _, m := range regexp.MustCompile(`(?m)^\| \[([a-z-]+)\]\(([a-z-]+)\.md\) \|`).FindAllStringSubmatch(string(index), -1) {
		if m[1] != m[2] {
			t.Errorf("%s leads to %s", m[1], m[2])
		}
		linked = append(linked, m[1])
	}
	slices.Sort(linked)
	if diff := cmp.Diff(reasons, linked); diff != "" {
		t.Errorf("halts, states and alerts, and the index: %s", diff)
	}
	files, err := filepath.Glob("../docs/runbook/*.md")
	if err != nil || len(files) < len(reasons) {
		t.Errorf("%d pages for %d halts, states and alerts (%v)", len(files), len(reasons), err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "README.md" && !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("nothing leads to %s", name)
		}
	}
	for _, r := range reasons {
		page, err := os.ReadFile("../docs/runbook/" + r + ".md")
		if err != nil {
			t.Error(err)
			continue
		}
		at := 0
		title, safe := "# Halt: ", "\n"
		switch {
		case strings.HasPrefix(r, "store-") || strings.HasPrefix(r, "kafka-"):
			title = "# State: "
		case slices.Contains(alerts, r):
			title, safe = "# Alert: ", "\n## What is safe\n"
		}
		for _, part := range []string{
			title + r + "\n", "\n## What it means\n", "\n## How it came\n", safe, "\n## What to do\n\n1. ", "\n## How to see that it is over\n\n",
			"\n## What not to do\n\n- ",
		} {
			n := strings.Index(string(page)[at:], part)
			if n < 0 {
				t.Errorf("%s.md has no %q in its place", r, strings.TrimSpace(part))
				break
			}
			at += n
		}
	}
}

// alertPages are the pages that the alert rules lead to, but those of states.
func alertPages(t *testing.T) []string {
	t.Helper()
	rules, err := os.ReadFile("../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, m := range regexp.MustCompile(`(?m)^ +runbook_url: '.*/docs/runbook/([^/]+)\.md'$`).FindAllStringSubmatch(string(rules), -1) {
		if strings.HasPrefix(m[1], "store-") || strings.HasPrefix(m[1], "kafka-") {
			continue
		}
		pages = append(pages, m[1])
	}
	if alerts := strings.Count(string(rules), "- alert: "); alerts < 12 || strings.Count(string(rules), "runbook_url: ") != alerts {
		t.Errorf("%d alerts, %d pages", alerts, strings.Count(string(rules), "runbook_url: "))
	}
	return pages
}
