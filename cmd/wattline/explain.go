package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
)

// explain prints the bill as a driver can follow it: what was charged when, by which price, and why it changed.
func (b *bill) explain(w io.Writer, decimals int) {
	first, last := b.session.Points[0], b.session.Points[len(b.session.Points)-1]
	fmt.Fprintf(w, "Session %s, tariff %s\n", b.session.ID, b.session.TariffID)
	fmt.Fprintf(w, "%s to %s (%s)\n", b.day(first.AtMs), b.day(last.AtMs), b.session.Zone)
	fmt.Fprintf(w, "%s kWh", decimal(b.total.EnergyMwh, 6))
	for _, part := range []struct {
		ms   int64
		what string
	}{{b.total.ReservationMs, "reserved"}, {b.total.ChargingMs, "charging"}, {b.total.ParkingMs, "parking"}} {
		if part.ms > 0 {
			fmt.Fprintf(w, ", %s %s", part.what, length(part.ms))
		}
	}
	fmt.Fprintln(w)
	if b.tariff.TaxIncluded == rating.TaxIncludedYes {
		fmt.Fprintln(w, "The prices of this tariff include tax.")
	}
	fmt.Fprintln(w)

	settling, at := false, int64(-1<<63)
	for i := range b.lines {
		l := &b.lines[i]
		if l.kind == rating.ChargeUsage || l.kind == rating.ChargeExpiry {
			if l.periodMs != at {
				at = l.periodMs
				fmt.Fprintf(w, "  %s  %s\n", b.day(at), why(l))
			}
		} else if !settling {
			settling = true
			fmt.Fprintf(w, "  At the end\n")
		}
		fmt.Fprintf(w, "    %-58s %16s\n", b.describe(l), l.Incl)
	}
	b.totals(w, decimals)
}

func (b *bill) totals(w io.Writer, decimals int) {
	excl, known, incl := b.amounts(decimals)
	currency := strings.TrimSpace(" " + b.tariff.Currency)
	fmt.Fprintf(w, "\n    %-58s %16s %s\n", "To pay", incl, currency)
	if known {
		fmt.Fprintf(w, "    %-58s %16s %s\n\n", "  of this without tax", excl, currency)
		return
	}
	fmt.Fprintf(w, "    %-58s %16s\n\n", "  of this without tax", "not known")
}

// describe says what a line is for.
func (b *bill) describe(l *lineJSON) string {
	switch l.kind {
	case rating.ChargeMin:
		return l.limitText("raised to the minimum price")
	case rating.ChargeMax:
		return l.limitText("lowered to the maximum price")
	case rating.ChargeRounding:
		return "rounding"
	}
	what := [rating.NumDimensions]string{"fee", "energy", "charging time", "parking time"}[l.dimension]
	if l.kind == rating.ChargeStep {
		what = "rounded up: " + what
	}
	if l.kind == rating.ChargeExpiry {
		what = "reservation expired, " + what
	}
	unit := ""
	switch l.dimension {
	case rating.Energy:
		what += " " + decimal(l.EnergyMwh, 6) + " kWh"
		unit = " per kWh"
	case rating.Time, rating.ParkingTime:
		what += " " + length(l.DurationMs)
		unit = " per hour"
	}
	if l.Price == nil {
		return what + ", free of charge"
	}
	if l.dimension != rating.Flat {
		what += " at " + *l.Price + unit
	}
	if l.VAT != nil && b.tariff.TaxIncluded != rating.TaxIncludedNA {
		sign := "+ "
		if b.tariff.TaxIncluded == rating.TaxIncludedYes {
			sign = "with "
		}
		what += " " + sign + *l.VAT + " % tax"
	}
	return what
}

// limitText is text, unless only the price without tax has reached its limit: each has its own.
func (l *lineJSON) limitText(text string) string {
	if strings.Trim(l.Incl, "0.") == "" {
		return "without tax " + text
	}
	return text
}

// why says what began the charging period of a line.
func why(l *lineJSON) string {
	if l.Split == nil {
		return ""
	}
	return [...]string{
		rating.SplitStart:    "start",
		rating.SplitClock:    "the price changes at this time of day",
		rating.SplitWeekday:  "the price changes with the day",
		rating.SplitEnergy:   "the price changes at this energy",
		rating.SplitDuration: "the price changes after this time",
		rating.SplitPower:    "the price changes with the power",
		rating.SplitState:    "the car begins or stops charging",
	}[l.split]
}

// day is a local time for people; the zone's name tells the two passes of the autumn hour apart.
func (b *bill) day(ms int64) string {
	t := time.UnixMilli(ms).In(b.zone.clock)
	if ms%1000 != 0 {
		return t.Format("Mon 2006-01-02 15:04:05.000 MST")
	}
	return t.Format("Mon 2006-01-02 15:04:05 MST")
}

// length is a duration for people: "1 h 30 min 5 s".
func length(ms int64) string {
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	var parts []string
	for _, u := range []struct {
		ms   int64
		name string
	}{{3_600_000, "h"}, {60_000, "min"}} {
		if n := ms / u.ms; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
		}
		ms %= u.ms
	}
	if ms > 0 || len(parts) == 0 {
		parts = append(parts, decimal(ms, 3)+" s")
	}
	return sign + strings.Join(parts, " ")
}

// decimal is v / 10^digits without trailing zeros.
func decimal(v int64, digits int) string {
	text := money.FormatDecimal(v, digits)
	if !strings.Contains(text, ".") {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
