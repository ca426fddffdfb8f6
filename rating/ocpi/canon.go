package ocpi

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/wattline/wattline/rating"
)

// canon reads a record of a location in the form that AppendReference writes: fields in their order, nothing between
// them, no escapes. An engine that starts reads every location of the network again, so this is many times cheaper
// than the reader of any JSON, which takes over wherever the text differs from that form in the least: canon then says
// no, and never a fault. What it says yes to, the other reader would read as the same (FuzzReference).
//
// A field that AppendLocationJSON gets, it gets here too, in its place.
type canon struct {
	src   []byte
	at    int
	no    bool // not of that form
	first bool // the next field has no comma before it

	uids, ids  texts // of all EVSEs: uid, evse_id
	connectors []rating.Connector
	last       rating.Connector // most have the same few texts
}

// location reads the value of a record, behind its version byte.
func (c *canon) location(r *Reference) bool {
	if !utf8.Valid(c.src) {
		return false
	}
	c.begin("{")
	c.word("kind", string(ReferenceLocation))
	c.field("by")
	by := string(c.quoted(true))
	at, err := time.Parse(referenceTime, string(c.text("at")))
	if c.no || err != nil {
		return false
	}
	c.field("location")
	l := c.object()
	c.literal("}")
	if c.no || c.at != len(c.src) || (rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID}) != r.LocationKey {
		return false
	}
	r.By, r.AtMs, r.Location = by, at.UnixMilli(), l
	return true
}

func (c *canon) object() *rating.Location {
	l := &rating.Location{LastUpdatedMs: rating.Unknown}
	c.begin("{")
	for _, f := range [...]struct {
		key string
		to  *string
	}{
		{"country_code", &l.CountryCode},
		{"party_id", &l.PartyID},
		{"id", &l.ID},
		{"name", &l.Name},
		{"address", &l.Address},
		{"city", &l.City},
		{"postal_code", &l.PostalCode},
		{"state", &l.State},
		{"country", &l.Country},
	} {
		*f.to = string(c.optional(f.key))
	}
	if c.has("coordinates") {
		c.begin("{")
		l.Latitude, l.Longitude = string(c.optional("latitude")), string(c.optional("longitude"))
		c.literal("}")
		c.first = false
	}
	c.field("evses")
	c.begin("[")
	n := bytes.Count(c.src, []byte(`{"uid":`))
	l.EVSEs, c.uids.ends, c.connectors = make([]rating.EVSE, 0, n), make([]int, 0, n), make([]rating.Connector, 0, n)
	for !c.no && !c.ended("]") {
		c.comma()
		l.EVSEs = append(l.EVSEs, c.evse())
	}
	l.Zone = string(c.text("time_zone"))
	if at := c.optional("last_updated"); at != nil {
		ms, _, _, ok := instantText(string(at))
		c.no = c.no || !ok
		l.LastUpdatedMs = ms
	}
	c.literal("}")
	if l.ID == "" || (l.CountryCode == "") != (l.PartyID == "") || !c.nameEVSEs(l) {
		c.no = true
	}
	if len(l.EVSEs) == 0 {
		l.EVSEs = nil
	}
	return l
}

// nameEVSEs gives the EVSEs their uids and ids; false where one has the uid of another.
func (c *canon) nameEVSEs(l *rating.Location) bool {
	c.ids.each(func(i int, id string) { l.EVSEs[i].ID = id })
	seen := make(map[string]struct{}, len(l.EVSEs))
	c.uids.each(func(i int, uid string) {
		l.EVSEs[i].UID = uid
		seen[uid] = struct{}{}
	})
	return len(seen) == len(l.EVSEs)
}

// texts gathers what differs from one to the next, to be one string in the end.
type texts struct {
	bytes []byte
	ends  []int // of each in bytes
}

func (t *texts) add(text []byte) {
	t.bytes = append(t.bytes, text...)
	t.ends = append(t.ends, len(t.bytes))
}

func (t *texts) each(fn func(i int, text string)) {
	all, from := string(t.bytes), 0
	for i, end := range t.ends {
		fn(i, all[from:end])
		from = end
	}
}

func (c *canon) evse() rating.EVSE {
	c.begin("{")
	c.uids.add(c.text("uid"))
	c.ids.add(c.optional("evse_id"))
	c.field("connectors")
	c.begin("[")
	from := len(c.connectors)
	for !c.no && !c.ended("]") {
		c.comma()
		c.connector()
	}
	c.literal("}")
	c.first = false
	own := c.connectors[from:len(c.connectors):len(c.connectors)]
	if len(own) == 0 {
		own = nil
	}
	for i := range own {
		for j := range i {
			c.no = c.no || own[i].ID == own[j].ID
		}
	}
	return rating.EVSE{Connectors: own}
}

func (c *canon) connector() {
	c.begin("{")
	n := &c.last
	again(&n.ID, c.text("id"))
	again(&n.Standard, c.optional("standard"))
	again(&n.Format, c.optional("format"))
	again(&n.PowerType, c.optional("power_type"))
	n.MaxPowerW = 0
	if c.has("max_electric_power") {
		from := c.at
		for c.at < len(c.src) && c.src[c.at] >= '0' && c.src[c.at] <= '9' {
			c.at++
		}
		v, err := strconv.ParseInt(string(c.src[from:c.at]), 10, 64)
		c.no = c.no || err != nil || v == 0 || c.src[from] == '0' || c.at-from > 15 // zero is not written
		n.MaxPowerW = v
	}
	ids := n.TariffIDs
	n.TariffIDs = nil
	if c.has("tariff_ids") {
		n.TariffIDs = c.list(ids)
	}
	c.literal("}")
	c.first = false
	c.connectors = append(c.connectors, *n)
}

// again gives *s the text, which it often has already.
func again(s *string, text []byte) {
	if string(text) != *s {
		*s = string(text)
	}
}

// list reads a list of texts, at least one. It is often that of the connector before: nobody changes it, so they share.
func (c *canon) list(before []string) []string {
	c.begin("[")
	same, i := true, 0
	var own []string
	for !c.no && !c.ended("]") {
		c.comma()
		s := c.quoted(false)
		if same && i < len(before) && before[i] == string(s) {
			i++
			continue
		}
		if same {
			same, own = false, append(own, before[:i]...)
		}
		own = append(own, string(s))
	}
	if same {
		own = append(own, before[:i]...)
		if i == len(before) {
			own = before
		}
	}
	c.no = c.no || len(own) == 0
	return own
}

// begin reads the beginning of an object or a list.
func (c *canon) begin(text string) {
	c.literal(text)
	c.first = true
}

// ended reads the end of a list, if it is here. What comes next in the object has a comma before it.
func (c *canon) ended(text string) bool {
	if !c.starts(text) {
		return false
	}
	c.at += len(text)
	c.first = false
	return true
}

// comma reads the comma between two values.
func (c *canon) comma() {
	if !c.first {
		c.literal(",")
	}
	c.first = false
}

func (c *canon) starts(text string) bool {
	return len(c.src)-c.at >= len(text) && string(c.src[c.at:c.at+len(text)]) == text
}

func (c *canon) literal(text string) {
	if !c.starts(text) {
		c.no = true
		return
	}
	c.at += len(text)
}

// has reads the name of a field with all that comes before its value, if it is here.
func (c *canon) has(key string) bool {
	at := c.at
	if !c.first {
		if !c.starts(",") {
			return false
		}
		c.at++
	}
	n := len(key)
	if rest := c.src[c.at:]; len(rest) < n+3 || rest[0] != '"' || string(rest[1:n+1]) != key || rest[n+1] != '"' || rest[n+2] != ':' {
		c.at = at
		return false
	}
	c.at += n + 3
	c.first = false
	return true
}

func (c *canon) field(key string) { c.no = c.no || !c.has(key) }

// word reads a text field that says only one thing.
func (c *canon) word(key, value string) { c.no = c.no || string(c.text(key)) != value }

// text reads a text field, which is not empty.
func (c *canon) text(key string) []byte {
	c.field(key)
	return c.quoted(false)
}

// optional reads a text field that may be missing: nil then.
func (c *canon) optional(key string) []byte {
	if !c.has(key) {
		return nil
	}
	return c.quoted(false)
}

// quoted reads a text without escapes. Few fields are written when they are empty.
func (c *canon) quoted(empty bool) []byte {
	if c.no || !c.starts(`"`) {
		c.no = true
		return nil
	}
	c.at++
	n := bytes.IndexByte(c.src[c.at:], '"')
	if n < 0 || n == 0 && !empty {
		c.no = true
		return nil
	}
	s := c.src[c.at : c.at+n]
	for _, b := range s {
		if b == '\\' || b < ' ' {
			c.no = true
			return nil
		}
	}
	c.at += n + 1
	return s
}
