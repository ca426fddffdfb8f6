package rating

import (
	"encoding/hex"
	"slices"
	"strings"
)

// Pseudonym is what is kept of a driver's token: a keyed pseudo-random function of it (package internal/pseudonym
// makes it). Nobody without the key can tell the token, nor try tokens out.
type Pseudonym struct {
	KeyID uint32 // of the key that made it; 0: there is no token
	Value [16]byte
}

// None says that there was no token, or none that is looked at.
func (p Pseudonym) None() bool { return p.KeyID == 0 }

// String is the value as 32 hex digits; "" for none.
func (p Pseudonym) String() string {
	if p.None() {
		return ""
	}
	return hex.EncodeToString(p.Value[:])
}

// MaxContractID is the longest contract id, bytes (OCPI contract_id is a CiString of 36).
const MaxContractID = 36

// Contract is what prices the sessions of a driver, under the pseudonym of his token.
type Contract struct {
	CountryCode, PartyID, ID string    // ID is the operator's own name of the contract, up to MaxContractID bytes
	Tier                     string    // id of a Tier of the same country_code and party_id; "" has none
	Tariff                   TariffKey // of its own, before the tier's (see TariffKey.Of); zero has none
	Profile                  string    // charging preference, OCPI ProfileType: CHEAP, FAST, GREEN, REGULAR; "" has none
	ValidFromMs, ValidToMs   int64     // ms since 1970 UTC, the end exclusive; Unknown is open
}

// ValidAt says whether a session that begins at atMs is priced by the contract.
func (c *Contract) ValidAt(atMs int64) bool {
	return (c.ValidFromMs == Unknown || atMs >= c.ValidFromMs) && (c.ValidToMs == Unknown || atMs < c.ValidToMs)
}

// TierKey is the identity of a tier.
type TierKey struct{ CountryCode, PartyID, ID string }

func (k TierKey) String() string { return k.CountryCode + "*" + k.PartyID + "*" + k.ID }

// Tier is a class of contracts: which tariffs they get where. A Tier is not changed after it was made.
type Tier struct {
	CountryCode, PartyID, ID string
	Rules                    []TierRule
}

// TierRule says which tariffs hold at a place. What is not said of the place does not restrict it.
type TierRule struct {
	Location  LocationKey // only the ID: of the charge point's own country_code and party_id
	EVSE      string      // uid
	Connector string      // OCPI connector id
	Tariffs   []TariffKey // see TariffKey.Of; of several the driver's order of types takes one
}

// fits says how narrowly the rule describes p, ok false when it does not. The narrowest wins, of equal ones the first.
func (r *TierRule) fits(p *Placement) (narrow int, ok bool) {
	l := p.Location
	if r.Location.ID != "" {
		if own := r.Location.CountryCode == "" && r.Location.PartyID == ""; r.Location.ID != l.ID ||
			!own && (r.Location.CountryCode != l.CountryCode || r.Location.PartyID != l.PartyID) {
			return 0, false
		}
		narrow = 1
	}
	if r.EVSE != "" {
		if r.EVSE != p.UID {
			return 0, false
		}
		narrow += 2
	}
	if r.Connector != "" {
		if r.Connector != p.Connector.ID {
			return 0, false
		}
		narrow += 4
	}
	return narrow, true
}

// at returns the tariffs of the rule that fits p best, nil if none does.
func (t *Tier) at(p *Placement) []TariffKey {
	best, found := -1, []TariffKey(nil)
	for i := range t.Rules {
		if narrow, ok := t.Rules[i].fits(p); ok && narrow > best {
			best, found = narrow, t.Rules[i].Tariffs
		}
	}
	return found
}

// Of is the tariff that k names at a location: a key that says neither country_code nor party_id means those of the
// location, so that one name stands for a tariff in each country.
func (k TariffKey) Of(l *Location) TariffKey {
	if k.CountryCode == "" && k.PartyID == "" {
		k.CountryCode, k.PartyID = l.CountryCode, l.PartyID
	}
	return k
}

// TokenKeys is a record of the reference log: the keys that pseudonyms are made with from there on.
type TokenKeys struct {
	Primary uint32   // makes the pseudonyms of drivers without a contract
	IDs     []uint32 // all, in the order in which they are tried; the first is Primary
}

// contracts are the versions of all contracts. There may be millions: a version is 48 bytes beside its id, what
// contracts share is kept once.
type contracts struct {
	newest map[Pseudonym]uint32 // number of the newest version, from 1
	pieces [][]contractVersion
	n      uint32
	terms  []Contract // without id and validity; the first is unused
	index  map[Contract]uint32
	text   strings.Builder // of ids, many in one piece
}

type contractVersion struct {
	offset       int64
	fromMs, toMs int64
	before       uint32 // number of the version before, 0: none
	terms        uint32 // 0: withdrawn
	id           string
}

const (
	contractPiece = 1 << 12 // versions; a list that grows in pieces is never copied
	idPiece       = 16 << 10
)

func newContracts() contracts {
	return contracts{newest: map[Pseudonym]uint32{}, terms: make([]Contract, 1), index: map[Contract]uint32{}}
}

func (c *contracts) at(number uint32) *contractVersion {
	return &c.pieces[(number-1)/contractPiece][(number-1)%contractPiece]
}

func (c *contracts) put(offset int64, p Pseudonym, x *Contract) {
	if c.n%contractPiece == 0 {
		c.pieces = append(c.pieces, make([]contractVersion, contractPiece))
	}
	c.n++
	v := c.at(c.n)
	*v = contractVersion{offset: offset, before: c.newest[p]}
	c.newest[p] = c.n
	if x == nil {
		return
	}
	shared := *x
	shared.ID, shared.ValidFromMs, shared.ValidToMs = "", 0, 0
	v.fromMs, v.toMs, v.terms, v.id = x.ValidFromMs, x.ValidToMs, c.termsOf(shared), c.keep(x.ID)
}

func (c *contracts) termsOf(shared Contract) uint32 {
	if i, ok := c.index[shared]; ok {
		return i
	}
	i := uint32(len(c.terms))
	c.terms, c.index[shared] = append(c.terms, shared), i
	return i
}

// keep copies an id next to others: an allocation for each of a million would be what a start waits for.
func (c *contracts) keep(id string) string {
	if c.text.Cap()-c.text.Len() < len(id) {
		c.text = strings.Builder{}
		c.text.Grow(max(idPiece, len(id)))
	}
	from := c.text.Len()
	c.text.WriteString(id) // never moves what is there already
	return c.text.String()[from:]
}

// PutContract adds the version of a contract that was published at offset; c nil withdraws it. Offsets grow.
func (l *Library) PutContract(offset int64, p Pseudonym, c *Contract) {
	l.contracts.put(offset, p, c)
	l.next = offset + 1
}

// PutTier adds the version of a tier that was published at offset; t nil withdraws it.
func (l *Library) PutTier(offset int64, key TierKey, t *Tier) {
	l.tiers[key] = append(l.tiers[key], tierVersion{offset, t})
	l.next = offset + 1
}

// PutDefault adds the tariffs, published at offset, of connectors that name none themselves, at a location, or with
// an empty ID at every location of a country_code and party_id. None withdraws them.
func (l *Library) PutDefault(offset int64, key LocationKey, tariffs []TariffKey) {
	l.defaults[key] = append(l.defaults[key], defaultVersion{offset, tariffs})
	l.next = offset + 1
}

// PutTokenKeys adds the keys of pseudonyms that hold from offset on.
func (l *Library) PutTokenKeys(offset int64, k *TokenKeys) {
	l.tokenKeys = append(l.tokenKeys, tokenKeysVersion{offset, k})
	l.next = offset + 1
}

type tierVersion struct {
	offset int64
	tier   *Tier // nil: withdrawn
}

type defaultVersion struct {
	offset  int64
	tariffs []TariffKey
}

type tokenKeysVersion struct {
	offset int64
	keys   *TokenKeys
}

// TokenKeys returns the keys of pseudonyms in the book of asOf, nil when it has none: then tokens are not looked at.
// It is shared and not to be changed.
func (l *Library) TokenKeys(asOf int64) *TokenKeys {
	for i := len(l.tokenKeys) - 1; i >= 0; i-- {
		if v := l.tokenKeys[i]; v.offset < asOf {
			return v.keys
		}
	}
	return nil
}

// Contract returns the contract of a pseudonym in the book of asOf, valid or not; ok false when there is none, or it
// was withdrawn.
func (l *Library) Contract(asOf int64, p Pseudonym) (c Contract, ok bool) {
	for n := l.contracts.newest[p]; n != 0; {
		v := l.contracts.at(n)
		if v.offset >= asOf {
			n = v.before
			continue
		}
		if v.terms == 0 {
			return Contract{}, false
		}
		c = l.contracts.terms[v.terms]
		c.ID, c.ValidFromMs, c.ValidToMs = v.id, v.fromMs, v.toMs
		return c, true
	}
	return Contract{}, false
}

// Contracts is how many pseudonyms ever had one.
func (l *Library) Contracts() int { return len(l.contracts.newest) }

// tier returns a tier in the book of asOf.
func (l *Library) tier(asOf int64, key TierKey) *Tier {
	versions := l.tiers[key]
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].offset < asOf {
			return versions[i].tier
		}
	}
	return nil
}

func (l *Library) byDefault(asOf int64, key LocationKey) []TariffKey {
	versions := l.defaults[key]
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].offset < asOf {
			return versions[i].tariffs
		}
	}
	return nil
}

// Driver is who charges, as far as the choice of a tariff depends on it. The zero Driver has shown no token.
type Driver struct {
	Shown    bool      // a token was shown
	Contract *Contract // of the token, valid when the session began; nil: none
}

// offered is what a level of the choice names.
type offered struct {
	tariffs []TariffKey
	whose   string // for the reason, behind the tariff's name
}

// level finds the first level that names tariffs for d at p: the contract, its tier, the connector, the site, the
// network (docs/TARIFF-RULES.md, "Which tariff"). reason says what is missing when nothing can be offered.
func (l *Library) level(asOf int64, p *Placement, d Driver) (o offered, reason string) {
	if c := d.Contract; c != nil {
		if c.Tariff.ID != "" {
			return offered{[]TariffKey{c.Tariff.Of(p.Location)}, " of the contract"}, ""
		}
		if c.Tier != "" {
			t := l.tier(asOf, TierKey{c.CountryCode, c.PartyID, c.Tier})
			if t == nil {
				return offered{}, "tier unknown: " + c.Tier
			}
			if ids := t.at(p); len(ids) > 0 {
				return offered{ofPlace(ids, p.Location), " of tier " + c.Tier}, ""
			}
		}
	}
	loc := p.Location
	if len(p.Connector.TariffIDs) > 0 {
		keys := make([]TariffKey, len(p.Connector.TariffIDs))
		for i, id := range p.Connector.TariffIDs {
			keys[i] = TariffKey{loc.CountryCode, loc.PartyID, id}
		}
		return offered{keys, ""}, ""
	}
	if ids := l.byDefault(asOf, LocationKey{loc.CountryCode, loc.PartyID, loc.ID}); len(ids) > 0 {
		return offered{ofPlace(ids, loc), ", the default of the location"}, ""
	}
	if ids := l.byDefault(asOf, LocationKey{loc.CountryCode, loc.PartyID, ""}); len(ids) > 0 {
		return offered{ofPlace(ids, loc), ", the default of the network"}, ""
	}
	return offered{}, "connector has no tariff"
}

func ofPlace(ids []TariffKey, loc *Location) []TariffKey {
	keys := slices.Clone(ids)
	for i := range keys {
		keys[i] = keys[i].Of(loc)
	}
	return keys
}

// Choose picks the tariff of a session that began at startMs on p, in the book of asOf: of the first level that names
// tariffs for the driver, the valid one of the type that comes first for him, of equal ones the first in the list
// (the order of tariff_ids is the only priority there is, ocpi#519). A level that names only tariffs which are unknown,
// or not valid then, is not passed over: a price that is missing must not turn into another one. The reason says
// what is missing when ok is false.
func (l *Library) Choose(asOf, startMs int64, p Placement, d Driver) (c Choice, reason string, ok bool) {
	o, reason := l.level(asOf, &p, d)
	if reason != "" {
		return c, reason, false
	}
	best, always := maxRank, true
	for _, key := range o.tariffs {
		always = always && l.unbounded(asOf, key)
		v, found := l.valid(asOf, startMs, key)
		if !found {
			continue
		}
		if rank := d.rank(v.Tariff.Type); rank < best {
			best, c, ok = rank, v, true
		}
	}
	c.Always = always
	if ok {
		return c, "", true
	}
	name := o.tariffs[0].ID
	if o.whose != "" {
		name = o.tariffs[0].String()
	}
	return c, "tariff unknown: " + name + o.whose, false
}

// maxRank is behind the last type.
const maxRank = 4

// rank is the place of a tariff's OCPI type in the driver's order; an omitted type is valid for all sessions
// (OCPI 2.2.1 mod_tariffs), as REGULAR is for those without a preference.
func (d Driver) rank(tariffType string) int {
	regular, adHoc := tariffType == "" || tariffType == "REGULAR", tariffType == "AD_HOC_PAYMENT"
	switch {
	case d.Contract != nil && d.Contract.Profile != "" && d.Contract.Profile != "REGULAR":
		switch {
		case tariffType == "PROFILE_"+d.Contract.Profile:
			return 0
		case regular:
			return 1
		case adHoc:
			return 3
		}
		return 2
	case d.Contract != nil && adHoc: // a contract's price over ad hoc
		return 2
	case d.Contract != nil && !regular:
		return 1
	case d.Shown && d.Contract == nil && adHoc:
		return 0
	case d.Shown && d.Contract == nil && regular:
		return 1
	case regular:
		return 0
	case adHoc:
		return 1
	}
	return 2
}
