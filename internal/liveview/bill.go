package liveview

import "time"

// Bill is the explained bill of a session at a moment: what its rows say, and what is not in a row yet.
type Bill struct {
	Title string // what is shown, and how to get on

	Session     string // id; "": there is none to show
	ChargePoint string
	Tariff      string
	Status      string
	Since, Last string // local times
	EnergyMwh   int64
	Currency    string

	Rows []BillLine
	// Open is what the price is beyond its rows: what runs since the last row, and what the session's end would add.
	Open  int64
	Incl  int64 // micros, what it costs by now
	Excl  int64
	NoTax bool // Excl is known
	Final bool
	Note  string // what keeps it from being complete; "" when nothing does
	At    time.Time
}

// BillLine is a line of a bill. Head begins a charging period: when, and why.
type BillLine struct {
	Head   string
	What   string
	Micros int64
}

// amountColumn is where amounts end.
const amountColumn = 74

// Lines lays the bill out, at most width columns wide. Where height is short of it the oldest periods are left out: what
// happens now is below.
func (b *Bill) Lines(width, height int) []string {
	head, body, foot := b.parts(width)
	if room := height - len(head) - len(foot); len(body) > room {
		room = max(room, 1)
		cut := layout{width: width}
		cut.add("  ... %d lines above", len(body)-room+1)
		body = append(cut.lines, body[len(body)-room+1:]...)
	}
	return append(append(head, body...), foot...)
}

// Plain is the whole bill as lines that can stand below each other in a log.
func (b *Bill) Plain(width int) []string {
	head, body, foot := b.parts(width)
	return append(append(head, body...), foot...)
}

func (b *Bill) parts(width int) (head, body, foot []string) {
	l := layout{width: width}
	if b.Title != "" {
		l.add("%s", b.Title)
	}
	if b.Session == "" {
		l.add("no session is running")
		if b.Note != "" {
			l.add("%s", b.Note)
		}
		return l.lines, nil, nil
	}
	l.add("%s  %s", b.Session, b.Status)
	l.add("%s, tariff %s", b.ChargePoint, b.Tariff)
	l.add("%s to %s, %s kWh", b.Since, b.Last, Kwh(b.EnergyMwh))
	l.add("")
	head = l.lines
	l = layout{width: width}
	for _, line := range b.Rows {
		if line.Head != "" {
			l.add("  %s", line.Head)
		}
		l.amount("    "+line.What, line.Micros)
	}
	if !b.Final {
		l.amount("  running, not in a row yet", b.Open)
	} else if b.Open != 0 {
		l.amount("  not in a row", b.Open)
	}
	body = l.lines
	l = layout{width: width}
	l.add("")
	what := "to pay if it ended now"
	if b.Final {
		what = "to pay"
	}
	l.amount("  "+what+", "+b.Currency, b.Incl)
	if b.NoTax {
		l.amount("    of this without tax", b.Excl)
	}
	if b.Note != "" {
		l.add("%s", b.Note)
	}
	return head, body, l.lines
}

// amount adds text and an amount with 4 decimals, which ends at one column.
func (l *layout) amount(text string, micros int64) {
	amount := Amount(micros, 4)
	column := min(amountColumn, l.width)
	text = Cut(text, max(column-len(amount)-2, 0))
	l.add("%-*s%s", max(column-len(amount), 0), text, amount)
}
