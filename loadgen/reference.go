package loadgen

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/wattline/wattline/rating/ocpi"
)

// The OCPI 2.2.1 Location object, as far as it is filled in (mod_locations.asciidoc); 2.3.0 reads it too.
type (
	ocpiLocation struct {
		CountryCode string          `json:"country_code"`
		PartyID     string          `json:"party_id"`
		ID          string          `json:"id"`
		Publish     bool            `json:"publish"`
		Name        string          `json:"name"`
		Address     string          `json:"address"`
		City        string          `json:"city"`
		Country     string          `json:"country"`
		Coordinates ocpiCoordinates `json:"coordinates"`
		EVSEs       []ocpiEVSE      `json:"evses"`
		TimeZone    string          `json:"time_zone"`
		LastUpdated string          `json:"last_updated"`
	}
	ocpiCoordinates struct {
		Latitude  string `json:"latitude"`
		Longitude string `json:"longitude"`
	}
	ocpiEVSE struct {
		UID         string          `json:"uid"`
		EVSEID      string          `json:"evse_id"`
		Status      string          `json:"status"`
		Connectors  []ocpiConnector `json:"connectors"`
		LastUpdated string          `json:"last_updated"`
	}
	ocpiConnector struct {
		ID               string   `json:"id"`
		Standard         string   `json:"standard"`
		Format           string   `json:"format"`
		PowerType        string   `json:"power_type"`
		MaxVoltage       int64    `json:"max_voltage"`
		MaxAmperage      int64    `json:"max_amperage"`
		MaxElectricPower int64    `json:"max_electric_power"`
		TariffIDs        []string `json:"tariff_ids"`
		LastUpdated      string   `json:"last_updated"`
	}
)

// TariffJSON appends tariff i as an OCPI 2.3.0 Tariff object.
func (n *Network) TariffJSON(dst []byte, i int) []byte {
	return ocpi.AppendTariffJSON(dst, n.tariffs[i])
}

// LocationJSON appends site i as an OCPI Location object.
func (n *Network) LocationJSON(dst []byte, i int) []byte {
	site := &n.sites[i]
	pl := &n.places[site.place]
	updated := timeText(DefaultEpochMs - dayMs)
	l := ocpiLocation{
		CountryCode: countryCode, PartyID: partyID, ID: n.siteID(i), Publish: true,
		Name: fmt.Sprintf("%s %d", pl.city, i+1), Address: fmt.Sprintf("Stroomweg %d", i+1), City: pl.city, Country: pl.country,
		Coordinates: ocpiCoordinates{pl.latitude, pl.longitude}, TimeZone: pl.zone, LastUpdated: updated,
	}
	for s := site.firstStation; s < site.endStations; s++ {
		st := &n.stations[s]
		id := string(n.id(st))
		for c := range int32(st.connectors) {
			con := n.ocpiConnector(st, st.firstConnector+c, updated)
			switch {
			case st.separateEVSEs:
				l.EVSEs = append(l.EVSEs, ocpiEVSE{id + "*" + con.ID, evseID(id + "*" + con.ID), "AVAILABLE", []ocpiConnector{con}, updated})
			case c == 0:
				l.EVSEs = append(l.EVSEs, ocpiEVSE{id, evseID(id), "AVAILABLE", []ocpiConnector{con}, updated})
			default:
				e := &l.EVSEs[len(l.EVSEs)-1]
				e.Connectors = append(e.Connectors, con)
			}
		}
	}
	b, _ := json.Marshal(&l) // texts and numbers always marshal
	return append(dst, b...)
}

// evseID is how people know an EVSE (eMI3: country, operator, E and a number).
func evseID(uid string) string { return countryCode + "*" + partyID + "*E" + uid }

func (n *Network) ocpiConnector(st *station, connector int32, updated string) ocpiConnector {
	con := &n.connectors[connector]
	c := ocpiConnector{
		ID: strconv.Itoa(int(con.number)), Standard: "IEC_62196_T2", Format: "SOCKET", PowerType: "AC_3_PHASE",
		MaxVoltage: 230, MaxAmperage: int64(con.powerW) / 690, MaxElectricPower: int64(con.powerW),
		TariffIDs: []string{n.tariffs[con.tariff].ID}, LastUpdated: updated,
	}
	if st.directCurrent {
		c.Standard, c.Format, c.PowerType = "IEC_62196_T2_COMBO", "CABLE", "DC"
		c.MaxVoltage, c.MaxAmperage = 920, 500
	}
	return c
}

func (n *Network) siteID(i int) string {
	return fmt.Sprintf("%s%05d", n.places[n.sites[i].place].code, i+1)
}

// WriteReference writes tariffs/ID.json and locations/ID.json below dir, with members tiers/member.json and
// contracts/members.ndjson too, as `wattline reference load` takes them. The last one has tokens in clear.
// Files of that name are replaced, others left alone. Errors: of the file system.
func (n *Network) WriteReference(dir string) error {
	write := func(folder string, count int, id func(int) string, object func([]byte, int) []byte) error {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return fmt.Errorf("write reference: %w", err)
		}
		var b []byte
		for i := range count {
			b = append(object(b[:0], i), '\n')
			if err := os.WriteFile(filepath.Join(dir, folder, id(i)+".json"), b, 0o644); err != nil {
				return fmt.Errorf("write reference: %w", err)
			}
		}
		return nil
	}
	if err := write("tariffs", len(n.tariffs), func(i int) string { return n.tariffs[i].ID }, n.TariffJSON); err != nil {
		return err
	}
	if err := write("locations", len(n.sites), n.siteID, n.LocationJSON); err != nil || n.Drivers() == 0 {
		return err
	}
	if err := write("tiers", 1, func(int) string { return memberTier }, func(dst []byte, _ int) []byte { return n.TierJSON(dst) }); err != nil {
		return err
	}
	var b []byte
	for i := range n.Drivers() {
		b = append(n.ContractJSON(b, i), '\n')
	}
	if err := os.MkdirAll(filepath.Join(dir, "contracts"), 0o700); err != nil {
		return fmt.Errorf("write reference: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "contracts", "members.ndjson"), b, 0o600); err != nil {
		return fmt.Errorf("write reference: %w", err)
	}
	return nil
}
