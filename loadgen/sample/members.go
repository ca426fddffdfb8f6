package sample

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// A third of the sessions at sites in euros begin with the token of one of these drivers. Those up to members have a
// contract of tier, whose price is the same everywhere; the others are known to nobody here and pay what everybody pays.
const (
	drivers = 60
	members = 45
	tier    = "MEMBER"
	keyID   = 1
)

// driverOf is who charges in a session: 1 to drivers, or 0 for somebody without a token.
func driverOf(chargePoint []byte, transaction string) int {
	if strings.HasPrefix(string(chargePoint), "WTL-LON-") {
		return 0
	}
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%s", chargePoint, transaction) // a hash takes everything
	if n := h.Sum32(); n%3 == 0 {
		return int(n/3%drivers) + 1
	}
	return 0
}

func tokenOf(driver int) []byte { return fmt.Appendf(nil, "SAMPLE-TOKEN-%04d", driver) }

// tokens makes the pseudonyms of the sample. Its key is no secret, for its tokens are made up: the same rows everywhere
// are worth more here.
type tokens struct{}

// Has implements engine.Tokens.
func (tokens) Has(id uint32) bool { return id == keyID }

// Pseudonym implements engine.Tokens.
func (tokens) Pseudonym(_ uint32, token []byte) (p [16]byte) {
	h := hmac.New(sha256.New, []byte("the key of a sample is no secret"))
	h.Write(token)
	copy(p[:], h.Sum(nil))
	return p
}

// memberTariff is the price of members.
func memberTariff() *rating.Tariff {
	none := rating.PriceLimit{ExclNano: rating.Unknown, InclNano: rating.Unknown}
	const cents, vat = rating.PriceScale / 100, 21_00
	long := rating.Unrestricted()
	long.MinDurationMs = 6 * hourMs
	return &rating.Tariff{
		CountryCode: "NL", PartyID: "WTL", ID: tier, Currency: "EUR", Type: "REGULAR", Min: none, Max: none,
		Elements: []rating.Element{
			{Restrictions: long, Components: []rating.Component{{Dimension: rating.ParkingTime, PriceNano: 240 * cents, VAT: vat, StepSize: 60}}},
			{Restrictions: rating.Unrestricted(), Components: []rating.Component{{Dimension: rating.Energy, PriceNano: 35 * cents, VAT: vat, StepSize: 1}}},
		},
		ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown, LastUpdatedMs: FromMs,
	}
}

// putMembers publishes the tier with its tariff, the keys of tokens, and the contracts.
func (l *log) putMembers() error {
	t := memberTariff()
	key := rating.TariffKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID}
	err := l.tariff(t, FromMs)
	for _, r := range []ocpi.Reference{
		{Kind: ocpi.ReferenceTokens, TokenKeys: &rating.TokenKeys{Primary: keyID, IDs: []uint32{keyID}}},
		{
			Kind: ocpi.ReferenceTier, TierKey: rating.TierKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: tier},
			Tier: &rating.Tier{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: tier, Rules: []rating.TierRule{{Tariffs: []rating.TariffKey{key}}}},
		},
	} {
		if r.AtMs = FromMs; err == nil {
			err = l.put(r)
		}
	}
	for driver := 1; driver <= members && err == nil; driver++ {
		err = l.put(ocpi.Reference{
			Kind: ocpi.ReferenceContract, AtMs: FromMs, Pseudonym: rating.Pseudonym{KeyID: keyID, Value: tokens{}.Pseudonym(keyID, tokenOf(driver))},
			Contract: &rating.Contract{
				CountryCode: t.CountryCode, PartyID: t.PartyID, ID: fmt.Sprintf("NL-WTL-C%05d", driver), Tier: tier, ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown,
			},
		})
	}
	return err
}
