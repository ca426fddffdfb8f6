package ocpi

import "github.com/wattline/wattline/rating"

// LocationEntry is one location of a file.
type LocationEntry struct {
	Path     string           // where it stands in the file; "" for a bare location
	Location *rating.Location // nil when the report has faults (O5)
	Report   Report           // of this location
}

// ParseLocations reads OCPI Locations: a bare one, a list, an OCPI response (`data:`), or a file with `locations:`.
// Only what pricing and CDRs need is read; the many other fields of a Location are passed over, and what only CDRs need may
// be missing. zoneOK says whether a
// time_zone is known (rating.LoadZone's error); nil checks only that there is one. The report is of the file as a
// whole; each location has its own. src is not kept.
func ParseLocations(src []byte, zoneOK func(name string) error) ([]LocationEntry, Report) {
	r := &reader{}
	return r.locations(r.parseTree(src), zoneOK)
}

// locations is ParseLocations for what was parsed; nil where it could not be.
func (r *reader) locations(root *node, zoneOK func(name string) error) ([]LocationEntry, Report) {
	if root == nil || len(r.rep.Faults) > 0 {
		return nil, r.rep
	}
	for _, key := range []string{"data", "locations"} {
		if inner := root.get(key); inner != nil {
			root = inner
			break
		}
	}
	items := []*node{root}
	switch root.kind {
	case kindObject:
	case kindList:
		items = root.items
		if len(items) == 0 {
			r.warn(root, "there is no location")
		}
	default:
		r.fault(root, "%s is neither a location nor a list of locations", root.what())
		return nil, r.rep
	}
	entries := make([]LocationEntry, len(items))
	for i, item := range items {
		own := &reader{strict: true, zoneOK: zoneOK}
		l := own.location(item)
		entries[i] = LocationEntry{Path: item.path(), Report: own.rep}
		if len(own.rep.Faults) == 0 {
			entries[i].Location = l
		}
	}
	return entries, r.rep
}

func (r *reader) location(n *node) *rating.Location {
	if !r.object(n) {
		return nil
	}
	l := &rating.Location{
		CountryCode:   r.textField(n, "country_code"), // OCPI 2.1.1 has neither: the loader says whose they are
		PartyID:       r.textField(n, "party_id"),
		ID:            r.needText(n, "id"),
		Name:          r.textField(n, "name"),
		City:          r.textField(n, "city"),
		Country:       r.textField(n, "country"),
		Address:       r.cdrText(n, "address"),
		PostalCode:    r.cdrText(n, "postal_code"),
		State:         r.cdrText(n, "state"),
		Zone:          r.needText(n, "time_zone"),
		LastUpdatedMs: rating.Unknown,
	}
	if f := n.get("time_zone"); f != nil && l.Zone != "" && r.zoneOK != nil {
		if err := r.zoneOK(l.Zone); err != nil {
			r.fault(f, "%s is not a time zone that is known here", f.what())
		}
	}
	if at := n.get("coordinates"); at != nil {
		l.Latitude, l.Longitude = r.cdrText(at, "latitude"), r.cdrText(at, "longitude")
	}
	if (l.CountryCode == "") != (l.PartyID == "") {
		r.fault(n, "has only one of country_code and party_id")
	}
	if f := n.get("last_updated"); f != nil {
		if ms, ok := r.dateTime(f); ok {
			l.LastUpdatedMs = ms
		}
	}
	if evses := n.get("evses"); evses != nil && r.list(evses) {
		seen := make(map[string]bool)
		for _, item := range evses.items {
			e := r.evse(item)
			if e.UID != "" && seen[e.UID] {
				r.fault(item.get("uid"), "%s is the uid of an EVSE before it", item.get("uid").what())
			}
			seen[e.UID] = true
			l.EVSEs = append(l.EVSEs, e)
		}
	}
	return l
}

// cdrText reads a field that only CDRs need. What is no text is passed over with a warning: sessions are priced without it.
func (r *reader) cdrText(n *node, key string) string {
	f := n.get(key)
	switch {
	case f == nil:
		return ""
	case f.kind == kindText:
		return f.text
	case f.loose && f.kind == kindNumber: // an unquoted postal code or coordinate in YAML
		return f.text
	}
	r.warn(f, "%s is not a text: sessions here get no CDR", f.what())
	return ""
}

// cdrEnum is cdrText for one of a few values. Another one is kept, as its CDR will say what is wrong with it.
func (r *reader) cdrEnum(n *node, key string, values enum) string {
	s := r.cdrText(n, key)
	if own, ok := values.own(s); ok {
		return own
	}
	if s != "" {
		r.warn(n.get(key), "%s is no %s of OCPI 2.2.1: sessions here get no CDR", n.get(key).what(), key)
	}
	return s
}

// needText reads a text field that must be there and not be empty.
func (r *reader) needText(n *node, key string) string {
	f := n.get(key)
	if f == nil {
		r.fault(n, "%s is missing", key)
		return ""
	}
	s, ok := r.textOf(f)
	if ok && s == "" {
		r.fault(f, "is empty")
	}
	return s
}

func (r *reader) evse(n *node) rating.EVSE {
	if !r.object(n) {
		return rating.EVSE{}
	}
	e := rating.EVSE{UID: r.needText(n, "uid"), ID: r.cdrText(n, "evse_id")}
	connectors := n.get("connectors")
	if connectors == nil {
		r.fault(n, "connectors is missing")
		return e
	}
	if !r.list(connectors) {
		return e
	}
	seen := make(map[string]bool)
	for _, item := range connectors.items {
		c := r.connector(item)
		if c.ID != "" && seen[c.ID] {
			r.fault(item.get("id"), "%s is the id of a connector before it", item.get("id").what())
		}
		seen[c.ID] = true
		e.Connectors = append(e.Connectors, c)
	}
	return e
}

func (r *reader) connector(n *node) rating.Connector {
	if !r.object(n) {
		return rating.Connector{}
	}
	c := rating.Connector{
		ID: r.needText(n, "id"), Standard: r.cdrEnum(n, "standard", connectorStandards),
		Format: r.cdrEnum(n, "format", connectorFormats), PowerType: r.cdrEnum(n, "power_type", powerTypes),
	}
	if f := n.get("max_electric_power"); f != nil {
		if v, ok := r.positive(f, 0, "a watt"); ok {
			c.MaxPowerW = v
		}
	}
	one, many := n.get("tariff_id"), n.get("tariff_ids") // OCPI 2.1.1 has tariff_id
	if one != nil && many != nil {
		r.fault(one, "the connector has tariff_id and tariff_ids")
		return c
	}
	if one != nil {
		if s, ok := r.textOf(one); ok && s != "" {
			c.TariffIDs = []string{s}
		}
	}
	if many != nil && r.list(many) {
		for _, item := range many.items {
			if s, ok := r.textOf(item); ok {
				c.TariffIDs = append(c.TariffIDs, s)
			}
		}
	}
	return c
}
