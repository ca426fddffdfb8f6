package sim

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// tokens makes pseudonyms by the keys 1 and 2, without a secret.
type tokens struct{}

// Has implements engine.Tokens.
func (tokens) Has(id uint32) bool { return id == 1 || id == 2 }

// Pseudonym implements engine.Tokens.
func (tokens) Pseudonym(id uint32, token []byte) (p [16]byte) {
	h := fnv.New128a()
	_, _ = h.Write(binary.BigEndian.AppendUint32(nil, id)) // a hash takes everything
	_, _ = h.Write(token)
	return [16]byte(h.Sum(nil))
}

const (
	memberTier   = "member"
	memberTariff = "T3"
	ownTariff    = "T4"
	drivers      = 6
)

// drivers publishes keys of pseudonyms, a tier and contracts: from the beginning, late, changed, or never. It draws from
// numbers of its own, so that all else of a seed stays as it was.
func (in *input) drivers() {
	rnd := in.who
	if in.keyed = rnd.IntN(4) > 0; !in.keyed {
		return
	}
	in.rnd, rnd = rnd, in.rnd // moments and prices are of drivers
	defer func() { in.rnd = rnd }()
	late := func() time.Duration {
		if in.rnd.IntN(3) == 0 {
			return in.moment() // sessions of its drivers are held until then
		}
		return 0
	}
	in.keys(0, 1)
	if in.rnd.IntN(2) == 0 {
		in.keys(in.moment(), 2, 1)
	}
	in.tariff(late(), memberTariff)
	in.tariff(late(), ownTariff)
	at := late()
	in.refs = append(in.refs, dated{at, engine.ReferenceRecord{
		TierKey: rating.TierKey{CountryCode: "NL", PartyID: "WTL", ID: memberTier},
		Tier: &rating.Tier{CountryCode: "NL", PartyID: "WTL", ID: memberTier, Rules: []rating.TierRule{
			{Tariffs: []rating.TariffKey{{ID: memberTariff}}},
		}},
	}})
	for i := range drivers - 1 { // the last one is nobody's
		in.contract(late(), i)
		if in.rnd.IntN(4) == 0 {
			in.contract(in.moment(), i)
		}
	}
}

func (in *input) keys(at time.Duration, ids ...uint32) {
	in.refs = append(in.refs, dated{at, engine.ReferenceRecord{TokenKeys: &rating.TokenKeys{Primary: ids[0], IDs: ids}}})
}

// contract publishes one of a driver: with a tier, with a tariff of its own, with neither, or its withdrawal.
func (in *input) contract(at time.Duration, driver int) {
	key := uint32(1)
	if in.rnd.IntN(5) == 0 {
		key = 2
	}
	r := engine.ReferenceRecord{Pseudonym: rating.Pseudonym{KeyID: key, Value: tokens{}.Pseudonym(key, tokenOf(driver))}}
	c := &rating.Contract{CountryCode: "NL", PartyID: "WTL", ID: contractOf(driver), ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown}
	switch in.rnd.IntN(8) {
	case 0:
		c, r.ContractGone = nil, true
	case 1:
	case 2, 3:
		c.Tariff.ID = ownTariff
	default:
		c.Tier = memberTier
	}
	r.Contract = c
	in.refs = append(in.refs, dated{at, r})
}

func tokenOf(driver int) []byte    { return fmt.Appendf(nil, "token-%d", driver) }
func contractOf(driver int) string { return fmt.Sprintf("c%d", driver) }

// driver chooses who charges: at the start, in a later message, or nobody.
func (s *session) driver() {
	s.token, s.late = -1, -1
	switch n := s.in.who.IntN(2 * drivers); {
	case n >= drivers+2:
	case n >= drivers:
		s.late = n - drivers
	default:
		s.token = n
	}
}

// named gives a session's start its token.
func (s *session) named(r rating.Reading) rating.Reading {
	if s.token >= 0 {
		r.Token = tokenOf(s.token)
	}
	return r
}

// namedLate gives a later message the token, once.
func (s *session) namedLate(r rating.Reading) rating.Reading {
	if s.late >= 0 && s.in.who.IntN(2) == 0 {
		r.Token, s.late = tokenOf(s.late), -1
	}
	return r
}

// checkDriver compares what a session says of its driver with who it was.
func (w *world) checkDriver(v *version, t *truth) {
	switch {
	case !w.in.keyed || t.token < 0:
		if !w.in.keyed && !v.driver.None() {
			w.fail("session %s has a pseudonym, and the reference log has no keys", v.transaction)
		}
		return
	case v.driver.None() || v.driver.Value != (tokens{}).Pseudonym(v.driver.KeyID, tokenOf(t.token)):
		w.fail("session %s of token-%d has pseudonym %+v", v.transaction, t.token, v.driver)
	case v.contract != "" && v.contract != contractOf(t.token):
		w.fail("session %s of token-%d has contract %s", v.transaction, t.token, v.contract)
	case v.tier != "" && v.tariff != "NL*WTL*"+memberTariff:
		w.fail("session %s of tier %s is priced by %s", v.transaction, v.tier, v.tariff)
	}
	if v.contract != "" {
		w.counts.Drivers++
	}
}
