package reflog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFolder: OCPI 2.1.1 objects say no owner; a tariff that is nowhere is warned of.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tariffs/t.json":   `{"id":"t","currency":"EUR","elements":[{"price_components":[{"type":"FLAT","price":1,"step_size":1}]}],"last_updated":"2026-01-01T00:00:00Z"}`,
		"locations/l.json": `{"id":"l","time_zone":"Europe/Paris","evses":[{"uid":"e","connectors":[{"id":"1","tariff_id":"t"},{"id":"2","tariff_id":"u"}]}]}`,
		"locations/m.json": `{"id":"m","time_zone":"Europe/Paris","evses":[{"uid":"e","connectors":[{"id":"1"}]}]}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	read, err := readFolder(dir, &Options{Country: "FR", Party: "ABC"}, func(line string) { told = append(told, line) })
	if err != nil || len(read.objects) != 3 {
		t.Fatalf("%+v, %v", read, err)
	}
	refs := read.objects
	if refs[0].TariffKey.String() != "FR*ABC*t" || refs[1].LocationKey.CountryCode != "FR" || refs[1].Location.PartyID != "ABC" {
		t.Errorf("owner is not set: %+v", refs)
	}
	if text := strings.Join(told, "\n"); !strings.Contains(text, "tariff FR*ABC*u is not in the folder") || strings.Contains(text, "FR*ABC*t is not") {
		t.Errorf("told %q", told)
	}
	for _, want := range []string{"locations l and m both have EVSE e", "location m, EVSE e, connector 1: there are no tariff_ids"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("%q is not in %q", want, told)
		}
	}
}
