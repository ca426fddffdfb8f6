package reflog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// folder is what a folder wants the reference log to say.
type folder struct {
	objects      []ocpi.Reference
	contracts    []string // files
	hasContracts bool
}

// folderReader collects the objects of a folder and what is wrong with them.
type folderReader struct {
	options Options
	tell    func(string)
	out     []ocpi.Reference
	from    map[string]string // by key: file and path it came from
	faults  []error
}

// readFolder reads the folders of dir, and finds the files of contracts. Warnings are told; faults are returned, all of
// them.
func readFolder(dir string, options *Options, tell func(string)) (*folder, error) {
	r := &folderReader{options: *options, tell: tell, from: map[string]string{}}
	f := &folder{}
	found := 0
	for _, part := range []struct {
		name  string
		read  func(file string, src []byte)
		types []string
	}{
		{"tariffs", r.tariffs, []string{".json", ".yaml", ".yml"}},
		{"locations", r.locations, []string{".json", ".yaml", ".yml"}},
		{"tiers", r.tiers, []string{".json"}},
		{"defaults", r.defaults, []string{".json"}},
	} {
		root := filepath.Join(dir, part.name)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !slices.Contains(part.types, strings.ToLower(filepath.Ext(path))) {
				return err
			}
			src, err := os.ReadFile(path)
			if err == nil {
				found++
				part.read(path, src)
			}
			return err
		})
		if err == nil {
			options.folders = append(options.folders, part.name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var err error
	if f.contracts, f.hasContracts, err = contractFiles(dir); err != nil {
		return nil, err
	}
	if found+len(f.contracts) == 0 {
		return nil, fmt.Errorf("%s holds no file tariffs/* and no locations/* that ends in .json, .yaml or .yml, and no contracts", dir)
	}
	r.checkTariffIDs()
	r.checkEVSEs()
	f.objects = r.out
	switch len(r.faults) {
	case 0:
	case 1:
		return nil, fmt.Errorf("there is 1 fault:\n%w", r.faults[0])
	default:
		return nil, fmt.Errorf("there are %d faults:\n%w", len(r.faults), errors.Join(r.faults...))
	}
	return f, nil
}

// eachObject calls one for every object of a JSON list, or for the only one.
func (r *folderReader) eachObject(file string, src []byte, one func(path string, object []byte) error) {
	var list []json.RawMessage
	path := "[%d]"
	if err := json.Unmarshal(src, &list); err != nil {
		list, path = []json.RawMessage{src}, ""
	}
	for i, object := range list {
		at := path
		if at != "" {
			at = fmt.Sprintf(path, i)
		}
		if err := one(at, object); err != nil {
			r.faults = append(r.faults, fmt.Errorf("%s%s: %w", file, at, err))
		}
	}
}

func (r *folderReader) tiers(file string, src []byte) {
	r.eachObject(file, src, func(path string, object []byte) error {
		t, err := ocpi.ParseTier(object)
		if err != nil {
			return err
		}
		if t.CountryCode == "" && t.PartyID == "" {
			t.CountryCode, t.PartyID = r.options.Country, r.options.Party
		}
		r.add(file, path, ocpi.Reference{
			Kind: ocpi.ReferenceTier, Tier: t, TierKey: rating.TierKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID},
		})
		return nil
	})
}

func (r *folderReader) defaults(file string, src []byte) {
	r.eachObject(file, src, func(path string, object []byte) error {
		var where struct {
			CountryCode string `json:"country_code"`
			PartyID     string `json:"party_id"`
			Location    string `json:"location"`
		}
		if err := json.Unmarshal(object, &where); err != nil {
			return err
		}
		tariffs, err := ocpi.ParseDefault(object)
		if err != nil {
			return err
		}
		if where.CountryCode == "" && where.PartyID == "" {
			where.CountryCode, where.PartyID = r.options.Country, r.options.Party
		}
		r.add(file, path, ocpi.Reference{
			Kind: ocpi.ReferenceDefault, Default: tariffs,
			LocationKey: rating.LocationKey{CountryCode: where.CountryCode, PartyID: where.PartyID, ID: where.Location},
		})
		return nil
	})
}

// report tells warnings, notes faults and says whether there were none.
func (r *folderReader) report(file string, report ocpi.Report) bool {
	for _, w := range report.Warnings {
		r.tell(fmt.Sprintf("%s: warning: %s", file, w))
	}
	for _, f := range report.Faults {
		r.faults = append(r.faults, fmt.Errorf("%s: %s", file, f))
	}
	return len(report.Faults) == 0
}

func (r *folderReader) tariffs(file string, src []byte) {
	entries, report := ocpi.ParseTariffs(src)
	r.report(file, report)
	for _, e := range entries {
		if !r.report(file, e.Report) {
			continue
		}
		t := *e.Tariff
		if t.CountryCode == "" && t.PartyID == "" {
			t.CountryCode, t.PartyID = r.options.Country, r.options.Party
		}
		r.add(file, e.Path, ocpi.Reference{
			Kind: ocpi.ReferenceTariff, Tariff: &t, TariffKey: rating.TariffKey{CountryCode: t.CountryCode, PartyID: t.PartyID, ID: t.ID},
		})
	}
}

func (r *folderReader) locations(file string, src []byte) {
	entries, report := ocpi.ParseLocations(src, func(name string) error {
		_, err := rating.LoadZone(name)
		return err
	})
	r.report(file, report)
	for _, e := range entries {
		if !r.report(file, e.Report) {
			continue
		}
		l := *e.Location
		if l.CountryCode == "" && l.PartyID == "" {
			l.CountryCode, l.PartyID = r.options.Country, r.options.Party
		}
		r.add(file, e.Path, ocpi.Reference{
			Kind: ocpi.ReferenceLocation, Location: &l, LocationKey: rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: l.ID},
		})
	}
}

func (r *folderReader) add(file, path string, ref ocpi.Reference) {
	where := file
	if path != "" {
		where += ": " + path
	}
	key, _, err := ocpi.AppendReference(nil, nil, &ref)
	if err != nil {
		r.faults = append(r.faults, fmt.Errorf("%s: %w", where, err))
		return
	}
	if before, ok := r.from[string(key)]; ok {
		r.faults = append(r.faults, fmt.Errorf("%s: %s is in %s too", where, key, before))
		return
	}
	r.from[string(key)] = where
	r.out = append(r.out, ref)
}

// checkTariffIDs warns of connectors whose tariff is not in the folder: their sessions are held until it is published.
func (r *folderReader) checkTariffIDs() {
	known, told := map[rating.TariffKey]bool{}, map[rating.TariffKey]bool{}
	for i := range r.out {
		if r.out[i].Tariff != nil {
			known[r.out[i].TariffKey] = true
		}
	}
	for i := range r.out {
		l := r.out[i].Location
		if l == nil {
			continue
		}
		for _, e := range l.EVSEs {
			for _, c := range e.Connectors {
				for _, id := range c.TariffIDs {
					key := rating.TariffKey{CountryCode: l.CountryCode, PartyID: l.PartyID, ID: id}
					if !known[key] && !told[key] {
						told[key] = true
						r.tell(fmt.Sprintf("warning: location %s, EVSE %s: tariff %s is not in the folder", l.ID, e.UID, key))
					}
				}
			}
		}
	}
}

// checkEVSEs warns of what makes sessions be held: an EVSE that two locations claim, a connector without a tariff.
func (r *folderReader) checkEVSEs() {
	owner, defaults := map[string]string{}, map[rating.LocationKey]bool{}
	for i := range r.out {
		if r.out[i].Default != nil {
			defaults[r.out[i].LocationKey] = true
		}
	}
	for i := range r.out {
		l := r.out[i].Location
		if l == nil {
			continue
		}
		for _, e := range l.EVSEs {
			if before, ok := owner[e.UID]; ok {
				r.tell(fmt.Sprintf("warning: locations %s and %s both have EVSE %s", before, l.ID, e.UID))
			} else {
				owner[e.UID] = l.ID
			}
			for _, c := range e.Connectors {
				network := rating.LocationKey{CountryCode: l.CountryCode, PartyID: l.PartyID}
				if len(c.TariffIDs) == 0 && !defaults[network] && !defaults[r.out[i].LocationKey] {
					r.tell(fmt.Sprintf("warning: location %s, EVSE %s, connector %s: there are no tariff_ids and no defaults, its sessions have no price", l.ID, e.UID, c.ID))
				}
			}
		}
	}
}
