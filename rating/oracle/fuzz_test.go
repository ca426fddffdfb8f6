package oracle

import (
	"testing"

	"github.com/wattline/wattline/rating/ocpi"
)

// FuzzPriceFiles prices whatever the reader of price files takes by both pricers.
func FuzzPriceFiles(f *testing.F) {
	sc := wide()
	sc.changes = false
	for i := range 40 {
		f.Add([]byte(sc.example(seeded(uint64(i))).yaml()))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		z := newZones()
		file, _ := ocpi.ParsePriceFile(src, nil)
		if file == nil || len(file.Tariffs) == 0 {
			return
		}
		for _, s := range file.Sessions {
			const month, year2200 = 31 * 86_400_000, 7_258_118_400_000
			if len(s.Points) == 0 || s.Points[len(s.Points)-1].AtMs > year2200 || s.Points[len(s.Points)-1].AtMs-s.Points[0].AtMs > month {
				continue // the oracle looks at every hour; zones are known until 2200
			}
			x := example{tariff: file.Tariffs[0].Tariff, zone: "Europe/Amsterdam", readings: FromPoints(s.Points)}
			if d := disagreement(t, z, x, true); d != "" {
				t.Fatalf("%s\n%s", d, x.yaml())
			}
		}
	})
}
