package book

import (
	"fmt"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
)

// HashKey keys the hash that is a session's identity. It is made once for an installation and is the first
// record of the reference log, so every engine and every replay has the same.
type HashKey [16]byte

// Record is one decoded record of the reference log. Exactly one of its parts is set; none for a kind that this release
// does not know but may skip.
type Record struct {
	HashKey      *HashKey
	TariffKey    rating.TariffKey
	Tariff       *rating.Tariff
	TariffGone   bool
	LocationKey  rating.LocationKey // also of a default, whose ID may be empty
	Location     *rating.Location
	LocationGone bool
	Pseudonym    rating.Pseudonym
	Contract     *rating.Contract
	ContractGone bool
	TierKey      rating.TierKey
	Tier         *rating.Tier
	TierGone     bool
	Default      []rating.TariffKey
	DefaultGone  bool
	TokenKeys    *rating.TokenKeys
}

// Tokens makes pseudonyms of drivers' tokens. It is safe for concurrent use. The same key and token give the same
// pseudonym for ever, on every machine.
type Tokens interface {
	// Has says whether there is a key of this id. It may look for one that is new.
	Has(keyID uint32) bool
	// Pseudonym returns the pseudonym of token by the key of an id that Has. It keeps nothing of token.
	Pseudonym(keyID uint32, token []byte) [16]byte
}

// Book is the reference log in memory, shared by all shards of an engine. Safe for concurrent use; it is asked when
// sessions begin, never per reading.
type Book struct {
	tokens Tokens

	mu     sync.Mutex
	lib    *rating.Library
	key    HashKey
	hasKey bool
	zones  map[string]*rating.Zone
	plans  *lru.Cache[planKey, *rating.Plan] // compiled once, shared by the shards
}

// planKey names a compiled plan: the reference log has one version of one tariff at an offset, so the tariff's own
// names need not be hashed for every session that begins.
type planKey struct {
	offset int64
	zone   string
}

// planCacheSize bounds the compiled plans that no live session holds; a plan is a few KiB.
const planCacheSize = 4096

// New returns an empty Book. tokens may be nil: then a log that names keys of pseudonyms can not be taken.
func New(tokens Tokens) *Book {
	plans, err := lru.New[planKey, *rating.Plan](planCacheSize)
	if err != nil {
		invariant.Bug("plan cache: %v", err) // only a size below 1 is refused
	}
	return &Book{tokens: tokens, lib: rating.NewLibrary(), zones: map[string]*rating.Zone{}, plans: plans}
}

// Lacks returns a key of pseudonyms that the record names and Tokens does not have; ok false when it has all.
func (b *Book) Lacks(r *Record) (keyID uint32, ok bool) {
	if r.TokenKeys == nil {
		return 0, false
	}
	for _, id := range r.TokenKeys.IDs {
		if b.tokens == nil || !b.tokens.Has(id) {
			return id, true
		}
	}
	return 0, false
}

// Put adds the record at offset; offsets grow. The caller has asked Lacks.
func (b *Book) Put(offset int64, r *Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.HashKey != nil:
		if !b.hasKey { // two engines may have made one at once: the first in the log counts
			b.key, b.hasKey = *r.HashKey, true
		}
		b.lib.Skip(offset)
	case r.Tariff != nil || r.TariffGone:
		b.lib.PutTariff(offset, r.TariffKey, r.Tariff)
	case r.Location != nil || r.LocationGone:
		b.lib.PutLocation(offset, r.LocationKey, r.Location)
	case r.Contract != nil || r.ContractGone:
		b.lib.PutContract(offset, r.Pseudonym, r.Contract)
	case r.Tier != nil || r.TierGone:
		b.lib.PutTier(offset, r.TierKey, r.Tier)
	case r.Default != nil || r.DefaultGone:
		b.lib.PutDefault(offset, r.LocationKey, r.Default)
	case r.TokenKeys != nil:
		b.lib.PutTokenKeys(offset, r.TokenKeys)
	default:
		b.lib.Skip(offset)
	}
}

// SkipTo notes that all records below next are known.
func (b *Book) SkipTo(next int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if next > b.lib.Next() {
		b.lib.Skip(next - 1)
	}
}

// HashKey returns the installation's key, ok false while the log has none.
func (b *Book) HashKey() (key HashKey, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.key, b.hasKey
}

// Next is the newest book: the offset below which all records are known.
func (b *Book) Next() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lib.Next()
}

// TokenKeys are the ids of the keys of pseudonyms in the book of asOf, in the order in which they are tried; none when
// tokens are not looked at. They are shared and not to be changed.
func (b *Book) TokenKeys(asOf int64) []uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.lib.TokenKeys(asOf); k != nil {
		return k.IDs
	}
	return nil
}

// Pseudonym is that of a token in the book of asOf, whose TokenKeys are keys: by the first key under which it has a
// contract, else by the first key of all.
func (b *Book) Pseudonym(asOf int64, keys []uint32, token []byte) rating.Pseudonym {
	var first rating.Pseudonym
	for i, id := range keys {
		p := rating.Pseudonym{KeyID: id, Value: b.tokens.Pseudonym(id, token)}
		if i == 0 {
			first = p
		}
		b.mu.Lock()
		_, ok := b.lib.Contract(asOf, p)
		b.mu.Unlock()
		if ok {
			return p
		}
	}
	return first
}

// Session is what asks for a price.
type Session struct {
	StartMs     int64 // when it began, ms since 1970 UTC
	ChargePoint string
	Connector   int32
	Driver      rating.Pseudonym
}

// Price is what a session takes from the book at its start and keeps to its end.
type Price struct {
	Plan     snapshot.Plan
	Place    snapshot.Place
	Compiled *rating.Plan
	Stand    Place
	Tariff   string
	Always   bool // the same for every session without a driver of the connector that begins with this book
	Contract string
	Tier     string
}

// Price finds what prices a session, in the book of asOf. The reason says what is missing; what is known of the driver
// is told all the same.
func (b *Book) Price(asOf int64, s *Session) (p Price, reason string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.driver(asOf, s)
	if d.Contract != nil {
		p.Contract, p.Tier = d.Contract.ID, d.Contract.Tier
	}
	place, found := b.lib.Place(asOf, s.ChargePoint, s.Connector)
	if !found {
		return p, "charge point or connector unknown", false
	}
	choice, reason, found := b.lib.Choose(asOf, s.StartMs, place, d)
	if !found {
		return p, reason, false
	}
	t := choice.Tariff
	p.Plan = snapshot.Plan{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID, Offset: choice.Offset, Zone: place.Location.Zone}
	plan, err := b.compile(p.Plan, t)
	if err != nil {
		return p, err.Error(), false
	}
	p.Compiled, p.Always = plan, choice.Always
	p.Place = snapshot.Place{Offset: place.Offset, UID: place.UID, Connector: place.Connector.ID}
	p.Stand, p.Tariff = placeOf(&place, locationName(place.Location)), TariffName(p.Plan)
	return p, "", true
}

// Contract is the id of the driver's contract that is valid for a session in the book of asOf, "" if there is none.
func (b *Book) Contract(asOf int64, s *Session) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.driver(asOf, s); d.Contract != nil {
		return d.Contract.ID
	}
	return ""
}

// driver is called with mu held.
func (b *Book) driver(asOf int64, s *Session) rating.Driver {
	if s.Driver.None() {
		return rating.Driver{}
	}
	c, ok := b.lib.Contract(asOf, s.Driver)
	if !ok || !c.ValidAt(s.StartMs) {
		return rating.Driver{Shown: true}
	}
	return rating.Driver{Shown: true, Contract: &c}
}

func locationName(l *rating.Location) string {
	return rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}.String()
}

// TariffName is the tariff of a plan as tables have it: country_code*party_id*id.
func TariffName(p snapshot.Plan) string {
	return rating.TariffKey{CountryCode: p.CountryCode, PartyID: p.PartyID, ID: p.ID}.String()
}

// compile is called with mu held.
func (b *Book) compile(ref snapshot.Plan, t *rating.Tariff) (*rating.Plan, error) {
	if plan, ok := b.plans.Get(planKey{ref.Offset, ref.Zone}); ok {
		return plan, nil
	}
	zone, ok := b.zones[ref.Zone]
	if !ok {
		var err error
		if zone, err = rating.LoadZone(ref.Zone); err != nil {
			return nil, fmt.Errorf("time zone %q: %w", ref.Zone, err)
		}
		b.zones[ref.Zone] = zone
	}
	plan, err := rating.Compile(t, zone)
	if err != nil {
		return nil, fmt.Errorf("tariff %s: %w", TariffName(ref), err)
	}
	b.plans.Add(planKey{ref.Offset, ref.Zone}, plan)
	return plan, nil
}

// Tariff returns the version of a tariff that a plan was compiled from. It is shared and not to be changed.
func (b *Book) Tariff(p snapshot.Plan) (*rating.Tariff, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lib.TariffAt(rating.TariffKey{CountryCode: p.CountryCode, PartyID: p.PartyID, ID: p.ID}, p.Offset)
}

// RecoverPlan compiles the plan that a snapshot names. An error: the log does not have it.
func (b *Book) RecoverPlan(ref snapshot.Plan) (*rating.Plan, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.lib.TariffAt(rating.TariffKey{CountryCode: ref.CountryCode, PartyID: ref.PartyID, ID: ref.ID}, ref.Offset)
	if !ok {
		return nil, fmt.Errorf("tariff %s of reference offset %d is not in the reference log", TariffName(ref), ref.Offset)
	}
	return b.compile(ref, t)
}

// Place is what is known of a snapshot's place.
type Place struct {
	Location string // country_code*party_id*id
	MaxW     int64  // of the connector, W; 0 = not said

	Where     *rating.Location // the version that the place is of
	EVSE      *rating.EVSE
	Connector *rating.Connector
}

func placeOf(p *rating.Placement, name string) Place {
	return Place{Location: name, MaxW: p.Connector.MaxPowerW, Where: p.Location, EVSE: p.EVSE, Connector: p.Connector}
}

// RecoverPlaces finds the locations that a snapshot names; the first of refs is unused. An error: the log does not have
// one.
func (b *Book) RecoverPlaces(refs []snapshot.Place) ([]Place, error) {
	const atOnce = 256 // others begin sessions meanwhile
	infos, named := make([]Place, len(refs)), map[*rating.Location]string{}
	for i := 1; i < len(refs); {
		b.mu.Lock()
		for end := min(i+atOnce, len(refs)); i < end; i++ {
			ref := &refs[i]
			p, ok := b.lib.PlacementAt(ref.UID, ref.Connector, ref.Offset)
			if !ok {
				b.mu.Unlock()
				return nil, fmt.Errorf("connector %s of EVSE %s of reference offset %d is not in the reference log", ref.Connector, ref.UID, ref.Offset)
			}
			name, ok := named[p.Location]
			if !ok {
				name = locationName(p.Location)
				named[p.Location] = name
			}
			infos[i] = placeOf(&p, name)
		}
		b.mu.Unlock()
	}
	return infos, nil
}
