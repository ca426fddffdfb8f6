package ocpi

import (
	"encoding/json"
	"strconv"

	"github.com/wattline/wattline/rating"
)

// AppendTariffJSON appends t as an OCPI 2.3.0 Tariff object: numbers as exact decimals, fields in the order of the
// standard, nothing that is absent. Equal tariffs give equal bytes. Parsing it gives t again (O4). t must lie on the
// grid of EXACTNESS 1, as a parsed tariff does. dst may be kept by the caller.
func AppendTariffJSON(dst []byte, t *rating.Tariff) []byte {
	o := object{dst: append(dst, '{')}
	o.text("country_code", t.CountryCode)
	o.text("party_id", t.PartyID)
	o.text("id", t.ID)
	o.text("currency", t.Currency)
	o.text("type", t.Type)
	o.limit("min_price", t.Min)
	o.limit("max_price", t.Max)
	o.list("elements", len(t.Elements), func(dst []byte, i int) []byte { return appendElement(dst, &t.Elements[i]) })
	o.text("tax_included", taxIncludedText(t.TaxIncluded))
	o.instant("start_date_time", t.ValidFromMs)
	o.instant("end_date_time", t.ValidToMs)
	o.instant("last_updated", t.LastUpdatedMs)
	return append(o.dst, '}')
}

func taxIncludedText(t rating.TaxIncluded) string {
	switch t {
	case rating.TaxIncludedYes:
		return "YES"
	case rating.TaxIncludedNA:
		return "N/A"
	default:
		return "NO"
	}
}

func appendElement(dst []byte, e *rating.Element) []byte {
	o := object{dst: append(dst, '{')}
	o.list("price_components", len(e.Components), func(dst []byte, i int) []byte {
		c := &e.Components[i]
		o := object{dst: append(dst, '{')}
		o.text("type", dimensionText(c.Dimension))
		o.number("price", c.PriceNano, priceDigits)
		if c.VAT != rating.NoVAT {
			o.number("vat", int64(c.VAT), vatDigits)
		}
		o.number("step_size", c.StepSize, 0)
		return append(o.dst, '}')
	})
	dst = o.dst
	if e.Restrictions != noRestrictions() {
		dst = append(dst, `,"restrictions":`...)
		dst = appendRestrictions(dst, &e.Restrictions)
	}
	return append(dst, '}')
}

func appendRestrictions(dst []byte, r *rating.Restrictions) []byte {
	o := object{dst: append(dst, '{')}
	o.timeOfDay("start_time", r.StartTimeMin)
	o.timeOfDay("end_time", r.EndTimeMin)
	o.date("start_date", r.StartDate)
	o.date("end_date", r.EndDate)
	o.bound("min_kwh", r.MinEnergyMwh, kwhDigits)
	o.bound("max_kwh", r.MaxEnergyMwh, kwhDigits)
	o.bound("min_current", r.MinCurrentNanoA, ampDigits)
	o.bound("max_current", r.MaxCurrentNanoA, ampDigits)
	o.bound("min_power", r.MinPowerMicroW, kwDigits)
	o.bound("max_power", r.MaxPowerMicroW, kwDigits)
	o.bound("min_duration", r.MinDurationMs, 3)
	o.bound("max_duration", r.MaxDurationMs, 3)
	if r.Weekdays != rating.EveryWeekday {
		o.field("day_of_week")
		separator := byte('[')
		for day := range 7 {
			if r.Weekdays&(1<<day) != 0 {
				o.dst = append(o.dst, separator)
				o.dst = strconv.AppendQuote(o.dst, weekdayText(day))
				separator = ','
			}
		}
		o.dst = append(o.dst, ']')
	}
	switch r.Reservation {
	case rating.ReservationUsed:
		o.text("reservation", "RESERVATION")
	case rating.ReservationExpires:
		o.text("reservation", "RESERVATION_EXPIRES")
	}
	return append(o.dst, '}')
}

// object writes the fields of one JSON object, with the commas between them.
type object struct {
	dst  []byte
	some bool
}

func (o *object) field(key string) {
	if o.some {
		o.dst = append(o.dst, ',')
	}
	o.some = true
	o.dst = append(append(append(o.dst, '"'), key...), '"', ':') // none of ours has anything to escape
}

// text writes a text field, nothing for "".
func (o *object) text(key, value string) {
	if value == "" {
		return
	}
	o.field(key)
	o.dst = appendText(o.dst, value)
}

func appendText(dst []byte, value string) []byte {
	if plainText(value) {
		return append(append(append(dst, '"'), value...), '"')
	}
	quoted, _ := json.Marshal(value) // a string always marshals
	return append(dst, quoted...)
}

// plainText says that encoding/json would write value as it is.
func plainText(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// list writes a list of n values.
func (o *object) list(key string, n int, value func(dst []byte, i int) []byte) {
	o.field(key)
	o.dst = append(o.dst, '[')
	for i := range n {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = value(o.dst, i)
	}
	o.dst = append(o.dst, ']')
}

func (o *object) number(key string, value int64, digits int) {
	o.field(key)
	o.dst = appendDecimal(o.dst, value, digits)
}

func (o *object) bound(key string, value int64, digits int) {
	if value != rating.NoLimit {
		o.number(key, value, digits)
	}
}

func (o *object) instant(key string, ms int64) {
	if ms == rating.Unknown {
		return
	}
	o.field(key)
	o.dst = append(appendInstant(append(o.dst, '"'), ms), '"')
}

func (o *object) timeOfDay(key string, minutes int32) {
	if minutes == rating.NoTimeOfDay {
		return
	}
	o.field(key)
	o.dst = append(appendTimeOfDay(append(o.dst, '"'), minutes), '"')
}

func (o *object) date(key string, days int32) {
	if days == rating.NoDate {
		return
	}
	o.field(key)
	o.dst = append(appendDate(append(o.dst, '"'), days), '"')
}

func (o *object) limit(key string, l rating.PriceLimit) {
	if l.ExclNano == rating.Unknown && l.InclNano == rating.Unknown {
		return
	}
	o.field(key)
	inner := object{dst: append(o.dst, '{')}
	if l.ExclNano != rating.Unknown {
		inner.number("before_taxes", l.ExclNano, priceDigits)
	}
	if l.InclNano != rating.Unknown {
		inner.number("after_taxes", l.InclNano, priceDigits)
	}
	o.dst = append(inner.dst, '}')
}
