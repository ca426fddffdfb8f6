package commit

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMetadataGolden is the text of docs/formats/commit-metadata.md.
func TestMetadataGolden(t *testing.T) {
	f := func(m Metadata, want string) {
		t.Helper()
		if got := string(Append(nil, &m)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		back, err := Parse(want)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if diff := cmp.Diff(&m, back); diff != "" {
			t.Errorf("%s: %s", want, diff)
		}
	}
	f(Metadata{RatingVersion: 1, SliceMs: 900_000, TimeoutMs: 3_600_000}, "wattline2 r=1 c=900000,3600000")
	f(Metadata{RatingVersion: 1, SliceMs: 900_000, TimeoutMs: 3_600_000, Partitioner: "murmur2,16"}, "wattline2 r=1 c=900000,3600000 h=murmur2,16")
	f(Metadata{RatingVersion: 1, SliceMs: -1, TimeoutMs: 60_000, Books: []BookChange{{0, 3}}, Plans: []Plan{{0, 99}}}, "wattline2 r=1 c=-1,60000 b=0,3 p=0,99")
	f(Metadata{
		RatingVersion: 1, SliceMs: 900_000, TimeoutMs: 3_600_000,
		Snapshot: SnapshotRef{ID: 1_750_000_000_000_000_000, Offset: 4_000_000, At: 17, Count: 3, Bytes: 1_500_000, CRC: 0xdeadbeef},
		Books:    []BookChange{{3_999_000, 40}, {4_100_000, 42}}, Plans: []Plan{{4_200_000, 4_299_999}, {4_300_000, 4_300_000}},
	}, "wattline2 r=1 c=900000,3600000 s=1750000000000000000,4000000,17,3,1500000,3735928559 b=3999000,40 b=4100000,42 p=4200000,4299999 p=4300000,4300000")
	f(Metadata{
		RatingVersion: 1, SliceMs: 900_000, TimeoutMs: 3_600_000,
		Snapshot: SnapshotRef{ID: 1_750_000_000_000_000_000, Offset: 4_000_000, At: 17, Count: 3, Bytes: 1_500_000, CRC: 0xdeadbeef},
		Before:   SnapshotRef{ID: 1_740_000_000_000_000_000, Offset: 3_900_000, At: 13, Count: 4, Bytes: 1_600_000, CRC: 0xcafe},
		Books:    []BookChange{{3_899_000, 40}, {4_100_000, 42}}, Plans: []Plan{{4_200_000, 4_299_999}, {4_300_000, 4_300_000}},
	}, "wattline2 r=1 c=900000,3600000 s=1750000000000000000,4000000,17,3,1500000,3735928559 t=1740000000000000000,3900000,13,4,1600000,51966 "+
		"b=3899000,40 b=4100000,42 p=4200000,4299999 p=4300000,4300000")
}

// TestMetadataOfBefore: what the release before wrote is read, and means the same.
func TestMetadataOfBefore(t *testing.T) {
	m, err := Parse("wattline1 r=1 c=900000,3600000 s=1750000000000000000,4000000,17,3,1500000,3735928559 b=3999000,40 b=4100000,42 p=4200000,4299999")
	if err != nil {
		t.Fatal(err)
	}
	want := &Metadata{
		RatingVersion: 1, SliceMs: 900_000, TimeoutMs: 3_600_000,
		Snapshot: SnapshotRef{ID: 1_750_000_000_000_000_000, Offset: 4_000_000, At: 17, Count: 3, Bytes: 1_500_000, CRC: 0xdeadbeef},
		Books:    []BookChange{{3_999_000, 40}, {4_100_000, 42}}, Plans: []Plan{{4_200_000, 4_299_999}},
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

// TestMetadataRefused: nothing but what Append writes is taken.
func TestMetadataRefused(t *testing.T) {
	f := func(text string) {
		t.Helper()
		if m, err := Parse(text); !errors.Is(err, ErrMetadata) {
			t.Errorf("%q: %+v, error %v", text, m, err)
		}
	}
	f("")
	f("wattline2") // a version of nothing
	f("wattline2 r=1")
	f("wattline2 c=1,2 r=1")
	f("wattline2 r=1 c=1")
	f("wattline2 r=1 c=1,2,3")
	f("wattline3 r=1 c=1,2")
	f("wattline2  r=1 c=1,2")
	f("wattline2 r=1 c=1,2 ")
	f(" wattline2 r=1 c=1,2")
	f("wattline2 r=01 c=1,2")
	f("wattline2 r=+1 c=1,2")
	f("wattline2 r=1 c=1,2 r=1")
	f("wattline2 r=4294967297 c=1,2")
	f("wattline2 r=1 c=1,2 x=1")
	f("wattline2 r=1 c=1,2 p")
	f("wattline2 r=1 c=1,2 p=5,4")
	f("wattline2 r=1 c=1,2 p=1,2 b=0,1") // the order is fixed
	f("wattline2 r=1 c=1,2 p=1,2 p=3,4 p=5,6")
	f("wattline2 r=1 c=1,2 b=1")
	f("wattline2 r=1 c=1,2 b=1,2,3")
	f("wattline2 r=1 c=1,2 b=9223372036854775808,1")
	f("wattline2 r=1 c=1,2 s=1,2,3,0,5,6") // a snapshot of no chunk
	f("wattline2 r=1 c=1,2 s=1,2,3,4,5,4294967296")
	f("wattline2 r=1 c=1,2 s=-1,2,3,4,5,6")
	f("wattline2 r=1 c=1,2" + strings.Repeat(" b=1,1", MaxBooks+1))
	f("wattline1 r=1 c=1,2" + strings.Repeat(" b=1,1", MaxBookChanges+2))
	f("wattline1 r=1 c=1,2 s=1,2,3,4,5,6 t=1,2,3,4,5,6") // version 1 had one snapshot
	f("wattline2 r=1 c=1,2 t=1,2,3,4,5,6")               // before what?
	f("wattline2 r=1 c=1,2 t=1,2,3,4,5,6 s=1,2,3,4,5,6")
	f("wattline2 r=1 c=1,2 s=1,2,3,4,5,6 t=1,2,3,0,5,6")
	f(strings.Repeat("wattline2 ", 100_000))
}

// TestMetadataFits: the largest numbers of everything that one commit may carry are within what a broker keeps.
func TestMetadataFits(t *testing.T) {
	const big = math.MaxInt64
	m := Metadata{
		RatingVersion: math.MaxInt32, SliceMs: -big, TimeoutMs: -big,
		Snapshot: SnapshotRef{ID: big, Offset: big, At: big, Count: math.MaxInt32, Bytes: big, CRC: math.MaxUint32},
		Before:   SnapshotRef{ID: big, Offset: big, At: big, Count: math.MaxInt32, Bytes: big, CRC: math.MaxUint32},
		Plans:    []Plan{{big - 1, big}, {big, big}},
	}
	for range MaxBooks { // the one in force at the older snapshot, and the changes since
		m.Books = append(m.Books, BookChange{big, big})
	}
	text := Append(nil, &m)
	if len(text) > Limit {
		t.Errorf("%d bytes, a broker keeps %d", len(text), Limit)
	}
	back, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&m, back); diff != "" {
		t.Error(diff)
	}
}

func TestMetadataRoundTrip(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		num := func() int64 { return rnd.Int64() >> rnd.IntN(63) }
		m := Metadata{RatingVersion: int32(num()), SliceMs: num(), TimeoutMs: num()}
		if rnd.IntN(2) == 0 {
			ref := func() SnapshotRef {
				return SnapshotRef{ID: uint64(num()), Offset: num(), At: num(), Count: 1 + rnd.Int32N(1000), Bytes: num(), CRC: rnd.Uint32()}
			}
			m.Snapshot = ref()
			if rnd.IntN(2) == 0 {
				m.Before = ref()
			}
		}
		for range rnd.IntN(MaxBooks + 1) {
			m.Books = append(m.Books, BookChange{num(), num()})
		}
		for range rnd.IntN(3) {
			first := num() >> 1
			m.Plans = append(m.Plans, Plan{first, first + num()>>1})
		}
		back, err := Parse(string(Append(nil, &m)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(&m, back); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("")
	f.Add("wattline2 r=1 c=900000,3600000")
	f.Add("wattline2 r=1 c=900000,3600000 s=1750000000000000000,4000000,17,3,1500000,3735928559 b=3999000,40 b=4100000,42 p=4200000,4299999 p=4300000,4300000")
	f.Add("wattline1 r=1 c=900000,3600000 s=1750000000000000000,4000000,17,3,1500000,3735928559 b=3999000,40 p=4300000,4300000")
	f.Add("wattline2 r=1 c=1,2 s=1,2,3,4,5,6 t=1,2,3,4,5,6 b=3,4")
	f.Add("wattline2 r=-9 c=-1,0 b=-1,-1 p=-5,-4")
	f.Add("wattline2 r=1 c=1,2 s=1,2,3,4,5 b=")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrMetadata) {
				t.Fatalf("%q: error %v is not ErrMetadata", text, err)
			}
			return
		}
		if got := string(appendMetadata(nil, m, text[:len(metadataVersion)])); got != text {
			t.Fatalf("%q is taken, but written as %q", text, got)
		}
		if len(m.Plans) > 2 || len(m.Books) > MaxBooks {
			t.Fatalf("%q: %d plans and %d books are taken", text, len(m.Plans), len(m.Books))
		}
	})
}
