package ocpi

import (
	"fmt"
	"testing"

	"github.com/wattline/wattline/rating"
)

// BenchmarkDecodeReference is what a start does with each location of the reference log: one of 50 charge points.
func BenchmarkDecodeReference(b *testing.B) {
	l := &rating.Location{CountryCode: "NL", PartyID: "WTL", ID: "PAR00004", Name: "Paris 4", City: "Paris", Country: "FRA", Zone: "Europe/Paris", LastUpdatedMs: 1_767_596_100_000}
	for i := range 50 {
		l.EVSEs = append(l.EVSEs, rating.EVSE{UID: fmt.Sprintf("WTL*BENCH*%08d*c59f48d1879822b0347e5", i), Connectors: []rating.Connector{
			{ID: "1", MaxPowerW: 22_080, TariffIDs: []string{fmt.Sprintf("DAY-NIGHT-%05d", i)}},
		}})
	}
	key, value, err := AppendReference(nil, nil, &Reference{
		Kind: ReferenceLocation, LocationKey: rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}, Location: l,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeReference(key, value); err != nil {
			b.Fatal(err)
		}
	}
}
