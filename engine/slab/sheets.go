package slab

import "github.com/wattline/wattline/engine/snapshot"

// Bounds of the charging periods that are kept. A session that has more of them is left with none, and with a flag that
// says so: its costs are whole all the same.
const (
	// MaxPeriods is how many a session has: what a CDR of 1,000 periods takes fits in a message of Kafka's usual size.
	MaxPeriods = 1000
	// MaxShardPeriods is how many the sessions of a shard have together: 64 MiB of them.
	MaxShardPeriods = 4 << 20
)

// Sheets are those of the sessions that have rows. A session has few periods, most have one or two: those lie in the
// sheet, the others in pieces that are chained.
type Sheets struct {
	list    Pile[sheet]
	free    []uint32
	more    Pile[morePeriods] // the first is unused
	spare   []uint32
	periods int // of all sheets
	most    int // tests make it smaller
}

const (
	periodsInline = 2
	periodsMore   = 6
)

type sheet struct {
	snapshot.Sheet
	inline      [periodsInline]snapshot.Period
	first, last uint32 // of the chain; 0: none
}

type morePeriods struct {
	list [periodsMore]snapshot.Period
	next uint32
}

// NewSheets returns one that has none.
func NewSheets() Sheets {
	s := Sheets{most: MaxShardPeriods}
	s.more.Add(morePeriods{})
	return s
}

// Take returns an empty sheet.
func (s *Sheets) Take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		*s.list.At(i) = sheet{}
		return i
	}
	s.list.Add(sheet{})
	return uint32(s.list.Len() - 1)
}

// Free gives sheet i back.
func (s *Sheets) Free(i uint32) {
	s.Clear(i)
	s.free = append(s.free, i)
}

// At returns sheet i. Periods of it is for reading.
func (s *Sheets) At(i uint32) *snapshot.Sheet { return &s.list.At(i).Sheet }

// Clear takes the periods of sheet i away.
func (s *Sheets) Clear(i uint32) {
	x := s.list.At(i)
	for c := x.first; c != 0; {
		s.spare = append(s.spare, c)
		c = s.more.At(c).next
	}
	s.periods -= int(x.Periods)
	x.Periods, x.first, x.last = 0, 0, 0
}

// Push appends a period to sheet i and returns it, valid until the next call. nil: it has no room, the sheet has lost
// all its periods and says so.
func (s *Sheets) Push(i uint32, p snapshot.Period) *snapshot.Period {
	x := s.list.At(i)
	if x.Flags&(snapshot.SheetTrimmed|snapshot.SheetPartial) != 0 {
		return nil
	}
	if x.Periods >= MaxPeriods || s.periods >= s.most {
		s.Clear(i)
		x.Flags |= snapshot.SheetTrimmed
		return nil
	}
	s.periods++
	x.Periods++
	if x.Periods > periodsInline && (x.Periods-1-periodsInline)%periodsMore == 0 {
		c := s.takeMore()
		if x.last == 0 {
			x.first = c
		} else {
			s.more.At(x.last).next = c
		}
		x.last = c
	}
	at := s.Newest(i)
	*at = p
	return at
}

func (s *Sheets) takeMore() uint32 {
	if n := len(s.spare); n > 0 {
		c := s.spare[n-1]
		s.spare = s.spare[:n-1]
		*s.more.At(c) = morePeriods{}
		return c
	}
	s.more.Add(morePeriods{})
	return uint32(s.more.Len() - 1)
}

// Newest returns the last period of sheet i, nil when it has none.
func (s *Sheets) Newest(i uint32) *snapshot.Period {
	x := s.list.At(i)
	switch n := x.Periods; {
	case n == 0:
		return nil
	case n <= periodsInline:
		return &x.inline[n-1]
	default:
		return &s.more.At(x.last).list[(n-1-periodsInline)%periodsMore]
	}
}

// AppendPeriods appends the periods of sheet i to dst.
func (s *Sheets) AppendPeriods(dst []snapshot.Period, i uint32) []snapshot.Period {
	x := s.list.At(i)
	n := int(x.Periods)
	dst = append(dst, x.inline[:min(n, periodsInline)]...)
	n -= periodsInline
	for c := x.first; n > 0; n -= periodsMore {
		m := s.more.At(c)
		dst = append(dst, m.list[:min(n, periodsMore)]...)
		c = m.next
	}
	return dst
}

// Fill takes over the sheets of a snapshot, and their periods.
func (s *Sheets) Fill(sheets []snapshot.Sheet, periods []snapshot.Period) {
	for k := range sheets {
		i := s.Take()
		x := s.list.At(i)
		x.Last, x.Costs = sheets[k].Last, sheets[k].Costs
		for _, p := range periods[:sheets[k].Periods] {
			s.Push(i, p)
		}
		periods = periods[sheets[k].Periods:]
		x.Flags |= sheets[k].Flags
	}
}
