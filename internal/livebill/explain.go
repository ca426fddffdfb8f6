package livebill

import (
	"fmt"
	"strings"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/liveview"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
)

// Session is a session as the API tells it, as far as a bill has it.
type Session struct {
	ID          string `json:"id"`
	ChargePoint string `json:"charge_point"`
	Connector   int32  `json:"connector"`
	Location    string `json:"location"`
	Status      string `json:"status"`
	Start       string `json:"start"`
	Last        string `json:"last"`
	EnergyMwh   int64  `json:"energy_mwh"`
	Currency    string `json:"currency"`
	ExclMicros  *int64 `json:"excl_micros"`
	InclMicros  int64  `json:"incl_micros"`
	Tariff      string `json:"tariff"`
	Tier        string `json:"tier"`
	Zone        string `json:"zone"`
	HeldReason  string `json:"held_reason"`
	Final       bool   `json:"final"`
}

// Explain makes the explained bill of a session out of its rows and what it costs by now.
func Explain(s *Session, rows []clickhouse.BillLine) *liveview.Bill {
	zone := clockOf(s.Zone)
	b := &liveview.Bill{
		Session: s.ID, ChargePoint: fmt.Sprintf("%s/%d", s.ChargePoint, s.Connector), Tariff: s.Tariff, Status: s.Status,
		Since: localText(s.Start, zone), Last: localText(s.Last, zone), EnergyMwh: s.EnergyMwh, Currency: s.Currency,
		Incl: s.InclMicros, Open: s.InclMicros, Final: s.Final, Note: s.HeldReason,
	}
	if s.Tier != "" {
		b.Tariff += ", tier " + s.Tier
	}
	if s.ExclMicros != nil {
		b.NoTax, b.Excl = true, *s.ExclMicros
	}
	period, settling := int64(-1), false
	for i := range rows {
		r := &rows[i]
		line := liveview.BillLine{What: rowText(r), Micros: r.InclMicros}
		switch {
		case r.Kind != "usage" && !settling:
			settling, line.Head = true, "at the end"
		case r.Kind == "usage" && int64(r.Period) != period:
			period = int64(r.Period)
			line.Head = time.UnixMilli(r.PeriodMs).In(zone).Format("15:04:05") + "  " + splitWords(r.Split)
		}
		b.Open -= r.InclMicros
		b.Rows = append(b.Rows, line)
	}
	return b
}

// clockOf is a zone of the database that is built in; UTC for one that it does not have.
func clockOf(name string) *time.Location {
	data, err := rating.ZoneData(name)
	if err != nil {
		return time.UTC
	}
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return time.UTC
	}
	return zone
}

// localText is a time of the API by the clock of the site.
func localText(text string, zone *time.Location) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "-"
	}
	return t.In(zone).Format("Mon 2 Jan 15:04:05")
}

// rowText says what a line of the bill is for.
func rowText(r *clickhouse.BillLine) string {
	what := map[string]string{"FLAT": "fee", "ENERGY": "energy", "TIME": "charging time", "PARKING_TIME": "parking time"}[r.Dimension]
	switch r.Kind {
	case "min":
		return "raised to the minimum price"
	case "max":
		return "lowered to the maximum price"
	case "rounding":
		return "rounding"
	case "step":
		what = "rounded up: " + what
	case "expiry":
		what = "reservation expired, " + what
	}
	unit := ""
	switch r.Dimension {
	case "ENERGY":
		what, unit = what+" "+liveview.Kwh(r.EnergyMwh)+" kWh", " per kWh"
	case "TIME", "PARKING_TIME":
		what, unit = what+" "+(time.Duration(r.DurationMs)*time.Millisecond).Truncate(time.Second).String(), " per hour"
	}
	if r.Element < 0 {
		return what + ", free of charge"
	}
	if unit != "" {
		what += " at " + decimal(r.PriceNano, 9) + unit
	}
	if r.VATBp >= 0 {
		what += ", " + decimal(int64(r.VATBp), 2) + " % tax"
	}
	return what
}

// splitWords says what began a charging period, by the names of column split.
func splitWords(split string) string {
	return map[string]string{
		"start": "start", "clock": "the price changes at this time of day", "weekday": "the price changes with the day",
		"energy": "the price changes at this energy", "duration": "the price changes after this time",
		"power": "the price changes with the power", "state": "the car begins or stops charging",
	}[split]
}

// decimal is v / 10^digits without trailing zeros.
func decimal(v int64, digits int) string {
	text := money.FormatDecimal(v, digits)
	if !strings.Contains(text, ".") {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// Of is a session of an engine as a bill has it.
func Of(v *engine.SessionView) *Session {
	b := &Session{
		ID: v.ID, ChargePoint: v.ChargePoint, Connector: v.Connector, Location: v.Location, Status: status(v.Status), Start: instant(v.StartMs), Last: instant(v.LastMs),
		EnergyMwh: v.Total.EnergyMwh, Currency: v.Currency, InclMicros: v.Total.InclMicros, Tariff: v.Tariff, Tier: v.Tier, Zone: v.Zone, HeldReason: v.HeldReason,
	}
	if !v.Total.ExclUnknown {
		b.ExclMicros = &v.Total.ExclMicros
	}
	return b
}

// status is the name of a session's status, as in column status.
func status(s engine.SessionStatus) string {
	names := [...]string{"", "RESERVED", "ACTIVE", "COMPLETED", "PROVISIONAL", "HELD", "UNPRICEABLE"}
	if int(s) < len(names) {
		return names[s]
	}
	return ""
}

// instant is a time as the API writes it; "" where it is not known.
func instant(ms int64) string {
	if ms == rating.Unknown {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)
}
