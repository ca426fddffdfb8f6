package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/wattline/wattline/rating"
)

// Version is the format that Append writes.
const Version = 2

// versionBefore is the one that Decode takes, too: without drivers, tiers, sheets and periods.
const versionBefore = 1

// ErrCorrupt marks bytes that no Append made.
var ErrCorrupt = errors.New("snapshot is corrupt")

// castagnoli is the checksum's table: the same polynomial as Kafka's record batches.
func castagnoli(b []byte) uint32 { return crc32.Checksum(b, castagnoliTable()) }

func castagnoliTable() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Checksum is the CRC-32C of b, as the commit's metadata names it.
func Checksum(b []byte) uint32 { return castagnoli(b) }

// Append appends the bytes of st to dst: a version byte, the sections of State in their order, a CRC-32C. The
// caller has sorted what N1 says is sorted.
func Append(dst []byte, st *State) []byte {
	w := writer{b: slices.Grow(dst, sizeHint(st)), from: len(dst)}
	w.parts(st.parts())
	w.u32(w.checksum())
	return w.b
}

// Write writes to out what Append would append, in pieces of some 64 KiB, and returns how many bytes those were and
// the Checksum of them all. out may keep no piece.
func Write(out io.Writer, p *Parts) (size int64, sum uint32, err error) {
	w := writer{b: make([]byte, 0, pieceSize+pieceSize/4), out: out}
	w.parts(p)
	w.u32(w.checksum())
	sum = w.checksum()
	w.flush()
	return w.written, sum, w.err
}

// pieceSize is about how much Write hands over at once.
const pieceSize = 64 << 10

// parts are the lists of st as they are.
func (st *State) parts() *Parts {
	return &Parts{
		State:       *st,
		NumSessions: len(st.Sessions), Session: func(i int) *Session { return &st.Sessions[i] },
		NumWindows: len(st.Windows), Window: func(i int) *Window { return &st.Windows[i] },
		NumSheets: len(st.Sheets), Sheet: func(i int) *Sheet { return &st.Sheets[i] },
		NumPeriods: len(st.Periods), Period: func(i int) *Period { return &st.Periods[i] },
		NumConnectors: len(st.Connectors), Connector: func(i int) *Connector { return &st.Connectors[i] },
	}
}

func (w *writer) parts(p *Parts) {
	st := &p.State
	w.u8(Version)
	w.str(st.Topic)
	w.i64(int64(st.Partition))
	w.i64(st.NextOffset)
	w.i64(st.WatermarkMs)
	w.i64(st.TickMinute)
	w.i64(st.BookOffset)
	w.i64(int64(st.RatingVersion))
	each(w, len(st.Names), func(i int) { w.str(st.Names[i]) })
	each(w, len(st.Places), func(i int) {
		w.i64(st.Places[i].Offset)
		w.str(st.Places[i].UID)
		w.str(st.Places[i].Connector)
	})
	each(w, len(st.Plans), func(i int) { w.plan(&st.Plans[i]) })
	each(w, len(st.Tiers), func(i int) { w.str(st.Tiers[i]) })
	each(w, p.NumSessions, func(i int) { w.session(p.Session(i)) })
	each(w, p.NumWindows, func(i int) { w.window(p.Window(i)) })
	each(w, p.NumSheets, func(i int) { w.sheet(p.Sheet(i)) })
	each(w, p.NumPeriods, func(i int) { w.period(p.Period(i)) })
	each(w, p.NumConnectors, func(i int) { w.connector(p.Connector(i)) })
	each(w, len(st.Starts), func(i int) { w.start(&st.Starts[i]) })
	each(w, len(st.Held), func(i int) { w.held(&st.Held[i]) })
	each(w, len(st.Changes), func(i int) {
		w.key(st.Changes[i].Key)
		w.changes(st.Changes[i].List)
	})
}

// each writes a list: its length and its elements.
func each(w *writer, n int, one func(i int)) {
	w.len(n)
	for i := range n {
		one(i)
		if w.out != nil && len(w.b) >= pieceSize {
			w.flush()
		}
	}
}

// flush hands what there is to out.
func (w *writer) flush() {
	w.sum = w.checksum()
	w.written += int64(len(w.b) - w.from)
	if w.err == nil {
		_, w.err = w.out.Write(w.b)
	}
	w.b, w.from = w.b[:0], 0
}

// checksum is that of all bytes so far.
func (w *writer) checksum() uint32 { return crc32.Update(w.sum, castagnoliTable(), w.b[w.from:]) }

// sizeHint is about how many bytes st takes, rather more than less: a buffer that grows by appending is copied, and
// left to the garbage collector, several times over.
func sizeHint(st *State) int {
	const ids, window, start, held = 64, 65 * 4, minStart + 64, 64
	n := 256 + len(st.Names)*4 + len(st.Places)*ids + len(st.Plans)*2*ids + len(st.Windows)*window +
		len(st.Connectors)*minConnector + len(st.Starts)*start + len(st.Sessions)*(minSession+rating.StateBytes+32) +
		len(st.Sheets)*(minSheet+16) + len(st.Periods)*minPeriod
	for _, s := range st.Names {
		n += len(s)
	}
	for i := range st.Held {
		n += held + 33*len(st.Held[i].Points) + 9*len(st.Held[i].Changes)
	}
	return n
}

// Decode reads what Append wrote. The State shares nothing with src.
func Decode(src []byte) (*State, error) {
	if len(src) < 5 {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(src))
	}
	body, sum := src[:len(src)-4], binary.LittleEndian.Uint32(src[len(src)-4:])
	if got := castagnoli(body); got != sum {
		return nil, fmt.Errorf("%w: checksum %08x, want %08x", ErrCorrupt, got, sum)
	}
	if body[0] != Version && body[0] != versionBefore {
		return nil, fmt.Errorf("snapshot has format version %d, this program reads %d and %d: use the release that wrote it", body[0], versionBefore, Version)
	}
	r := reader{b: body[1:], version: body[0]}
	st := r.state()
	if r.err != nil {
		return nil, r.err
	}
	if len(r.b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes after the end", ErrCorrupt, len(r.b))
	}
	return st, nil
}

func (r *reader) state() *State {
	st := &State{Topic: r.str(), Partition: r.i32()}
	st.NextOffset, st.WatermarkMs, st.TickMinute = r.i64(), r.i64(), r.i64()
	st.BookOffset, st.RatingVersion = r.i64(), r.i32()
	st.Names = list(r, 4, r.str)
	st.Places = list(r, 16, func() Place { return Place{r.i64(), r.str(), r.str()} })
	st.Plans = list(r, 24, r.plan)
	if r.version != versionBefore {
		st.Tiers = list(r, 4, r.str)
	}
	st.Sessions = r.sessions()
	st.Windows = list(r, 260, r.window)
	if r.version == versionBefore {
		st.partial()
	} else {
		r.sheets(st)
	}
	st.Connectors = list(r, minConnector, r.connector)
	st.Starts = list(r, minStart, r.start)
	st.Held = list(r, 30, r.held)
	st.Changes = list(r, 20, func() Changes { return Changes{r.key(), r.changes()} })
	return st
}

// list reads a counted list; min is the least size of an element, which bounds the allocation by the input (N2).
func list[T any](r *reader, min int, one func() T) []T {
	n := r.len(min)
	if n == 0 || r.err != nil {
		return nil
	}
	out := make([]T, 0, n)
	for range n {
		out = append(out, one())
		if r.err != nil {
			return nil
		}
	}
	return out
}

// sessions reads them where they stay: most of a snapshot is they.
func (r *reader) sessions() []Session {
	least := minSession
	if r.version == versionBefore {
		least -= 4
	}
	n := r.len(least)
	if n == 0 || r.err != nil {
		return nil
	}
	out := make([]Session, n)
	for i := range out {
		if r.session(&out[i]); r.err != nil {
			return nil
		}
	}
	return out
}

// writer appends to b. With an out it hands b over whenever that is large.
type writer struct {
	b    []byte
	from int    // where this state begins in b
	sum  uint32 // checksum of what was handed over

	out     io.Writer
	written int64
	err     error // of out
}

func (w *writer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) i64(v int64)  { w.b = binary.LittleEndian.AppendUint64(w.b, uint64(v)) }
func (w *writer) len(n int)    { w.u32(uint32(n)) }
func (w *writer) str(s string) { w.len(len(s)); w.b = append(w.b, s...) }
func (w *writer) key(k Key)    { w.i64(int64(k[0])); w.i64(int64(k[1])) }
func (w *writer) bool(v bool) {
	if v {
		w.u8(1)
		return
	}
	w.u8(0)
}

// reader takes values from b; the first fault stays in err and everything after it is zero.
type reader struct {
	b       []byte
	version uint8
	err     error
	texts   strings.Builder // of what was read last, many in one piece
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		if r.err == nil {
			r.err = fmt.Errorf("%w: wants %d bytes, has %d", ErrCorrupt, n, len(r.b))
		}
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool {
	v := r.u8()
	if v > 1 {
		r.fail("%d is no bool", v)
	}
	return v == 1
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) i64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// i32 reads an int32 that was written as an int64.
func (r *reader) i32() int32 {
	v := r.i64()
	if int64(int32(v)) != v {
		r.fail("%d is out of range", v)
	}
	return int32(v)
}

func (r *reader) len(min int) int {
	n := int(r.u32())
	if r.err == nil && n > len(r.b)/min {
		r.err = fmt.Errorf("%w: a list of %d does not fit in %d bytes", ErrCorrupt, n, len(r.b))
		return 0
	}
	return n
}

// textPiece is how many bytes of texts are kept together, at most: names of charge points live as long as the shard, but
// a reason of a session that is held should not keep much else.
const textPiece = 16 << 10

// str reads a text. An allocation for each of a million names is what a recovery would wait for.
func (r *reader) str() string {
	b := r.take(r.len(1))
	if r.texts.Cap()-r.texts.Len() < len(b) {
		r.texts = strings.Builder{}
		r.texts.Grow(min(max(textPiece, len(b)), len(b)+len(r.b)))
	}
	from := r.texts.Len()
	r.texts.Write(b) // never moves what is there already
	return r.texts.String()[from:]
}

func (r *reader) key() Key { return Key{uint64(r.i64()), uint64(r.i64())} }

// rate reads a pricing state into s.
func (r *reader) rate(s *rating.State) {
	if r.err != nil {
		return
	}
	rest, err := rating.DecodeState(r.b, s)
	if err != nil {
		r.err = fmt.Errorf("%w: pricing state: %w", ErrCorrupt, err)
		return
	}
	r.b = rest
}
