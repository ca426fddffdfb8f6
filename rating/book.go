package rating

import (
	"slices"
	"strconv"
)

// Library is the reference log in memory: every version of every tariff, charge point and contract, each with the
// offset at which it was published. Nothing is ever removed, so the book of any offset can be asked at any time.
//
// A Library is not safe for concurrent use: the engine guards it. Lookups happen when sessions begin, not per
// reading.
type Library struct {
	tariffs map[TariffKey][]tariffVersion
	places  places

	contracts contracts
	tiers     map[TierKey][]tierVersion
	defaults  map[LocationKey][]defaultVersion
	tokenKeys []tokenKeysVersion

	next int64
}

// TariffKey is the identity of an OCPI tariff: the three parts together.
type TariffKey struct{ CountryCode, PartyID, ID string }

func (k TariffKey) String() string { return k.CountryCode + "*" + k.PartyID + "*" + k.ID }

// LocationKey is the identity of an OCPI location.
type LocationKey struct{ CountryCode, PartyID, ID string }

func (k LocationKey) String() string { return k.CountryCode + "*" + k.PartyID + "*" + k.ID }

type tariffVersion struct {
	offset int64
	tariff *Tariff // nil: withdrawn
}

// NewLibrary returns an empty Library.
func NewLibrary() *Library {
	return &Library{
		tariffs: map[TariffKey][]tariffVersion{}, places: newPlaces(),
		contracts: newContracts(), tiers: map[TierKey][]tierVersion{}, defaults: map[LocationKey][]defaultVersion{},
	}
}

// Next is the offset of the reference log that the Library has not read yet: all below are in it.
func (l *Library) Next() int64 { return l.next }

// Skip notes that the record at offset holds nothing for the Library.
func (l *Library) Skip(offset int64) { l.next = offset + 1 }

// PutTariff adds the version of a tariff that was published at offset; t nil withdraws it. Offsets grow.
func (l *Library) PutTariff(offset int64, key TariffKey, t *Tariff) {
	l.tariffs[key] = append(l.tariffs[key], tariffVersion{offset, t})
	l.next = offset + 1
}

// PutLocation adds the version of a location that was published at offset; loc nil withdraws it. An EVSE that
// the new version no longer has is withdrawn with it.
func (l *Library) PutLocation(offset int64, key LocationKey, loc *Location) {
	l.places.put(offset, key, loc)
	l.next = offset + 1
}

// Placement is where a charge point's connector stands and what can price it.
type Placement struct {
	Offset    int64 // of the location's version in the reference log
	UID       string
	Location  *Location
	EVSE      *EVSE
	Connector *Connector
}

// Place finds the connector of a charge point in the book of offset asOf (records below asOf). connector 0, or
// a number that the location does not know, is the only connector if there is one.
//
// An EVSE is found by its uid: the charge point's identity, or identity + "*" + connector number.
func (l *Library) Place(asOf int64, chargePoint string, connector int32) (Placement, bool) {
	number := strconv.Itoa(int(connector))
	if p, ok := l.place(asOf, chargePoint+"*"+number, ""); ok {
		return p, true
	}
	return l.place(asOf, chargePoint, number)
}

func (l *Library) place(asOf int64, uid, connectorID string) (Placement, bool) {
	var gone []uint32 // locations that have withdrawn the EVSE since: an older claim of another one holds
	for v, ok := l.places.last(uid); ok; v, ok = l.places.before(v) {
		if v.offset >= asOf || slices.Contains(gone, v.owner) {
			continue
		}
		if v.gone {
			gone = append(gone, v.owner)
			continue
		}
		e := &v.location.EVSEs[v.evse]
		cs := e.Connectors
		for j := range cs {
			if cs[j].ID == connectorID {
				return Placement{v.offset, uid, v.location, e, &cs[j]}, true
			}
		}
		if len(cs) == 1 {
			return Placement{v.offset, uid, v.location, e, &cs[0]}, true
		}
		return Placement{}, false
	}
	return Placement{}, false
}

// Choice is a version of a tariff and the offset that it was published at.
type Choice struct {
	Offset int64
	Tariff *Tariff
	Always bool // none of the tariffs offered begins or ends: the choice is the same whenever the session starts
}

// valid returns the newest version below asOf that is valid at atMs; a version whose validity has not begun
// leaves the one before it in force.
func (l *Library) valid(asOf, atMs int64, key TariffKey) (Choice, bool) {
	versions := l.tariffs[key]
	for i := len(versions) - 1; i >= 0; i-- {
		v := versions[i]
		if v.offset >= asOf {
			continue
		}
		if v.tariff == nil {
			return Choice{}, false
		}
		if v.tariff.ValidFromMs != Unknown && atMs < v.tariff.ValidFromMs {
			continue
		}
		if v.tariff.ValidToMs != Unknown && atMs >= v.tariff.ValidToMs {
			return Choice{}, false
		}
		return Choice{Offset: v.offset, Tariff: v.tariff}, true
	}
	return Choice{}, false
}

// unbounded says that the newest version below asOf has no beginning and no end.
func (l *Library) unbounded(asOf int64, key TariffKey) bool {
	versions := l.tariffs[key]
	for i := len(versions) - 1; i >= 0; i-- {
		if v := versions[i]; v.offset < asOf {
			return v.tariff != nil && v.tariff.ValidFromMs == Unknown && v.tariff.ValidToMs == Unknown
		}
	}
	return false
}

// TariffAt returns the version of a tariff that was published at exactly offset: how a recovered session finds
// the tariff it began with.
func (l *Library) TariffAt(key TariffKey, offset int64) (*Tariff, bool) {
	for _, v := range l.tariffs[key] {
		if v.offset == offset && v.tariff != nil {
			return v.tariff, true
		}
	}
	return nil, false
}

// PlacementAt returns where the connector of an EVSE stood in the location version that was published at exactly
// offset: how a recovered session finds the place that it began at.
func (l *Library) PlacementAt(uid, connectorID string, offset int64) (Placement, bool) {
	for v, ok := l.places.last(uid); ok; v, ok = l.places.before(v) {
		if v.offset != offset || v.gone {
			continue
		}
		e := &v.location.EVSEs[v.evse]
		cs := e.Connectors
		for j := range cs {
			if cs[j].ID == connectorID {
				return Placement{v.offset, uid, v.location, e, &cs[j]}, true
			}
		}
	}
	return Placement{}, false
}
