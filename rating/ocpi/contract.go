package ocpi

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wattline/wattline/rating"
)

// The kinds of records about drivers and what their sessions cost.
const (
	ReferenceContract ReferenceKind = "contract"
	ReferenceTier     ReferenceKind = "tier"
	ReferenceDefault  ReferenceKind = "default"
	ReferenceTokens   ReferenceKind = "tokens"
)

// contractValue is a contract: OCPI's names of a Token where it has them.
type contractValue struct {
	ContractID  string `json:"contract_id"`
	CountryCode string `json:"country_code,omitempty"`
	PartyID     string `json:"party_id,omitempty"`
	Tier        string `json:"tier,omitempty"`
	Tariff      string `json:"tariff,omitempty"`
	Profile     string `json:"default_profile_type,omitempty"`
	ValidFrom   string `json:"valid_from,omitempty"`
	ValidTo     string `json:"valid_to,omitempty"`
}

type tierValue struct {
	CountryCode string          `json:"country_code,omitempty"`
	PartyID     string          `json:"party_id,omitempty"`
	ID          string          `json:"id"`
	Rules       []tierRuleValue `json:"rules"`
}

type tierRuleValue struct {
	Location  string   `json:"location,omitempty"`
	EVSE      string   `json:"evse,omitempty"`
	Connector string   `json:"connector,omitempty"`
	Tariffs   []string `json:"tariffs"`
}

type defaultValue struct {
	Tariffs []string `json:"tariffs"`
}

type tokensValue struct {
	Primary uint32   `json:"primary"`
	Keys    []uint32 `json:"keys"`
}

// Name is a tariff or location as a text: its id alone where it has neither country_code nor party_id, else
// country_code*party_id*id. ParseName reads it.
func Name(countryCode, partyID, id string) string {
	if id == "" || countryCode == "" && partyID == "" && strings.Count(id, "*") < 2 {
		return id
	}
	return countryCode + "*" + partyID + "*" + id
}

// ParseName reads what Name writes.
func ParseName(text string) (countryCode, partyID, id string) {
	if parts := strings.SplitN(text, "*", 3); len(parts) == 3 {
		return parts[0], parts[1], parts[2]
	}
	return "", "", text
}

func tariffNames(keys []rating.TariffKey) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = Name(k.CountryCode, k.PartyID, k.ID)
	}
	return names
}

func tariffKey(name string) rating.TariffKey {
	cc, party, id := ParseName(name)
	return rating.TariffKey{CountryCode: cc, PartyID: party, ID: id}
}

// parseTariffNames reads a list of tariffs, which must have one.
func parseTariffNames(names []string) ([]rating.TariffKey, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: no tariffs", ErrReference)
	}
	keys := make([]rating.TariffKey, len(names))
	for i, n := range names {
		if keys[i] = tariffKey(n); keys[i].ID == "" {
			return nil, fmt.Errorf("%w: a tariff without an id", ErrReference)
		}
	}
	return keys, nil
}

// Profiles are the charging preferences of OCPI's ProfileType.
func Profiles() []string { return []string{"CHEAP", "FAST", "GREEN", "REGULAR"} }

// CheckContract says what is wrong with a contract; "" is nothing. It names no value but the profile.
func CheckContract(c *rating.Contract) string {
	switch {
	case c.ID == "":
		return "contract_id: missing"
	case len(c.ID) > rating.MaxContractID:
		return fmt.Sprintf("contract_id: %d bytes, at most %d", len(c.ID), rating.MaxContractID)
	case strings.ContainsAny(c.ID, "\x00\n\r"):
		return "contract_id: has a line break"
	case c.Profile != "" && !slices.Contains(Profiles(), c.Profile):
		return fmt.Sprintf("default_profile_type: %.20q is none of %s", c.Profile, strings.Join(Profiles(), ", "))
	case c.ValidFromMs != rating.Unknown && c.ValidToMs != rating.Unknown && c.ValidFromMs >= c.ValidToMs:
		return "valid_to: not after valid_from"
	}
	return ""
}

// AppendContractJSON appends a contract as the reference log has it, nothing that is absent. Equal contracts give equal
// bytes.
func AppendContractJSON(dst []byte, c *rating.Contract) []byte {
	o := object{dst: append(dst, '{')}
	o.text("contract_id", c.ID)
	o.text("country_code", c.CountryCode)
	o.text("party_id", c.PartyID)
	o.text("tier", c.Tier)
	o.text("tariff", Name(c.Tariff.CountryCode, c.Tariff.PartyID, c.Tariff.ID))
	o.text("default_profile_type", c.Profile)
	o.instant("valid_from", c.ValidFromMs)
	o.instant("valid_to", c.ValidToMs)
	return append(o.dst, '}')
}

func appendValue(dst []byte, v any) []byte {
	text, _ := json.Marshal(v) // texts and numbers always marshal
	return append(dst, text...)
}

// AppendTierJSON appends a tier as the reference log has it.
func AppendTierJSON(dst []byte, t *rating.Tier) []byte {
	v := tierValue{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID, Rules: make([]tierRuleValue, len(t.Rules))}
	for i := range t.Rules {
		r := &t.Rules[i]
		v.Rules[i] = tierRuleValue{
			Location: Name(r.Location.CountryCode, r.Location.PartyID, r.Location.ID), EVSE: r.EVSE, Connector: r.Connector, Tariffs: tariffNames(r.Tariffs),
		}
	}
	return appendValue(dst, &v)
}

// ParseTier reads one tier, as AppendTierJSON writes it. Unknown fields are faults: a rule that is not understood
// would hold everywhere.
func ParseTier(src []byte) (*rating.Tier, error) {
	var v tierValue
	d := json.NewDecoder(strings.NewReader(string(src)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: tier: %w", ErrReference, err)
	}
	t := &rating.Tier{CountryCode: v.CountryCode, PartyID: v.PartyID, ID: v.ID}
	if t.ID == "" || len(v.Rules) == 0 {
		return nil, fmt.Errorf("%w: tier: no id, or no rules", ErrReference)
	}
	for i := range v.Rules {
		r := &v.Rules[i]
		tariffs, err := parseTariffNames(r.Tariffs)
		if err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", i, err)
		}
		rule := rating.TierRule{EVSE: r.EVSE, Connector: r.Connector, Tariffs: tariffs}
		rule.Location.CountryCode, rule.Location.PartyID, rule.Location.ID = ParseName(r.Location)
		if rule.Location.ID == "" {
			rule.Location = rating.LocationKey{}
		}
		t.Rules = append(t.Rules, rule)
	}
	return t, nil
}

// AppendDefaultJSON appends the tariffs of a default as the reference log has them.
func AppendDefaultJSON(dst []byte, tariffs []rating.TariffKey) []byte {
	return appendValue(dst, &defaultValue{tariffNames(tariffs)})
}

// ParseDefault reads the tariffs of a default, as the reference log has them.
func ParseDefault(src []byte) ([]rating.TariffKey, error) {
	var v defaultValue
	if err := json.Unmarshal(src, &v); err != nil {
		return nil, fmt.Errorf("%w: default: %w", ErrReference, err)
	}
	keys, err := parseTariffNames(v.Tariffs)
	if err != nil {
		return nil, fmt.Errorf("default: %w", err)
	}
	return keys, nil
}

// parts are the record's key behind its kind, and the object of its value.
func (r *Reference) parts() (key string, object []byte) {
	switch r.Kind {
	case ReferenceContract:
		key = strconv.FormatUint(uint64(r.Pseudonym.KeyID), 10) + "/" + hex.EncodeToString(r.Pseudonym.Value[:])
		if r.Contract != nil {
			object = AppendContractJSON(nil, r.Contract)
		}
	case ReferenceTier:
		key = r.TierKey.CountryCode + "/" + r.TierKey.PartyID + "/" + r.TierKey.ID
		if r.Tier != nil {
			object = AppendTierJSON(nil, r.Tier)
		}
	case ReferenceDefault:
		key = r.LocationKey.CountryCode + "/" + r.LocationKey.PartyID + "/" + r.LocationKey.ID
		if r.Default != nil {
			object = AppendDefaultJSON(nil, r.Default)
		}
	case ReferenceTokens:
		if r.TokenKeys != nil {
			object = appendValue(nil, &tokensValue{r.TokenKeys.Primary, r.TokenKeys.IDs})
		}
	}
	return key, object
}

// appendDriver is AppendReference for records about drivers.
func appendDriver(key, value []byte, r *Reference, v *referenceValue) (newKey, newValue []byte, err error) {
	rest, object := r.parts()
	switch {
	case r.Kind == ReferenceContract && r.Pseudonym.None():
		return key, value, fmt.Errorf("%w: a contract of no pseudonym", ErrReference)
	case r.Kind == ReferenceContract && r.Contract != nil && CheckContract(r.Contract) != "":
		return key, value, fmt.Errorf("%w: contract: %s", ErrReference, CheckContract(r.Contract))
	case r.Kind == ReferenceTier && (r.TierKey.ID == "" || strings.Contains(r.TierKey.CountryCode+r.TierKey.PartyID, "/")),
		r.Kind == ReferenceDefault && strings.Contains(r.LocationKey.CountryCode+r.LocationKey.PartyID, "/"):
		return key, value, fmt.Errorf("%w: %s %q: no slash may be in country_code and party_id, and a tier's id not be empty", ErrReference, r.Kind, rest)
	case r.Kind == ReferenceTokens && (r.TokenKeys == nil || checkTokenKeys(r.TokenKeys) != ""):
		return key, value, fmt.Errorf("%w: keys of pseudonyms that are none", ErrReference)
	}
	key = append(key, r.Kind...)
	if r.Kind != ReferenceTokens {
		key = append(append(key, '/'), rest...)
	}
	if object == nil {
		return key, nil, nil
	}
	switch r.Kind {
	case ReferenceContract:
		v.Contract = object
	case ReferenceTier:
		v.Tier = object
	case ReferenceDefault:
		v.Default = object
	default:
		v.Tokens = object
	}
	return key, appendReferenceValue(value, v), nil
}

func checkTokenKeys(k *rating.TokenKeys) string {
	if len(k.IDs) == 0 || k.IDs[0] != k.Primary || slices.Contains(k.IDs, 0) {
		return "the primary key is not the first"
	}
	ids := slices.Clone(k.IDs)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != len(k.IDs) {
		return "a key is there twice"
	}
	return ""
}

// driverKey reads what is behind the kind in a record's key.
func (r *Reference) driverKey(rest string) error {
	bad := func() error {
		return fmt.Errorf("%w: key \"%s/%.80s\" is not of the form that docs/formats/reference.md gives", ErrReference, r.Kind, rest)
	}
	switch r.Kind {
	case ReferenceContract:
		id, digits, _ := strings.Cut(rest, "/")
		number, err := strconv.ParseUint(id, 10, 32)
		value, herr := hex.DecodeString(digits)
		if err != nil || herr != nil || len(value) != len(r.Pseudonym.Value) || number == 0 || strconv.FormatUint(number, 10) != id || strings.ToLower(digits) != digits {
			return bad()
		}
		r.Pseudonym = rating.Pseudonym{KeyID: uint32(number), Value: [16]byte(value)}
	case ReferenceTokens:
		if rest != "" {
			return bad()
		}
	default:
		parts := strings.SplitN(rest, "/", 3)
		if len(parts) != 3 || r.Kind == ReferenceTier && parts[2] == "" {
			return bad()
		}
		if r.Kind == ReferenceTier {
			r.TierKey = rating.TierKey{CountryCode: parts[0], PartyID: parts[1], ID: parts[2]}
		} else {
			r.LocationKey = rating.LocationKey{CountryCode: parts[0], PartyID: parts[1], ID: parts[2]}
		}
	}
	return nil
}

// decodeDriver reads the object of a record about drivers.
func (r *Reference) decodeDriver(v *referenceValue) (err error) {
	switch r.Kind {
	case ReferenceContract:
		return r.decodeContract(v.Contract)
	case ReferenceTier:
		if r.Tier, err = ParseTier(v.Tier); err != nil {
			return err
		}
		if key := (rating.TierKey{CountryCode: r.Tier.CountryCode, PartyID: r.Tier.PartyID, ID: r.Tier.ID}); key != r.TierKey {
			return fmt.Errorf("%w: it holds tier %s", ErrReference, key)
		}
	case ReferenceDefault:
		r.Default, err = ParseDefault(v.Default)
	case ReferenceTokens:
		var t tokensValue
		if err := json.Unmarshal(v.Tokens, &t); err != nil {
			return fmt.Errorf("%w: tokens: %w", ErrReference, err)
		}
		r.TokenKeys = &rating.TokenKeys{Primary: t.Primary, IDs: t.Keys}
		if fault := checkTokenKeys(r.TokenKeys); fault != "" {
			return fmt.Errorf("%w: tokens: %s", ErrReference, fault)
		}
	}
	return err
}

func (r *Reference) decodeContract(text []byte) error {
	var v contractValue
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("%w: contract: %w", ErrReference, err)
	}
	c := &rating.Contract{
		ID: v.ContractID, CountryCode: v.CountryCode, PartyID: v.PartyID, Tier: v.Tier, Tariff: tariffKey(v.Tariff), Profile: v.Profile,
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown,
	}
	if c.Tariff.ID == "" {
		c.Tariff = rating.TariffKey{}
	}
	for _, at := range []struct {
		text string
		ms   *int64
	}{{v.ValidFrom, &c.ValidFromMs}, {v.ValidTo, &c.ValidToMs}} {
		if !instantOf(at.text, at.ms) {
			return fmt.Errorf("%w: contract: %.40q is no time", ErrReference, at.text)
		}
	}
	if fault := CheckContract(c); fault != "" {
		return fmt.Errorf("%w: contract: %s", ErrReference, fault)
	}
	r.Contract = c
	return nil
}
