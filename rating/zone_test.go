package rating

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// allZones is every zone of the built-in database.
func allZones(t testing.TB) []string {
	t.Helper()
	r, err := zip.NewReader(strings.NewReader(zoneZip), int64(len(zoneZip)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.File {
		if !strings.HasSuffix(f.Name, "/") {
			names = append(names, f.Name)
		}
	}
	return names
}

// TestZone compares every zone with package time: at both sides of each change of the table, and at random
// instants, where a change that the table lacks would show.
func TestZone(t *testing.T) {
	names := allZones(t)
	if len(names) < 400 {
		t.Fatalf("only %d zones", len(names))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, name := range names {
		z, err := LoadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := ZoneData(name)
		if err != nil {
			t.Fatal(err)
		}
		loc, err := time.LoadLocationFromTZData(name, data)
		if err != nil {
			t.Fatal(err)
		}
		check := func(ms int64) {
			got, until := z.Offset(ms)
			_, want := time.UnixMilli(ms).In(loc).Zone()
			if got != int64(want)*1000 || until <= ms {
				t.Fatalf("%s at %s: offset %d ms until %d, want %d s", name, time.UnixMilli(ms).UTC(), got, until, want)
			}
		}
		for i, from := range z.fromMs[1:] {
			check(from)
			check(from - 1)
			if from <= z.fromMs[i] || z.offsetMs[i] == z.offsetMs[i+1] {
				t.Fatalf("%s: change %d at %d is none", name, i, from)
			}
		}
		lo, hi := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		for range 3000 {
			check(lo + rnd.Int64N(hi-lo))
		}
		for day := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2045; day = day.Add(36 * time.Hour) {
			check(day.UnixMilli())
		}
	}
}

// TestZoneData holds the database to the release that TZDataVersion names: another one is another
// RatingVersion.
func TestZoneData(t *testing.T) {
	const sum2025c = "8f55634d05f8bca1f7bc7c69c5933428c69357e0bdf565e5ba224e3f88ff12e8"
	sum := sha256.Sum256([]byte(zoneZip))
	if got := hex.EncodeToString(sum[:]); got != sum2025c || TZDataVersion != "2025c" {
		t.Errorf("zoneinfo.zip is %s; TZDataVersion %s is %s", got, TZDataVersion, sum2025c)
	}
}

func TestUnknownZone(t *testing.T) {
	for _, name := range []string{"", "Local", "Europe/", "Europe", "Europe/Atlantis", "../Europe/Paris", "europe/paris"} {
		if _, err := LoadZone(name); !errors.Is(err, ErrUnknownZone) {
			t.Errorf("LoadZone(%q): %v", name, err)
		}
	}
}
