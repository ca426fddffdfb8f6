package ocpi

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/wattline/wattline/rating"
)

// CDR is what an OCPI 2.2.1 CDR says of a session that is final.
type CDR struct {
	ID, SessionID  string // 36 characters at most: a credit CDR appends to them
	StartMs, EndMs int64  // ms since 1970 UTC
	Token          CDRToken
	Place          rating.Placement
	Currency       string
	TariffID       string
	Tariffs        []byte // of AppendCDRTariff; nil: none
	Periods        []CDRPeriod
	Total          rating.Total // quantities, and the sum of all rows
	// Costs are the sums of the rows that are for something; nil: not known.
	Costs         *CDRCosts
	Remark        string
	LastUpdatedMs int64
}

// CDRToken is who charged. Without a pseudonym nobody was named: the session itself is the token.
type CDRToken struct {
	CountryCode, PartyID string // of who issued it; empty: the location's
	Pseudonym            string // 36 characters at most, never the token itself
	Contract             string // contract_id; empty: not known
}

// CDRPeriod is a charging period and what it holds; it ends where the next one begins.
type CDRPeriod struct {
	StartMs                              int64
	EnergyMwh                            int64
	ChargingMs, ParkingMs, ReservationMs int64
}

// CDRCosts are the totals of a CDR beside total_cost, in micros of the currency.
type CDRCosts struct {
	Fixed, Energy, Time, Parking, Reservation CDRCost
}

// CDRCost is an amount without and with tax, micros.
type CDRCost struct{ ExclMicros, InclMicros int64 }

// ErrNoCDR says that a session can not have a CDR, as a field that OCPI demands is missing, or can not hold what is known.
// The text behind it begins with the field's path.
var ErrNoCDR = errors.New("no CDR")

// AppendCDR appends c as an OCPI 2.2.1 CDR object (mod_cdrs), fields in the order of the standard, nothing that is absent.
// Money has 4 decimals, half up; energy is exact; hours have 7 decimals, half up, from which the milliseconds can be told.
// Equal CDRs give equal bytes. dst may be kept by the caller. Errors: ErrNoCDR, wrapped; dst is then as it was.
func AppendCDR(dst []byte, c *CDR) ([]byte, error) {
	f := faults{}
	l := c.Place.Location
	f.exactly("country_code", l.CountryCode, 2)
	f.exactly("party_id", l.PartyID, 3)
	f.text("id", c.ID, 36)
	f.exactly("currency", c.Currency, 3)
	f.text("charging_periods[0].tariff_id", c.TariffID, 36)
	f.token(&c.Token)
	f.place(&c.Place)
	if c.Total.ExclUnknown {
		f.add("total_cost.excl_vat", "the price without tax can not be known (tax_included YES, and a component without vat)")
	}
	if f.first != "" {
		return dst, fmt.Errorf("%w: %s", ErrNoCDR, f.first)
	}
	o := object{dst: append(dst, '{')}
	o.text("country_code", l.CountryCode)
	o.text("party_id", l.PartyID)
	o.text("id", c.ID)
	o.instant("start_date_time", c.StartMs)
	o.instant("end_date_time", c.EndMs)
	o.text("session_id", c.SessionID)
	o.cdrToken(c)
	o.text("auth_method", "WHITELIST") // nobody but the charge point was asked, as far as is known
	o.cdrLocation(&c.Place)
	o.text("currency", c.Currency)
	if c.Tariffs != nil {
		o.field("tariffs")
		o.dst = append(append(append(o.dst, '['), c.Tariffs...), ']')
	}
	o.list("charging_periods", len(c.Periods), func(dst []byte, i int) []byte { return appendPeriod(dst, &c.Periods[i], c.TariffID) })
	o.cdrTotals(c)
	o.text("remark", c.Remark)
	o.instant("last_updated", c.LastUpdatedMs)
	return append(o.dst, '}'), nil
}

// cdrToken writes the CdrToken.
func (o *object) cdrToken(c *CDR) {
	t, l := &c.Token, c.Place.Location
	country, party, uid, kind := t.CountryCode, t.PartyID, t.Pseudonym, "OTHER" // of what kind a token is, no charge point says
	if country == "" {
		country, party = l.CountryCode, l.PartyID
	}
	if uid == "" {
		uid, kind = c.SessionID, "AD_HOC_USER"
	}
	contract := t.Contract
	if contract == "" {
		contract = uid
	}
	o.field("cdr_token")
	in := object{dst: append(o.dst, '{')}
	in.text("country_code", country)
	in.text("party_id", party)
	in.text("uid", uid)
	in.text("type", kind)
	in.text("contract_id", contract)
	o.dst = append(in.dst, '}')
}

// cdrLocation writes the CdrLocation.
func (o *object) cdrLocation(p *rating.Placement) {
	l := p.Location
	o.field("cdr_location")
	in := object{dst: append(o.dst, '{')}
	in.text("id", l.ID)
	in.text("name", l.Name)
	in.text("address", l.Address)
	in.text("city", l.City)
	in.text("postal_code", l.PostalCode)
	in.text("state", l.State)
	in.text("country", l.Country)
	in.field("coordinates")
	at := object{dst: append(in.dst, '{')}
	latitude, _ := degrees(l.Latitude, 2)
	longitude, _ := degrees(l.Longitude, 3)
	at.text("latitude", latitude)
	at.text("longitude", longitude)
	in.dst = append(at.dst, '}')
	in.text("evse_uid", p.EVSE.UID)
	in.text("evse_id", p.EVSE.ID)
	in.text("connector_id", p.Connector.ID)
	in.text("connector_standard", p.Connector.Standard)
	in.text("connector_format", p.Connector.Format)
	in.text("connector_power_type", p.Connector.PowerType)
	o.dst = append(in.dst, '}')
}

// appendPeriod writes a ChargingPeriod. What there is none of has no dimension, but one must be there.
func appendPeriod(dst []byte, p *CDRPeriod, tariffID string) []byte {
	o := object{dst: append(dst, '{')}
	o.instant("start_date_time", p.StartMs)
	o.field("dimensions")
	list := dimensions{dst: append(o.dst, '[')}
	if p.EnergyMwh != 0 {
		list.next("ENERGY")
		list.dst = append(appendDecimal(list.dst, p.EnergyMwh, kwhDigits), '}')
	}
	list.time("TIME", p.ChargingMs)
	list.time("PARKING_TIME", p.ParkingMs)
	list.time("RESERVATION_TIME", p.ReservationMs)
	if !list.some {
		list.next("TIME")
		list.dst = append(list.dst, "0}"...)
	}
	o.dst = append(list.dst, ']')
	o.text("tariff_id", tariffID)
	return append(o.dst, '}')
}

// dimensions writes CdrDimensions, with the commas between them.
type dimensions struct {
	dst  []byte
	some bool
}

func (l *dimensions) next(kind string) {
	if l.some {
		l.dst = append(l.dst, ',')
	}
	l.some = true
	l.dst = append(append(append(l.dst, `{"type":"`...), kind...), `","volume":`...)
}

func (l *dimensions) time(kind string, ms int64) {
	if ms != 0 {
		l.next(kind)
		l.dst = append(appendHours(l.dst, ms), '}')
	}
}

// cdrTotals writes what the session costs and holds.
func (o *object) cdrTotals(c *CDR) {
	t, costs := &c.Total, c.Costs
	o.cost("total_cost", CDRCost{t.ExclMicros, t.InclMicros})
	if costs != nil && costs.Fixed != (CDRCost{}) {
		o.cost("total_fixed_cost", costs.Fixed)
	}
	o.number("total_energy", t.EnergyMwh, kwhDigits)
	if costs != nil && (t.EnergyMwh != 0 || costs.Energy != (CDRCost{})) {
		o.cost("total_energy_cost", costs.Energy)
	}
	o.hours("total_time", t.ChargingMs+t.ParkingMs)
	if costs != nil && (t.ChargingMs != 0 || costs.Time != (CDRCost{})) {
		o.cost("total_time_cost", costs.Time)
	}
	if t.ParkingMs != 0 {
		o.hours("total_parking_time", t.ParkingMs)
	}
	if costs != nil && (t.ParkingMs != 0 || costs.Parking != (CDRCost{})) {
		o.cost("total_parking_cost", costs.Parking)
	}
	if costs != nil && (t.ReservationMs != 0 || costs.Reservation != (CDRCost{})) {
		o.cost("total_reservation_cost", costs.Reservation)
	}
}

// cost writes a Price (types): 4 decimals, half up, toward +infinity on a tie.
func (o *object) cost(key string, c CDRCost) {
	o.field(key)
	o.dst = appendFixed(append(o.dst, `{"excl_vat":`...), floorDiv(c.ExclMicros+50, 100), cdrDecimals)
	o.dst = appendFixed(append(o.dst, `,"incl_vat":`...), floorDiv(c.InclMicros+50, 100), cdrDecimals)
	o.dst = append(o.dst, '}')
}

// cdrDecimals are those of money.
const cdrDecimals = 4

func (o *object) hours(key string, ms int64) {
	o.field(key)
	o.dst = appendHours(o.dst, ms)
}

// appendHours writes milliseconds as hours of 7 decimals, half up. Neighbouring milliseconds differ by 2.8 of the last
// decimal, so no two have the same text.
func appendHours(dst []byte, ms int64) []byte {
	return appendDecimal(dst, floorDiv(ms*100+18, 36), 7)
}

// AppendCDRTariff appends t as an OCPI 2.2.1 Tariff object, for the tariffs of a CDR. ok false: 2.2.1 has no words for it
// (prices with tax included, or a limit of the price with tax alone), and dst is as it was.
func AppendCDRTariff(dst []byte, t *rating.Tariff) (out []byte, ok bool) {
	lone := func(l rating.PriceLimit) bool { return l.ExclNano == rating.Unknown && l.InclNano != rating.Unknown }
	if t.TaxIncluded == rating.TaxIncludedYes || lone(t.Min) || lone(t.Max) {
		return dst, false
	}
	o := object{dst: append(dst, '{')}
	o.text("country_code", t.CountryCode)
	o.text("party_id", t.PartyID)
	o.text("id", t.ID)
	o.text("currency", t.Currency)
	o.text("type", t.Type)
	o.limit221("min_price", t.Min)
	o.limit221("max_price", t.Max)
	o.list("elements", len(t.Elements), func(dst []byte, i int) []byte {
		e := t.Elements[i]
		if t.TaxIncluded == rating.TaxIncludedNA { // no tax applies, which 2.2.1 says by leaving the VAT out
			e.Components = append([]rating.Component(nil), e.Components...)
			for j := range e.Components {
				e.Components[j].VAT = rating.NoVAT
			}
		}
		return appendElement(dst, &e)
	})
	o.instant("start_date_time", t.ValidFromMs)
	o.instant("end_date_time", t.ValidToMs)
	updated := t.LastUpdatedMs
	if updated == rating.Unknown {
		updated = 0 // OCPI's word for a time that nobody knows
	}
	o.instant("last_updated", updated)
	return append(o.dst, '}'), true
}

// limit221 writes a limit as a Price.
func (o *object) limit221(key string, l rating.PriceLimit) {
	if l.ExclNano == rating.Unknown {
		return
	}
	o.field(key)
	in := object{dst: append(o.dst, '{')}
	in.number("excl_vat", l.ExclNano, priceDigits)
	if l.InclNano != rating.Unknown {
		in.number("incl_vat", l.InclNano, priceDigits)
	}
	o.dst = append(in.dst, '}')
}

// NoCDRFault says what a CDR of a session at p lacks, its path first; "" is nothing. It is what AppendCDR would refuse.
func NoCDRFault(p *rating.Placement) string {
	f := faults{}
	f.exactly("country_code", p.Location.CountryCode, 2)
	f.exactly("party_id", p.Location.PartyID, 3)
	f.place(p)
	return f.first
}

// faults keeps the first reason why there is no CDR.
type faults struct{ first string }

func (f *faults) add(path, format string, args ...any) {
	if f.first == "" {
		f.first = path + ": " + fmt.Sprintf(format, args...)
	}
}

// text holds a field that must be there to its length.
func (f *faults) text(path, value string, most int) {
	if value == "" {
		f.add(path, "is missing")
	}
	f.most(path, value, most)
}

// most holds a field to its length, in characters.
func (f *faults) most(path, value string, most int) {
	if len(value) > most && utf8.RuneCountInString(value) > most {
		f.add(path, "%.60q has %d characters, OCPI 2.2.1 allows %d", value, utf8.RuneCountInString(value), most)
	}
}

func (f *faults) exactly(path, value string, n int) {
	f.text(path, value, n)
	if value != "" && utf8.RuneCountInString(value) < n {
		f.add(path, "%q has not %d characters", value, n)
	}
}

func (f *faults) oneOf(path, value string, values enum) {
	if _, ok := values.own(value); value != "" && !ok {
		f.add(path, "%.60q is none of OCPI 2.2.1", value)
	}
	f.text(path, value, 255)
}

func (f *faults) token(t *CDRToken) {
	if t.CountryCode != "" {
		f.exactly("cdr_token.country_code", t.CountryCode, 2)
		f.exactly("cdr_token.party_id", t.PartyID, 3)
	}
	f.most("cdr_token.uid", t.Pseudonym, 36)
	f.most("cdr_token.contract_id", t.Contract, 36)
}

func (f *faults) place(p *rating.Placement) {
	l, c := p.Location, p.Connector
	f.text("cdr_location.id", l.ID, 36)
	f.most("cdr_location.name", l.Name, 255)
	f.text("cdr_location.address", l.Address, 45)
	f.text("cdr_location.city", l.City, 45)
	f.most("cdr_location.postal_code", l.PostalCode, 10)
	f.most("cdr_location.state", l.State, 20)
	f.exactly("cdr_location.country", l.Country, 3)
	f.degrees("cdr_location.coordinates.latitude", l.Latitude, 2)
	f.degrees("cdr_location.coordinates.longitude", l.Longitude, 3)
	f.text("cdr_location.evse_uid", p.EVSE.UID, 36)
	f.text("cdr_location.evse_id", p.EVSE.ID, 48)
	f.text("cdr_location.connector_id", c.ID, 36)
	f.oneOf("cdr_location.connector_standard", c.Standard, connectorStandards)
	f.oneOf("cdr_location.connector_format", c.Format, connectorFormats)
	f.oneOf("cdr_location.connector_power_type", c.PowerType, powerTypes)
}

func (f *faults) degrees(path, value string, digits int) {
	if value == "" {
		f.add(path, "is missing")
	} else if _, ok := degrees(value, digits); !ok {
		f.add(path, "%.40q is not a number of degrees", value)
	}
}

// degrees gives decimal degrees as a GeoLocation has them (mod_locations): 5 to 7 decimals. Missing ones are zeros, those
// behind the seventh, a centimetre, are left out.
func degrees(value string, digits int) (string, bool) {
	number := strings.TrimPrefix(value, "-")
	whole, fraction, _ := strings.Cut(number, ".")
	if whole == "" || len(whole) > digits || strings.Trim(whole+fraction, "0123456789") != "" {
		return "", false
	}
	sign := value[:len(value)-len(number)]
	if len(fraction) < 5 {
		fraction += strings.Repeat("0", 5-len(fraction))
	}
	return sign + whole + "." + fraction[:min(7, len(fraction))], true
}
