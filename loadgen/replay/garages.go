package replay

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// Garages is how often the garage is there, once for each tariff.
const Garages = 3

// Zone is the clock of the garages.
const Zone = "America/Los_Angeles"

const (
	countryCode = "US"
	partyID     = "WTL"
	cents       = rating.PriceScale / 100
	tax         = 9_50 // hundredths of a percent
)

func garageID(garage int) string { return "GARAGE-" + string(rune('A'+garage)) }

// Tariffs are those of the garages, one each: energy by the hour of the day and the weekday with a minimum; energy by
// tiers with a fee for who stays; time alone with large steps and a maximum.
func Tariffs() [Garages]*rating.Tariff {
	component := func(d rating.Dimension, price, step int64) rating.Component {
		return rating.Component{Dimension: d, PriceNano: price * cents, VAT: tax, StepSize: step}
	}
	when := func(set func(*rating.Restrictions), components ...rating.Component) rating.Element {
		e := rating.Element{Components: components, Restrictions: rating.Unrestricted()}
		set(&e.Restrictions)
		return e
	}
	always := func(*rating.Restrictions) {}
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	tariff := func(id string, low, high rating.PriceLimit, elements ...rating.Element) *rating.Tariff {
		return &rating.Tariff{
			CountryCode: countryCode, PartyID: partyID, ID: id, Currency: "USD", Type: "REGULAR", Min: low, Max: high, Elements: elements,
			ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: rating.Unknown,
		}
	}
	const energy, parking, charging, flat = rating.Energy, rating.ParkingTime, rating.Time, rating.Flat
	return [Garages]*rating.Tariff{
		tariff("BY-THE-CLOCK", rating.PriceLimit{ExclNano: 200 * cents, InclNano: 219 * cents}, none,
			when(func(r *rating.Restrictions) { r.Weekdays = 0b1100000 }, component(energy, 21, 1)),
			when(func(r *rating.Restrictions) { r.StartTimeMin, r.EndTimeMin = 16*60, 21*60 }, component(energy, 48, 1)),
			when(func(r *rating.Restrictions) { r.StartTimeMin, r.EndTimeMin = 22*60, 6*60 }, component(energy, 19, 1)),
			when(always, component(energy, 33, 1))),
		tariff("BY-THE-KWH", none, none,
			when(func(r *rating.Restrictions) { r.MinDurationMs = 6 * hourMs }, component(parking, 150, 300)),
			when(func(r *rating.Restrictions) { r.MaxEnergyMwh = 10_000_000 }, component(energy, 36, 100)),
			when(func(r *rating.Restrictions) { r.MaxEnergyMwh = 30_000_000 }, component(energy, 31, 100)),
			when(always, component(flat, 45, 0), component(energy, 27, 100), component(parking, 0, 1))),
		tariff("BY-THE-HOUR", none, rating.PriceLimit{ExclNano: 1_800 * cents, InclNano: 1_971 * cents},
			when(func(r *rating.Restrictions) { r.MinDurationMs = 3 * hourMs }, component(charging, 120, 900), component(parking, 240, 900)),
			when(always, component(charging, 160, 900), component(parking, 160, 900))),
	}
}

// Locations are the garages: a site each, whose stations are all by its tariff.
func (r *Replay) Locations() [Garages]*rating.Location {
	var list [Garages]*rating.Location
	for g, t := range Tariffs() {
		p := &rating.Location{
			CountryCode: countryCode, PartyID: partyID, ID: garageID(g), Name: "Garage by " + t.ID, City: "Pasadena", Country: "USA", Zone: Zone,
			LastUpdatedMs: rating.Unknown,
		}
		for s := range r.stations {
			p.EVSEs = append(p.EVSEs, rating.EVSE{UID: ChargePoint(g, s), Connectors: []rating.Connector{{ID: "1", MaxPowerW: PowerW, TariffIDs: []string{t.ID}}}})
		}
		list[g] = p
	}
	return list
}

// WriteReference writes tariffs/ID.json and locations/ID.json below dir, as `wattline reference load` takes them.
// Files of that name are replaced, others left alone. Errors: of the file system.
func (r *Replay) WriteReference(dir string) error {
	write := func(folder, id string, object []byte) error {
		folder = filepath.Join(dir, folder)
		err := os.MkdirAll(folder, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, id+".json"), append(object, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("write reference: %w", err)
		}
		return nil
	}
	for _, t := range Tariffs() {
		if err := write("tariffs", t.ID, ocpi.AppendTariffJSON(nil, t)); err != nil {
			return err
		}
	}
	for _, p := range r.Locations() {
		if err := write("locations", p.ID, ocpi.AppendLocationJSON(nil, p)); err != nil {
			return err
		}
	}
	return nil
}
