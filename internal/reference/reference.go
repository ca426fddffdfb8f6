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
	case ocpi.ReferenceContract:
		return engine.ReferenceRecord{Pseudonym: r.Pseudonym, Contract: r.Contract, ContractGone: r.Contract == nil}, nil
	case ocpi.ReferenceTier:
		return engine.ReferenceRecord{TierKey: r.TierKey, Tier: r.Tier, TierGone: r.Tier == nil}, nil
	case ocpi.ReferenceDefault:
		return engine.ReferenceRecord{LocationKey: r.LocationKey, Default: r.Default, DefaultGone: r.Default == nil}, nil
	case ocpi.ReferenceTokens:
		return engine.ReferenceRecord{TokenKeys: r.TokenKeys}, nil
	case ocpi.ReferenceInstallation:
		k := engine.HashKey(r.HashKey)
		return engine.ReferenceRecord{HashKey: &k}, nil
	}
	return engine.ReferenceRecord{}, nil
}
