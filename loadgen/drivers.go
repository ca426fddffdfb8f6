package loadgen

import (
	"encoding/json"
	"fmt"

	"github.com/wattline/wattline/rating"
)

// Drivers of a network with members. A member has a contract and pays the tariffs of its tier; a stranger has a token that
// the network does not know (roaming); the others have none.
const (
	strangersPercent = 40
	driversPerPoint  = 5 // members that a network has, a charge point
	memberTier       = "member"
)

// The tariffs of members, as places behind the tariffs of a city.
const (
	memberAC int32 = iota
	memberDC
	memberLondon
	memberLondonFast
)

// memberTariffs are cheaper than what others pay. The order is that of the constants.
func memberTariffs() []*rating.Tariff {
	const energy, parking = rating.Energy, rating.ParkingTime
	return []*rating.Tariff{
		tariff("MEMBER-AC", "EUR", always(priced(energy, 26, vat21, 1), priced(parking, 20, vat21, 60))),
		tariff("MEMBER-DC", "EUR",
			element(minPowerKw(100), priced(energy, 55, vat21, 1)),
			always(priced(energy, 49, vat21, 1), priced(parking, 600, vat21, 60))),
		tariff("MEMBER-UK", "GBP", always(priced(energy, 24, vat20, 1), priced(parking, 50, vat20, 60))),
		tariff("MEMBER-UK-DC", "GBP", always(priced(energy, 59, vat20, 1), priced(parking, 500, vat20, 60))),
	}
}

// driver is who charges in a session.
type driver struct {
	number int64 // of the driver; -1: he shows no token
	member bool
}

// driverOf says who charges in a session: the same whenever it is asked.
func (n *Network) driverOf(connector, session int32) driver {
	if n.cfg.MembersPercent == 0 {
		return driver{number: -1}
	}
	r := randomOf(n.cfg.Seed, forDriver, int64(connector), int64(session))
	members := int64(len(n.stations)) * driversPerPoint
	switch kind := r.below(100); {
	case kind < int64(n.cfg.MembersPercent):
		return driver{r.below(members), true}
	case kind < int64(n.cfg.MembersPercent)+strangersPercent:
		return driver{members + r.below(members), false}
	}
	return driver{number: -1}
}

// appendToken appends what a driver's card says: an RFID uid of seven bytes.
func (n *Network) appendToken(dst []byte, number int64) []byte {
	r := randomOf(n.cfg.Seed, forDriver, -1, number)
	dst = append(dst, "04"...)
	for v, shift := r.next(), 60; shift >= 16; shift -= 4 { // 12 digits
		dst = append(dst, "0123456789ABCDEF"[v>>shift&15])
	}
	return dst
}

// tariffOf is the index of the tariff that prices a session of d.
func (n *Network) tariffOf(connector int32, d driver) int32 {
	c := &n.connectors[connector]
	if !d.member || c.tariff == tariffFree {
		return c.tariff
	}
	own := int32(len(cityTariffs()))
	london := n.tariffs[c.tariff].Currency == "GBP"
	switch {
	case london && c.fast:
		return own + memberLondonFast
	case london:
		return own + memberLondon
	case c.fast:
		return own + memberDC
	}
	return own + memberAC
}

// Drivers is how many contracts there are.
func (n *Network) Drivers() int {
	if n.cfg.MembersPercent == 0 {
		return 0
	}
	return len(n.stations) * driversPerPoint
}

// Tier is the id of the tier that the session's driver pays by; "" is none.
func (s *Session) Tier() string {
	if s.n.driverOf(s.connector, s.plan.number).member {
		return memberTier
	}
	return ""
}

// Token is what the session's driver shows at its start; "" is nothing.
func (s *Session) Token() string {
	if d := s.n.driverOf(s.connector, s.plan.number); d.number >= 0 {
		return string(s.n.appendToken(nil, d.number))
	}
	return ""
}

type (
	ocpiToken struct {
		CountryCode string `json:"country_code"`
		PartyID     string `json:"party_id"`
		UID         string `json:"uid"`
		Type        string `json:"type"`
		ContractID  string `json:"contract_id"`
		Tier        string `json:"tier"`
	}
	tierRule struct {
		Location string   `json:"location,omitempty"`
		EVSE     string   `json:"evse,omitempty"`
		Tariffs  []string `json:"tariffs"`
	}
	tier struct {
		CountryCode string     `json:"country_code"`
		PartyID     string     `json:"party_id"`
		ID          string     `json:"id"`
		Rules       []tierRule `json:"rules"`
	}
)

// ContractJSON appends the contract of driver i as an OCPI Token with its tier.
func (n *Network) ContractJSON(dst []byte, i int) []byte {
	b, _ := json.Marshal(&ocpiToken{ // texts always marshal
		countryCode, partyID, string(n.appendToken(nil, int64(i))), "RFID", fmt.Sprintf("NL-WTL-C%08d-%d", i+1, (i+1)%10), memberTier,
	})
	return append(dst, b...)
}

// TierJSON appends the tier of all contracts: a tariff everywhere, others in London, at fast chargers, and where it costs
// nothing.
func (n *Network) TierJSON(dst []byte) []byte {
	list := memberTariffs()
	t := tier{countryCode, partyID, memberTier, []tierRule{{Tariffs: []string{list[memberAC].ID}}}}
	for i := range n.sites {
		if n.places[n.sites[i].place].zone == "Europe/London" {
			t.Rules = append(t.Rules, tierRule{Location: n.siteID(i), Tariffs: []string{list[memberLondon].ID}})
		}
	}
	for i := range n.connectors {
		c := &n.connectors[i]
		st := &n.stations[c.station]
		if !c.fast && c.tariff != tariffFree || c.number > 1 && !st.separateEVSEs {
			continue
		}
		uid := string(n.id(st))
		if st.separateEVSEs {
			uid = fmt.Sprintf("%s*%d", uid, c.number)
		}
		t.Rules = append(t.Rules, tierRule{EVSE: uid, Tariffs: []string{n.tariffs[n.tariffOf(int32(i), driver{member: true})].ID}})
	}
	b, _ := json.Marshal(&t)
	return append(dst, b...)
}
