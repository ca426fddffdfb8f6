package slab

import (
	"slices"

	"github.com/wattline/wattline/engine/snapshot"
)

// Image is what a shard has copied of its state, in the order in which it came to it. One goroutine fills it, and then
// one turns it into a snapshot.
type Image struct {
	Head       snapshot.State // the single values, names, places and plans
	Sessions   Pile[snapshot.Session]
	Windows    Pile[snapshot.Window]
	Held       Pile[snapshot.Held]
	Changes    Pile[snapshot.Changes]
	Starts     Pile[Waiting]
	Connectors []*[PieceSize]snapshot.Connector
	NumConns   int

	sheets  Pile[copied]
	periods Pile[snapshot.Period]
	scratch []snapshot.Period
}

// copied is a sheet, and where its periods begin.
type copied struct {
	snapshot.Sheet
	from uint32
}

// ImagePools are the pieces of images that are encoded: they serve the next ones.
type ImagePools struct {
	sessions Pool[snapshot.Session]
	windows  Pool[snapshot.Window]
	sheets   Pool[copied]
	periods  Pool[snapshot.Period]
}

// NewImage returns one that has only its head.
func NewImage(head snapshot.State, pools *ImagePools) Image {
	return Image{
		Head: head, Sessions: NewPile(&pools.sessions), Windows: NewPile(&pools.windows), sheets: NewPile(&pools.sheets), periods: NewPile(&pools.periods),
	}
}

// AddSheet copies sheet i of s and returns its number in the image, from 1.
func (img *Image) AddSheet(s *Sheets, i uint32) uint32 {
	x := img.sheets.Push()
	x.Sheet, x.from = *s.At(i), uint32(img.periods.Len())
	img.scratch = s.AppendPeriods(img.scratch[:0], i)
	for _, p := range img.scratch {
		img.periods.Add(p)
	}
	return uint32(img.sheets.Len())
}

// Parts puts the image into the order in which a state is encoded (N1): sessions and what is theirs by key, windows and
// sheets by their sessions. The image must be whole, and is not to be used otherwise afterwards.
func (img *Image) Parts() *snapshot.Parts {
	type place struct {
		key snapshot.Key
		at  uint32
	}
	order := make([]place, img.Sessions.Len())
	for i := range order {
		order[i] = place{img.Sessions.At(uint32(i)).Key, uint32(i)}
	}
	slices.SortFunc(order, func(a, b place) int { return a.key.Compare(b.key) })
	var windows, sheets []uint32
	for _, o := range order { // they are numbered anew: which were free before must not tell
		s := img.Sessions.At(o.at)
		if s.Window != 0 {
			windows = append(windows, s.Window-1)
			s.Window = uint32(len(windows))
		}
		if s.Sheet != 0 {
			sheets = append(sheets, s.Sheet-1)
			s.Sheet = uint32(len(sheets))
		}
	}
	p := &snapshot.Parts{
		State:       img.Head,
		NumSessions: len(order), Session: func(i int) *snapshot.Session { return img.Sessions.At(order[i].at) },
		NumWindows: len(windows), Window: func(i int) *snapshot.Window { return img.Windows.At(windows[i]) },
		NumSheets: len(sheets), Sheet: func(i int) *snapshot.Sheet { return &img.sheets.At(sheets[i]).Sheet },
		NumPeriods: img.periods.Len(), Period: img.periodsOf(sheets),
		NumConnectors: img.NumConns, Connector: func(i int) *snapshot.Connector { return &img.Connectors[i>>PieceBits][i&(PieceSize-1)] },
	}
	img.lists(&p.State)
	return p
}

// periodsOf gives the periods of the sheets one after the other.
func (img *Image) periodsOf(sheets []uint32) func(int) *snapshot.Period {
	sheet, of := 0, uint32(0)
	return func(int) *snapshot.Period {
		for of == img.sheets.At(sheets[sheet]).Periods {
			sheet, of = sheet+1, 0
		}
		of++
		return img.periods.At(img.sheets.At(sheets[sheet]).from + of - 1)
	}
}

// lists puts what is rare into st, in order.
func (img *Image) lists(st *snapshot.State) {
	waiting := make([]*Waiting, img.Starts.Len())
	for i := range waiting {
		waiting[i] = img.Starts.At(uint32(i))
	}
	slices.SortFunc(waiting, func(a, b *Waiting) int { return a.Key.Compare(b.Key) })
	for _, x := range waiting {
		st.Starts = append(st.Starts, x.Start)
	}
	for i := range uint32(img.Held.Len()) {
		st.Held = append(st.Held, *img.Held.At(i))
	}
	slices.SortFunc(st.Held, func(a, b snapshot.Held) int { return a.Key.Compare(b.Key) })
	for i := range uint32(img.Changes.Len()) {
		st.Changes = append(st.Changes, *img.Changes.At(i))
	}
	slices.SortFunc(st.Changes, func(a, b snapshot.Changes) int { return a.Key.Compare(b.Key) })
}

// Free gives the image's memory back.
func (img *Image) Free() {
	img.Sessions.Free()
	img.Windows.Free()
	img.sheets.Free()
	img.periods.Free()
}
