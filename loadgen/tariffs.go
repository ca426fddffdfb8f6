package loadgen

import (
	"fmt"

	"github.com/wattline/wattline/rating"
)

// The tariffs of a city, as indexes into cityTariffs.
const (
	tariffDayNight int32 = iota
	tariffWeek
	tariffKwhTiers
	tariffHotel
	tariffHours
	tariffReserve
	tariffFree
	tariffPower
	tariffMotorway
	tariffLondon
	tariffLondonFast
)

const (
	vat21, vat20, vat9 = 21_00, 20_00, 9_00
	cents              = rating.PriceScale / 100
	weekend            = uint8(0b1100000)
)

// restrict is an element's restrictions, made of those that set changes.
func restrict(set func(*rating.Restrictions)) rating.Restrictions {
	r := rating.Unrestricted()
	set(&r)
	return r
}

func priced(d rating.Dimension, priceCents int64, vat int32, stepSize int64) rating.Component {
	return rating.Component{Dimension: d, PriceNano: priceCents * cents, VAT: vat, StepSize: stepSize}
}

func element(r rating.Restrictions, components ...rating.Component) rating.Element {
	return rating.Element{Components: components, Restrictions: r}
}

func always(components ...rating.Component) rating.Element {
	return element(rating.Unrestricted(), components...)
}

func between(fromMin, toMin int32) rating.Restrictions {
	return restrict(func(r *rating.Restrictions) { r.StartTimeMin, r.EndTimeMin = fromMin, toMin })
}

func longerThan(hours int64) rating.Restrictions {
	return restrict(func(r *rating.Restrictions) { r.MinDurationMs = hours * hourMs })
}

func minPowerKw(kw int64) rating.Restrictions {
	return restrict(func(r *rating.Restrictions) { r.MinPowerMicroW = kw * 1_000_000_000 })
}

func tariff(id, currency string, elements ...rating.Element) *rating.Tariff {
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	return &rating.Tariff{
		CountryCode: countryCode, PartyID: partyID, ID: id, Currency: currency, Type: "REGULAR",
		Min: none, Max: none, Elements: elements,
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: DefaultEpochMs - dayMs,
	}
}

func limited(t *rating.Tariff, low, high rating.PriceLimit) *rating.Tariff {
	t.Min, t.Max = low, high
	return t
}

// cityTariffs are tariffs as networks have them; together they use every dimension and most restrictions. The
// order is that of the constants.
func cityTariffs() []*rating.Tariff {
	const energy, charging, parking, flat = rating.Energy, rating.Time, rating.ParkingTime, rating.Flat
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	eur := func(excl, incl int64) rating.PriceLimit {
		return rating.PriceLimit{ExclNano: excl * cents, InclNano: incl * cents}
	}
	hotel := tariff("HOTEL-INCL", "EUR",
		element(longerThan(12), priced(parking, 300, vat21, 60)),
		always(priced(flat, 100, vat21, 0), priced(energy, 52, vat9, 1), priced(parking, 0, vat21, 1)))
	hotel.TaxIncluded = rating.TaxIncludedYes
	reserved := restrict(func(r *rating.Restrictions) { r.Reservation = rating.ReservationUsed })
	expired := restrict(func(r *rating.Restrictions) { r.Reservation = rating.ReservationExpires })
	upTo := func(kwh int64) rating.Restrictions {
		return restrict(func(r *rating.Restrictions) { r.MaxEnergyMwh = kwh * 1_000_000 })
	}
	onWeekend := restrict(func(r *rating.Restrictions) { r.Weekdays = weekend })
	night := between(23*60, 7*60)
	return []*rating.Tariff{
		tariff("AC-DAY-NIGHT", "EUR",
			element(longerThan(4), priced(parking, 360, vat21, 60)), // an idle fee from the fifth hour on
			element(night, priced(energy, 29, vat21, 1)),
			always(priced(energy, 41, vat21, 1))),
		tariff("AC-WEEK", "EUR",
			element(onWeekend, priced(energy, 31, vat21, 1)),
			element(between(17*60, 21*60), priced(energy, 49, vat21, 1)),
			always(priced(energy, 38, vat21, 1), priced(parking, 30, vat21, 300))),
		limited(tariff("AC-KWH-TIERS", "EUR",
			element(upTo(10), priced(energy, 34, vat21, 1)),
			element(upTo(30), priced(energy, 39, vat21, 1)),
			always(priced(energy, 46, vat21, 1), priced(charging, 12, vat9, 60))), eur(150, 180), none),
		limited(hotel, none, eur(3_000, 3_500)),
		limited(tariff("AC-HOURS", "EUR",
			element(longerThan(3), priced(charging, 250, vat21, 900), priced(parking, 400, vat21, 900)),
			always(priced(charging, 180, vat21, 900), priced(parking, 180, vat21, 900))), eur(100, 121), eur(2_500, 3_025)),
		tariff("AC-RESERVE", "EUR",
			element(expired, priced(flat, 400, vat21, 0), priced(charging, 600, vat21, 60)),
			element(reserved, priced(charging, 300, vat21, 60)),
			element(night, priced(energy, 30, vat21, 100)),
			always(priced(flat, 50, vat21, 0), priced(energy, 42, vat21, 100))),
		tariff("AC-FREE", "EUR", always(priced(energy, 0, rating.NoVAT, 1))),
		tariff("DC-POWER", "EUR",
			element(minPowerKw(100), priced(energy, 79, vat21, 1)),
			element(minPowerKw(40), priced(energy, 69, vat21, 1)),
			always(priced(flat, 35, vat21, 0), priced(energy, 59, vat21, 1), priced(parking, 1_200, vat21, 60))),
		tariff("DC-MOTORWAY", "EUR",
			element(between(10*60, 20*60), priced(energy, 72, vat21, 1)),
			always(priced(energy, 61, vat21, 1), priced(parking, 900, vat21, 1))),
		tariff("UK-DAY-NIGHT", "GBP",
			element(night, priced(energy, 25, vat20, 1)),
			always(priced(energy, 47, vat20, 1), priced(parking, 100, vat20, 60))),
		tariff("UK-DC", "GBP", always(priced(flat, 40, vat20, 0), priced(energy, 79, vat20, 1), priced(parking, 1_000, vat20, 60))),
	}
}

// benchTariffs are count day and night tariffs with a parking price. The price of each changes in one of the
// eight minutes after epochMin (local minutes since 1970), and twelve hours later.
func benchTariffs(count int, epochMin int64) []*rating.Tariff {
	list := make([]*rating.Tariff, count)
	for i := range list {
		day := int32((epochMin + 1 + int64(i%8)) % 1440)
		k := int64(i % 250)
		list[i] = tariff(fmt.Sprintf("DAY-NIGHT-%05d", i+1), "EUR",
			element(between(day, (day+720)%1440), priced(rating.Energy, 35+k%50, vat21, 1)),
			always(priced(rating.Energy, 20+k/10, vat21, 1), priced(rating.ParkingTime, 60+5*(k%9), vat21, 60)))
	}
	return list
}
