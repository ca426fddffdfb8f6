package sample

import (
	"context"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// changes is how many records come into the reference log while readings do; they are its last.
const changes = 2

// The sites of the scenes, and the tariff that changes.
const (
	yardSite = "YARD" // whose meters and chargers do odd things
	lateSite = "LATE" // not in the reference log until siteKnownMs
	yardZone = "Europe/Amsterdam"
	dayNight = "AC-DAY-NIGHT"
	week     = "AC-WEEK"

	chargerPowerW = 11_040
)

// log is a reference log that was never in Kafka.
type log []engine.Record

// ReadLog implements engine.LogReader.
func (l log) ReadLog(_ context.Context, _ string, _ int32, from int64, fn func(engine.Record) error) (int64, error) {
	for _, r := range l[from:] {
		if err := fn(r); err != nil {
			return r.Offset, err
		}
	}
	return int64(len(l)), nil
}

func (l *log) put(r ocpi.Reference) error {
	r.By = "wattline sample"
	key, value, err := ocpi.AppendReference(nil, nil, &r)
	*l = append(*l, engine.Record{Offset: int64(len(*l)), Key: key, Value: value})
	return err
}

func (l *log) tariff(t *rating.Tariff, atMs int64) error {
	key := rating.TariffKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID}
	return l.put(ocpi.Reference{Kind: ocpi.ReferenceTariff, AtMs: atMs, TariffKey: key, Tariff: t})
}

func (l *log) location(p *rating.Location, atMs int64) error {
	key := rating.LocationKey{CountryCode: p.CountryCode, PartyID: p.PartyID, ID: p.ID}
	return l.put(ocpi.Reference{Kind: ocpi.ReferenceLocation, AtMs: atMs, LocationKey: key, Location: p})
}

// referenceLog is all that was published: the network, the yard, and at last what changes on the way. The hash key is
// zero, so that sessions have the same ids everywhere.
func referenceLog(n *loadgen.Network) (log, error) {
	var l log
	err := l.put(ocpi.Reference{Kind: ocpi.ReferenceInstallation, AtMs: FromMs})
	for _, t := range n.Tariffs() {
		if err == nil {
			err = l.tariff(t, FromMs)
		}
	}
	for i := range n.Sites() {
		entries, report := ocpi.ParseLocations(n.LocationJSON(nil, i), func(string) error { return nil })
		if err == nil {
			err = report.Err()
		}
		for j := range entries {
			if err == nil {
				err = l.location(entries[j].Location, FromMs)
			}
		}
	}
	for _, next := range []func() error{
		l.putMembers,
		func() error { return l.location(sceneSite(yardSite, "Workshop yard", dayNight), FromMs) },
		func() error { return l.location(sceneSite(lateSite, "Late in the books", week), siteKnownMs) },
		func() error { return l.tariff(dearer(n), tariffChangedMs) },
	} {
		if err == nil {
			err = next()
		}
	}
	return l, err
}

// sceneSite is a location with the chargers of the scenes that are at it.
func sceneSite(id, title, tariff string) *rating.Location {
	p := &rating.Location{
		CountryCode: "NL", PartyID: "WTL", ID: id, Name: title, City: "Amsterdam", Country: "NLD", Zone: yardZone, LastUpdatedMs: FromMs,
	}
	seen := map[string]bool{}
	for _, s := range scenes() {
		if s.site != id || seen[s.chargePoint] {
			continue
		}
		seen[s.chargePoint] = true
		p.EVSEs = append(p.EVSEs, rating.EVSE{UID: s.chargePoint, Connectors: []rating.Connector{{ID: "1", MaxPowerW: chargerPowerW, TariffIDs: []string{tariff}}}})
	}
	return p
}

// tariffOf is the first version of a tariff.
func tariffOf(n *loadgen.Network, id string) *rating.Tariff {
	for _, t := range n.Tariffs() {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// dearer is the second version of AC-DAY-NIGHT: energy costs 3 cents more by day, 2 by night.
func dearer(n *loadgen.Network) *rating.Tariff {
	t := *tariffOf(n, dayNight)
	const cents = rating.PriceScale / 100
	t.LastUpdatedMs = tariffChangedMs
	elements := t.Elements
	t.Elements = nil
	for i, e := range elements {
		e.Components = append([]rating.Component(nil), e.Components...)
		for j := range e.Components {
			if e.Components[j].Dimension == rating.Energy {
				e.Components[j].PriceNano += [...]int64{0, 2, 3}[i] * cents
			}
		}
		t.Elements = append(t.Elements, e)
	}
	return &t
}
