package liveview

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Frame is a moment. Amounts and energy are integers as everywhere; here they become text.
type Frame struct {
	Title string    // what runs, and how fast
	At    time.Time // by the clock of the readings; zero: none has come yet
	State string    // what keeps the figures from being complete, as "catching up"; "" when nothing does

	ReadingsPerSecond int64
	LiveSessions      int64
	HeldSessions      int64
	Lag               int64 // messages; -1 unknown
	Freshness         time.Duration
	FreshnessKnown    bool

	Rows      int64 // durable in charges
	EnergyMwh int64 // of them
	Revenue   []Money
	Totals    bool // whether the three above are known

	Dearest  []Session
	Hints    []string // where and how to query
	Warnings []string // the newest last
}

// Money is an amount of one currency, 1e-6 units.
type Money struct {
	Currency string
	Micros   int64
}

// Session is one of the dearest.
type Session struct {
	ChargePoint string
	Since       string // start, as a time of day
	EnergyMwh   int64
	Price       Money
	Why         string // the reason of the last price change
}

// dearestRows is how many sessions a screen has room for, if it has the room.
const dearestRows = 10

// Lines lays the frame out for a screen, at most width columns wide. Where height is short of it, sessions are left
// out rather than the hints below them; 24 have room for all.
func (f *Frame) Lines(width, height int) []string {
	l := layout{width: width}
	l.add("%s", f.Title)
	l.add("%s", f.clock())
	l.add("%-14s%-20s%-14s%s", "readings", Group(f.ReadingsPerSecond)+" /s", "lag", f.lag())
	l.add("%-14s%-20s%-14s%s", "sessions", f.sessions(), "freshness", f.freshness())
	l.add("%-14s%-20s%-14s%s", "rows: energy", f.energy(), "rows", f.rows())
	l.add("%-14s%s", "rows: revenue", f.revenue())
	l.add("")
	l.add("%-17s%6s%10s%13s     %s", "dearest now", "since", "kWh", "price", "price changed by")
	below := len(f.Hints) + len(f.Warnings)
	if len(f.Hints) > 0 {
		below++
	}
	if len(f.Warnings) > 0 {
		below++
	}
	rows := max(1, min(dearestRows, height-len(l.lines)-below))
	shown := f.Dearest[:min(rows, len(f.Dearest))]
	for _, s := range shown {
		l.add("%-17s%6s%10s%13s %-3s %s", Cut(s.ChargePoint, 17), s.Since, Kwh(s.EnergyMwh), Amount(s.Price.Micros, 4), s.Price.Currency, s.Why)
	}
	for range rows - len(shown) {
		l.add("")
	}
	if len(f.Hints) > 0 {
		l.add("")
		for _, h := range f.Hints {
			l.add("%s", h)
		}
	}
	if len(f.Warnings) > 0 {
		l.add("")
		for _, w := range f.Warnings {
			l.add("! %s", w)
		}
	}
	return l.lines
}

// Plain says the frame in a few lines that can stand below each other in a log.
func (f *Frame) Plain(width int) []string {
	l := layout{width: width}
	at := "no reading yet"
	if !f.At.IsZero() {
		at = f.At.UTC().Format("2 Jan 15:04:05")
	}
	l.add("%s  %s readings/s, %s live, lag %s, fresh %s", at, Group(f.ReadingsPerSecond), Group(f.LiveSessions), Group(max(f.Lag, 0)), f.freshness())
	if f.State != "" {
		l.add("  %s", f.State)
	}
	l.add("  rows: %s energy, %s revenue%s", f.energy(), f.revenue(), f.held())
	if len(f.Dearest) > 0 {
		s := f.Dearest[0]
		l.add("  dearest %s: %s %s, %s kWh, %s", s.ChargePoint, Amount(s.Price.Micros, 4), s.Price.Currency, Kwh(s.EnergyMwh), s.Why)
	}
	for _, w := range f.Warnings {
		l.add("  ! %s", w)
	}
	return l.lines
}

func (f *Frame) clock() string {
	text := "no reading yet"
	if !f.At.IsZero() {
		text = f.At.UTC().Format("Mon 2 Jan 2006 15:04:05") + " UTC"
	}
	if f.State != "" {
		text += ", " + f.State
	}
	return text
}

func (f *Frame) lag() string {
	if f.Lag < 0 {
		return "-"
	}
	return Group(f.Lag) + " messages"
}

func (f *Frame) sessions() string { return Group(f.LiveSessions) + " live" + f.held() }

func (f *Frame) held() string {
	if f.HeldSessions == 0 {
		return ""
	}
	return ", " + Group(f.HeldSessions) + " held"
}

func (f *Frame) freshness() string {
	if !f.FreshnessKnown {
		return "-"
	}
	return strconv.FormatInt(f.Freshness.Milliseconds()/1000, 10) + "." + strconv.FormatInt(f.Freshness.Milliseconds()/100%10, 10) + " s"
}

func (f *Frame) energy() string {
	if !f.Totals {
		return "-"
	}
	return Group(f.EnergyMwh/1_000_000) + " kWh"
}

func (f *Frame) rows() string {
	if !f.Totals {
		return "-"
	}
	return Group(f.Rows) + " in ClickHouse"
}

func (f *Frame) revenue() string {
	if !f.Totals || len(f.Revenue) == 0 {
		return "-"
	}
	parts := make([]string, len(f.Revenue))
	for i, m := range f.Revenue {
		parts[i] = m.Currency + " " + Amount(m.Micros, 2)
	}
	return strings.Join(parts, "   ")
}

// layout cuts lines to a width (V1).
type layout struct {
	width int
	lines []string
}

func (l *layout) add(format string, args ...any) {
	l.lines = append(l.lines, Cut(strings.TrimRight(fmt.Sprintf(format, args...), " "), l.width))
}

// Cut shortens text to width columns; what is not ASCII becomes a question mark (V2).
func Cut(text string, width int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n == width {
			break
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// Group writes n with a comma at the thousands.
func Group(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Kwh writes energy with 3 decimals, cut.
func Kwh(mwh int64) string {
	sign := ""
	if mwh < 0 {
		sign, mwh = "-", -mwh
	}
	return fmt.Sprintf("%s%s.%03d", sign, Group(mwh/1_000_000), mwh/1000%1000)
}

// Amount writes micros with some decimals (0 to 6), cut: it is for the eye, the exact one is in the API.
func Amount(micros int64, decimals int) string {
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	text := sign + Group(micros/1_000_000)
	if decimals > 0 {
		text += "." + fmt.Sprintf("%06d", micros%1_000_000)[:decimals]
	}
	return text
}
