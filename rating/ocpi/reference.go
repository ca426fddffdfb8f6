package ocpi

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
)

// ReferenceKind says what a record of the reference log is about.
type ReferenceKind string

// The kinds of records. Others are skipped: a later release may write them.
const (
	ReferenceTariff       ReferenceKind = "tariff"
	ReferenceLocation     ReferenceKind = "location"
	ReferenceInstallation ReferenceKind = "installation"
)

// ReferenceVersion leads the value of every record of the reference log (docs/formats/reference.md).
const ReferenceVersion = 1

// Reference is a record of the reference log: a version of a tariff, location, contract, tier or default, its
// withdrawal, the key of the installation, or the keys of pseudonyms.
type Reference struct {
	Kind ReferenceKind // "" for one that this release skips
	By   string        // who published it, for people
	AtMs int64         // when, ms since 1970 UTC, for people: what counts is the offset

	TariffKey   rating.TariffKey
	Tariff      *rating.Tariff     // nil: withdrawn
	LocationKey rating.LocationKey // also of a default, whose ID may be empty
	Location    *rating.Location   // nil: withdrawn
	Pseudonym   rating.Pseudonym   // of a contract
	Contract    *rating.Contract   // nil: withdrawn
	TierKey     rating.TierKey
	Tier        *rating.Tier       // nil: withdrawn
	Default     []rating.TariffKey // nil: withdrawn
	TokenKeys   *rating.TokenKeys
	HashKey     [16]byte // of an installation: keys the hash that is a session's identity
}

// ErrReference marks records that are not of the reference log's format.
var ErrReference = errors.New("not a record of the reference log")

// referenceValue is the JSON behind the version byte, fields in this order.
type referenceValue struct {
	Kind     ReferenceKind   `json:"kind"`
	By       string          `json:"by"`
	At       string          `json:"at"`
	Tariff   json.RawMessage `json:"tariff,omitempty"`
	Location json.RawMessage `json:"location,omitempty"`
	HashKey  string          `json:"hash_key,omitempty"`
	Contract json.RawMessage `json:"contract,omitempty"`
	Tier     json.RawMessage `json:"tier,omitempty"`
	Default  json.RawMessage `json:"default,omitempty"`
	Tokens   json.RawMessage `json:"tokens,omitempty"`
}

// AppendReference appends key and value of r to the two slices and returns them longer; a withdrawal has the value
// nil, whatever value was. The caller owns all of it. An error names a part that the format can not say.
func AppendReference(key, value []byte, r *Reference) (newKey, newValue []byte, err error) {
	v := referenceValue{Kind: r.Kind, By: r.By, At: time.UnixMilli(r.AtMs).UTC().Format(referenceTime)}
	var a, b, id string
	switch r.Kind {
	case ReferenceTariff:
		a, b, id = r.TariffKey.CountryCode, r.TariffKey.PartyID, r.TariffKey.ID
		if r.Tariff != nil {
			v.Tariff = AppendTariffJSON(nil, r.Tariff)
		}
	case ReferenceLocation:
		a, b, id = r.LocationKey.CountryCode, r.LocationKey.PartyID, r.LocationKey.ID
		if r.Location != nil {
			v.Location = AppendLocationJSON(nil, r.Location)
		}
	case ReferenceInstallation:
		v.HashKey = hex.EncodeToString(r.HashKey[:])
		return append(key, ReferenceInstallation...), appendReferenceValue(value, &v), nil
	case ReferenceContract, ReferenceTier, ReferenceDefault, ReferenceTokens:
		return appendDriver(key, value, r, &v)
	default:
		return key, value, fmt.Errorf("%w: kind %q", ErrReference, r.Kind)
	}
	if strings.Contains(a+b, "/") || id == "" {
		return key, value, fmt.Errorf("%w: %s %q of country_code %q, party_id %q: no slash may be in the two, and the id not empty", ErrReference, r.Kind, id, a, b)
	}
	key = append(key, string(r.Kind)+"/"+a+"/"+b+"/"+id...)
	if v.Tariff == nil && v.Location == nil {
		return key, nil, nil
	}
	return key, appendReferenceValue(value, &v), nil
}

// referenceTime is RFC 3339 in UTC to the millisecond.
const referenceTime = "2006-01-02T15:04:05.000Z"

func appendReferenceValue(dst []byte, v *referenceValue) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		invariant.Bug("reference record: %v", err) // texts, and JSON that we wrote
	}
	return append(append(dst, ReferenceVersion), text...)
}

// DecodeReference reads a record of the reference log. Nothing of key and value is kept. A kind that this release
// does not know gives a Reference without Kind. Errors: ErrReference, wrapped; the faults of a tariff or location.
func DecodeReference(key, value []byte) (Reference, error) {
	kind, rest, _ := strings.Cut(string(key), "/")
	r := Reference{Kind: ReferenceKind(kind)}
	switch r.Kind {
	case ReferenceTariff, ReferenceLocation:
		parts := strings.SplitN(rest, "/", 3)
		if len(parts) != 3 || parts[2] == "" {
			return Reference{}, fmt.Errorf("%w: key %q is not %s/country_code/party_id/id", ErrReference, key, kind)
		}
		if r.Kind == ReferenceTariff {
			r.TariffKey = rating.TariffKey{CountryCode: parts[0], PartyID: parts[1], ID: parts[2]}
		} else {
			r.LocationKey = rating.LocationKey{CountryCode: parts[0], PartyID: parts[1], ID: parts[2]}
		}
		if value == nil {
			return r, nil
		}
	case ReferenceInstallation:
		if string(key) != kind || value == nil {
			return Reference{}, fmt.Errorf("%w: key %q with %d bytes is no installation", ErrReference, key, len(value))
		}
	case ReferenceContract, ReferenceTier, ReferenceDefault, ReferenceTokens:
		if err := r.driverKey(rest); err != nil {
			return Reference{}, err
		}
		if value == nil && r.Kind != ReferenceTokens {
			return r, nil
		}
	default:
		return Reference{}, nil
	}
	if len(value) == 0 || value[0] != ReferenceVersion {
		return Reference{}, fmt.Errorf("%w: key %q: version byte %.1q, this release reads %d", ErrReference, key, value, ReferenceVersion)
	}
	if c := (canon{src: value[1:]}); r.Kind == ReferenceLocation && c.location(&r) {
		return r, nil
	}
	if r.Kind == ReferenceContract && r.fastContract(value) {
		return r, nil
	}
	if err := r.decode(value[1:]); err != nil {
		return Reference{}, fmt.Errorf("key %q: %w", key, err)
	}
	return r, nil
}

func (r *Reference) decode(text []byte) error {
	var v referenceValue
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("%w: %w", ErrReference, err)
	}
	at, err := time.Parse(referenceTime, v.At)
	if err != nil {
		return fmt.Errorf("%w: at: %w", ErrReference, err)
	}
	if v.Kind != r.Kind {
		return fmt.Errorf("%w: it says that it is a %q", ErrReference, v.Kind)
	}
	r.By, r.AtMs = v.By, at.UnixMilli()
	switch r.Kind {
	case ReferenceTariff:
		return r.decodeTariff(v.Tariff)
	case ReferenceLocation:
		return r.decodeLocation(v.Location)
	case ReferenceContract, ReferenceTier, ReferenceDefault, ReferenceTokens:
		return r.decodeDriver(&v)
	}
	b, err := hex.DecodeString(v.HashKey)
	if err != nil || len(b) != len(r.HashKey) {
		return fmt.Errorf("%w: hash_key is not %d hex digits", ErrReference, 2*len(r.HashKey))
	}
	copy(r.HashKey[:], b)
	return nil
}

func (r *Reference) decodeTariff(text []byte) error {
	entries, report := ParseTariffs(text)
	if err := report.Err(); err != nil {
		return fmt.Errorf("%w: tariff: %w", ErrReference, err)
	}
	if len(entries) != 1 || entries[0].Path != "" {
		return fmt.Errorf("%w: it holds not one tariff", ErrReference)
	}
	if err := entries[0].Report.Err(); err != nil {
		return fmt.Errorf("%w: tariff: %w", ErrReference, err)
	}
	r.Tariff = entries[0].Tariff
	if key := (rating.TariffKey{CountryCode: r.Tariff.CountryCode, PartyID: r.Tariff.PartyID, ID: r.Tariff.ID}); key != r.TariffKey {
		return fmt.Errorf("%w: it holds tariff %s", ErrReference, key)
	}
	return nil
}

// decodeLocation reads JSON that was found valid, or nothing.
func (r *Reference) decodeLocation(text []byte) error {
	if len(text) == 0 || !utf8.Valid(text) {
		return fmt.Errorf("%w: it holds no location, or not as UTF-8 text", ErrReference)
	}
	in := &reader{}
	entries, report := in.locations(in.jsonTree(text), nil) // a zone that is unknown here holds its sessions, not the log
	if err := report.Err(); err != nil {
		return fmt.Errorf("%w: location: %w", ErrReference, err)
	}
	if len(entries) != 1 || entries[0].Path != "" {
		return fmt.Errorf("%w: it holds not one location", ErrReference)
	}
	if err := entries[0].Report.Err(); err != nil {
		return fmt.Errorf("%w: location: %w", ErrReference, err)
	}
	r.Location = entries[0].Location
	if key := (rating.LocationKey{CountryCode: r.Location.CountryCode, PartyID: r.Location.PartyID, ID: r.Location.ID}); key != r.LocationKey {
		return fmt.Errorf("%w: it holds location %s*%s*%s", ErrReference, key.CountryCode, key.PartyID, key.ID)
	}
	return nil
}

// AppendLocationJSON appends what pricing and CDRs need of l as an OCPI 2.3.0 Location object, fields in the order of the
// standard, nothing that is absent. Equal locations give equal bytes; parsing it gives l again (O4). dst may be
// kept by the caller.
func AppendLocationJSON(dst []byte, l *rating.Location) []byte {
	o := object{dst: append(dst, '{')}
	o.text("country_code", l.CountryCode)
	o.text("party_id", l.PartyID)
	o.text("id", l.ID)
	o.text("name", l.Name)
	o.text("address", l.Address)
	o.text("city", l.City)
	o.text("postal_code", l.PostalCode)
	o.text("state", l.State)
	o.text("country", l.Country)
	if l.Latitude != "" || l.Longitude != "" {
		o.field("coordinates")
		in := object{dst: append(o.dst, '{')}
		in.text("latitude", l.Latitude)
		in.text("longitude", l.Longitude)
		o.dst = append(in.dst, '}')
	}
	o.field("evses")
	o.dst = append(o.dst, '[')
	for i := range l.EVSEs {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendEVSE(o.dst, &l.EVSEs[i])
	}
	o.dst = append(o.dst, ']')
	o.text("time_zone", l.Zone)
	o.instant("last_updated", l.LastUpdatedMs)
	return append(o.dst, '}')
}

func appendEVSE(dst []byte, e *rating.EVSE) []byte {
	o := object{dst: append(dst, '{')}
	o.text("uid", e.UID)
	o.text("evse_id", e.ID)
	o.field("connectors")
	o.dst = append(o.dst, '[')
	for i := range e.Connectors {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		c := &e.Connectors[i]
		in := object{dst: append(o.dst, '{')}
		in.text("id", c.ID)
		in.text("standard", c.Standard)
		in.text("format", c.Format)
		in.text("power_type", c.PowerType)
		if c.MaxPowerW != 0 {
			in.field("max_electric_power")
			in.dst = strconv.AppendInt(in.dst, c.MaxPowerW, 10)
		}
		if len(c.TariffIDs) > 0 {
			ids, _ := json.Marshal(c.TariffIDs) // texts always marshal
			in.field("tariff_ids")
			in.dst = append(in.dst, ids...)
		}
		o.dst = append(in.dst, '}')
	}
	return append(o.dst, "]}"...)
}
