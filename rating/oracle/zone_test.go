package oracle

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/rating"
)

// TestOffsets holds the search for offset changes, hour by hour, against the zones of the fast pricer, which are read
// in another way.
func TestOffsets(t *testing.T) {
	z := newZones()
	changes := 0
	for _, name := range wide().zones {
		fast, slow := z.load(t, name)
		s := &session{tariff: &rating.Tariff{}, zone: slow}
		const from, to = 0, 2_208_988_800_000 // 1970 to 2040
		slowly, _ := s.offsets(from, to)
		changes += len(slowly)
		var quickly []int64
		for at := int64(from); ; {
			offset, until := fast.Offset(at)
			if want := s.offsetAt(at); offset != want {
				t.Errorf("%s at %d ms: the fast pricer has %d ms, the oracle %d", name, at, offset, want)
			}
			if until >= to {
				break
			}
			quickly = append(quickly, until)
			at = until
		}
		if d := cmp.Diff(slowly, quickly); d != "" {
			t.Errorf("%s: changes of the oracle (-) and of the fast pricer (+):\n%s", name, d)
		}
	}
	if changes < 1000 {
		t.Errorf("only %d changes of offset were found", changes)
	}
}
