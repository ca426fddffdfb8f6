package rating

import (
	"archive/zip"
	_ "embed" // the zone database
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
)

// TZDataVersion is the release of the IANA time zone database that is built in. It is part of RatingVersion: a
// new release is a new version of the pricer.
const TZDataVersion = "2025c"

// ErrUnknownZone is what LoadZone says of a name that the built-in database does not have.
var ErrUnknownZone = errors.New("unknown time zone")

// zoneZip is lib/time/zoneinfo.zip of the Go distribution: the system's database is never asked, or two
// machines could bill one session differently.
//
//go:embed zoneinfo.zip
var zoneZip string

// Zone is the offsets of one IANA time zone over time. It is immutable and may be shared.
//
// Offsets are known until 2200; the last one holds after that.
type Zone struct {
	name     string
	fromMs   []int64 // fromMs[i] is when offsetMs[i] begins; fromMs[0] is the beginning of time
	offsetMs []int64 // local time minus UTC
}

const (
	minInt64    = -1 << 63
	maxInt64    = 1<<63 - 1
	dayMs       = 86_400_000
	zoneEndYear = 2200
)

// LoadZone reads the IANA zone name from the built-in database. Nothing is cached: callers keep their zones.
// Errors: ErrUnknownZone, wrapped.
func LoadZone(name string) (*Zone, error) {
	data, err := ZoneData(name)
	if err != nil {
		return nil, err
	}
	loc, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", name, err)
	}
	z := &Zone{name: name}
	at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).In(loc)
	for {
		_, offset := at.Zone()
		_, end := at.ZoneBounds() // its start is not used: it is wrong for the last change before a rule begins
		// A change of the abbreviation alone is none of the offset.
		if n := len(z.offsetMs); n == 0 || z.offsetMs[n-1] != int64(offset)*1000 {
			from := int64(minInt64)
			if n > 0 {
				from = at.UnixMilli()
			}
			z.fromMs = append(z.fromMs, from)
			z.offsetMs = append(z.offsetMs, int64(offset)*1000)
		}
		if end.IsZero() || end.Year() > zoneEndYear {
			return z, nil
		}
		if !end.After(at) {
			// Where a rule goes on for ever, ZoneBounds ends with the year, which it takes for one of 365 days.
			// No zone changes in these hours (TestZone).
			end = at.Add(time.Hour)
		}
		at = end
	}
}

// ZoneData is the raw TZif file of the IANA zone name in the built-in database. The caller owns the bytes.
// Errors: ErrUnknownZone, wrapped.
func ZoneData(name string) ([]byte, error) {
	r, err := zip.NewReader(strings.NewReader(zoneZip), int64(len(zoneZip)))
	if err != nil {
		return nil, fmt.Errorf("built-in time zone database: %w", err)
	}
	for _, f := range r.File { // not Open(name): that understands paths, we want names
		if f.Name != name || strings.HasSuffix(name, "/") {
			continue
		}
		src, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("time zone %q: %w", name, err)
		}
		data, err := io.ReadAll(src)
		if err != nil {
			return nil, fmt.Errorf("time zone %q: %w", name, err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownZone, name)
}

// Name is the IANA name of the zone.
func (z *Zone) Name() string { return z.name }

// Offset is local time minus UTC at an instant, and until when it holds (exclusive; ms since 1970 UTC).
func (z *Zone) Offset(atMs int64) (offsetMs, untilMs int64) {
	i := sort.Search(len(z.fromMs)-1, func(i int) bool { return z.fromMs[i+1] > atMs })
	untilMs = maxInt64
	if i+1 < len(z.fromMs) {
		untilMs = z.fromMs[i+1]
	}
	return z.offsetMs[i], untilMs
}

// floorDiv is floor(a/b) for b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
