package reference

import (
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating/ocpi"
)

// Decode implements engine.DecodeReference. It keeps nothing of key and value. An error is that of ocpi.DecodeReference:
// the record is of a newer release, or not ours.
func Decode(key, value []byte) (engine.ReferenceRecord, error) {
	r, err := ocpi.DecodeReference(key, value)
	if err != nil {
		return engine.ReferenceRecord{}, err
	}
	switch r.Kind {
	case ocpi.ReferenceTariff:
		return engine.ReferenceRecord{TariffKey: r.TariffKey, Tariff: r.Tariff, TariffGone: r.Tariff == nil}, nil
	case ocpi.ReferenceLocation:
		return engine.ReferenceRecord{LocationKey: r.LocationKey, Location: r.Location, LocationGone: r.Location == nil}, nil
	case ocpi.ReferenceInstallation:
		k := engine.HashKey(r.HashKey)
		return engine.ReferenceRecord{HashKey: &k}, nil
	}
	return engine.ReferenceRecord{}, nil
}
