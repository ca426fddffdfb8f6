package oracle

import (
	"os"
	"testing"
	"time"

	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// testZone reads a zone from the database that package rating has built in: the system's may be of another version.
func testZone(t testing.TB, name string) *time.Location {
	t.Helper()
	data, err := rating.ZoneData(name)
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// readVectors gives the sessions of a vector file with their tariffs.
func readVectors(t testing.TB, name string) ([]ocpi.Session, map[string]*rating.Tariff) {
	t.Helper()
	src, err := os.ReadFile("testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	file, report := ocpi.ParsePriceFile(src, nil)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	tariffs := make(map[string]*rating.Tariff)
	for _, e := range file.Tariffs {
		tariffs[e.Key] = e.Tariff
	}
	return file.Sessions, tariffs
}

func TestVectors(t *testing.T) {
	f := func(name string, want int) {
		t.Helper()
		sessions, tariffs := readVectors(t, name)
		if len(sessions) != want {
			t.Fatalf("%s has %d sessions, want %d", name, len(sessions), want)
		}
		for _, s := range sessions {
			if err := s.Report.Err(); err != nil {
				t.Fatal(err)
			}
			bill, err := Price(tariffs[s.TariffID], testZone(t, s.Zone), FromPoints(s.Points))
			if err != nil {
				t.Fatalf("%s: %v", s.ID, err)
			}
			if !s.Expect.Incl.Given && !s.Expect.Excl.Given {
				t.Errorf("%s expects nothing", s.ID)
			}
			if want := s.Expect.Excl; want.Given {
				got, known := bill.ExclText(want.Decimals)
				if known == want.Null || known && got != want.Text {
					t.Errorf("%s: excl %q (known: %t), want %+v", s.ID, got, known, want)
				}
			}
			if want := s.Expect.Incl; want.Given {
				if got := bill.InclText(want.Decimals); got != want.Text {
					t.Errorf("%s: incl %q, want %+v", s.ID, got, want)
				}
			}
		}
	}
	f("ocpi.yaml", 41)
	f("decisions.yaml", 36)
}
