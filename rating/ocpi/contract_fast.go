package ocpi

import (
	"strings"
	"time"

	"github.com/wattline/wattline/rating"
)

// fastContract reads the value of a contract as AppendReference writes it, if its texts are plain: a start reads millions of
// them. ok false: it is to be read with care. What it takes it reads as decode does.
func (r *Reference) fastContract(value []byte) (ok bool) {
	in := plain{string(value[1:])} // one piece of memory for all texts
	var by, at string
	if !in.text(`{"kind":"contract","by":"`, &by) || !in.text(`,"at":"`, &at) || !in.take(`,"contract":{`) {
		return false
	}
	c := &rating.Contract{ValidFromMs: rating.Unknown, ValidToMs: rating.Unknown}
	var tariff, from, to string
	if !in.text(`"contract_id":"`, &c.ID) {
		return false
	}
	in.text(`,"country_code":"`, &c.CountryCode)
	in.text(`,"party_id":"`, &c.PartyID)
	in.text(`,"tier":"`, &c.Tier)
	in.text(`,"tariff":"`, &tariff)
	in.text(`,"default_profile_type":"`, &c.Profile)
	in.text(`,"valid_from":"`, &from)
	in.text(`,"valid_to":"`, &to)
	if in.rest != "}}" {
		return false
	}
	published, err := time.Parse(referenceTime, at)
	if err != nil || !instantOf(from, &c.ValidFromMs) || !instantOf(to, &c.ValidToMs) {
		return false
	}
	if c.Tariff = tariffKey(tariff); c.Tariff.ID == "" {
		c.Tariff = rating.TariffKey{}
	}
	if CheckContract(c) != "" {
		return false
	}
	r.By, r.AtMs, r.Contract = by, published.UnixMilli(), c
	return true
}

// instantOf reads a time to the millisecond; "" leaves ms alone.
func instantOf(text string, ms *int64) bool {
	if text == "" {
		return true
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Nanosecond()%1e6 != 0 {
		return false
	}
	*ms = t.UnixMilli()
	return true
}

// plain takes texts from the front of JSON.
type plain struct{ rest string }

func (p *plain) take(prefix string) (ok bool) {
	p.rest, ok = strings.CutPrefix(p.rest, prefix)
	return ok
}

// text takes what is behind prefix up to a quote, if prefix is there and it is printable ASCII without a backslash.
func (p *plain) text(prefix string, out *string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	if !ok {
		return false
	}
	for i := range len(rest) {
		switch c := rest[i]; {
		case c == '"':
			*out, p.rest = rest[:i], rest[i+1:]
			return true
		case c < ' ' || c > '~' || c == '\\':
			return false
		}
	}
	return false
}
