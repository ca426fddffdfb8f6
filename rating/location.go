package rating

// Location is what pricing needs of an OCPI Location, its zone and the connectors of its charge points, and what a CDR says
// of it. Of the latter anything may be empty: sessions are priced all the same.
type Location struct {
	CountryCode, PartyID, ID string
	Name, City               string
	Address                  string
	PostalCode, State        string
	Latitude, Longitude      string // decimal degrees, as they were given
	Zone                     string // IANA name (OCPI time_zone)
	Country                  string // ISO 3166-1 alpha-3
	EVSEs                    []EVSE
	LastUpdatedMs            int64
}

// EVSE is an OCPI EVSE. Its uid names the charge point: either the charge point's identity itself, whose
// connectors are then told apart by their OCPI connector id, or identity + "*" + connector number for stations
// that are modelled as one EVSE a connector.
type EVSE struct {
	UID        string
	ID         string // evse_id, as people know it ("NL*WTL*E1"); empty: not said
	Connectors []Connector
}

// Connector is an OCPI Connector.
type Connector struct {
	ID        string
	MaxPowerW int64    // max_electric_power, W; 0 = not said
	TariffIDs []string // of the location's own country_code and party_id, in order

	Standard, Format, PowerType string // standard, format, power_type; empty: not said
}
