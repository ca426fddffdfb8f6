package engine

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/rating"
)

// Block is everything that the readings of one offset range of one partition cause: rows, messages, and where
// the state stood. A shard fills one while the ones before it are made durable; then it is reset and filled
// again, with its capacity.
type Block struct {
	Row      BlockRow
	Charges  []ChargeRows  // one a month; in order of month once closed
	Sessions []SessionRows // the same
	Rejects  []Message
	Box      outbox.Box // sessions that became final

	// image is that of the state at the block's end, nil if none was due.
	image *image
	// books are the book changes that this block's plan has to carry.
	bookChange *BookChange

	told [outbox.NumKinds]int64 // of Box, once they are produced

	rows  int
	text  []byte // transaction ids of Sessions point into it
	bytes []byte // scratch of the checksum
	month monthCache
	hash  *xxhash.Digest
}

// monthCache turns a time into yyyymm without the calendar for all but the first row of a month.
type monthCache struct {
	fromMs, toMs int64
	month        int32
}

func (c *monthCache) of(ms int64) int32 {
	if ms >= c.fromMs && ms < c.toMs {
		return c.month
	}
	t := time.UnixMilli(ms).UTC()
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	c.fromMs, c.toMs = first.UnixMilli(), first.AddDate(0, 1, 0).UnixMilli()
	c.month = int32(t.Year()*100 + int(t.Month()))
	return c.month
}

func newBlock() *Block { return &Block{hash: xxhash.New()} }

// blockPool holds Blocks between their uses, for all partitions of an engine. The one that came back last is used next:
// its columns are as large as blocks of late, and still in a cache. So there are as many as are really in flight, and
// fresh memory, the dearest there is, is touched only when more are.
type blockPool struct {
	mu   sync.Mutex
	free []*Block
}

func (p *blockPool) get() *Block {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return newBlock()
	}
	b := p.free[n-1]
	p.free = p.free[:n-1]
	return b
}

// put takes a Block that nobody uses any longer. What was in it is gone.
func (p *blockPool) put(b *Block) {
	b.reset(Partition{}, 0, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
}

// reset empties b and begins the range at first.
func (b *Block) reset(p Partition, first, book int64) {
	b.Row = BlockRow{Partition: p, First: first, Last: first - 1, BookOffset: book, RatingVersion: rating.RatingVersion}
	for i := range b.Charges {
		b.Charges[i].reset()
	}
	for i := range b.Sessions {
		b.Sessions[i].reset()
	}
	clear(b.Rejects)
	b.Rejects = b.Rejects[:0]
	b.Box.Reset()
	b.told = [outbox.NumKinds]int64{}
	b.image, b.bookChange = nil, nil
	b.rows, b.text = 0, b.text[:0]
}

func (b *Block) charges(month int32) *ChargeRows {
	for i := range b.Charges {
		if b.Charges[i].Month == month {
			return &b.Charges[i]
		}
	}
	for i := range b.Charges { // a month that this block no longer needs
		if len(b.Charges[i].Position) == 0 {
			b.Charges[i].Month = month
			return &b.Charges[i]
		}
	}
	b.Charges = append(b.Charges, ChargeRows{Month: month})
	return &b.Charges[len(b.Charges)-1]
}

func (b *Block) sessions(month int32) *SessionRows {
	for i := range b.Sessions {
		if b.Sessions[i].Month == month {
			return &b.Sessions[i]
		}
	}
	for i := range b.Sessions {
		if len(b.Sessions[i].Version) == 0 {
			b.Sessions[i].Month = month
			return &b.Sessions[i]
		}
	}
	b.Sessions = append(b.Sessions, SessionRows{Month: month})
	return &b.Sessions[len(b.Sessions)-1]
}

// keep copies a transaction id into the block's own memory. If the memory grows, strings made before keep the
// old piece alive.
func (b *Block) keep(tx []byte) string {
	if len(tx) == 0 {
		return ""
	}
	n := len(b.text)
	b.text = append(b.text, tx...)
	return unsafe.String(&b.text[n], len(tx))
}

// rowsMin is the capacity that the columns of a Block begin with.
const rowsMin = 256

func (r *ChargeRows) reset() { r.setLen(0) }

// grow appends a row, whose values are whatever was there before, and returns its number. The columns have one
// capacity, so this looks at one.
func (r *ChargeRows) grow() int {
	n := len(r.Position)
	if n == cap(r.Position) {
		r.reserve(max(rowsMin, 2*n))
	}
	r.setLen(n + 1)
	return n
}

func (r *ChargeRows) reserve(n int) {
	r.Position, r.Line, r.SessionID = widen(r.Position, n), widen(r.Line, n), widen(r.SessionID, n)
	r.ChargePoint, r.Connector, r.Location = widen(r.ChargePoint, n), widen(r.Connector, n), widen(r.Location, n)
	r.Tariff, r.Currency, r.Tier, r.Charge = widen(r.Tariff, n), widen(r.Currency, n), widen(r.Tier, n), widen(r.Charge, n)
}

func (r *ChargeRows) setLen(n int) {
	r.Position, r.Line, r.SessionID = r.Position[:n], r.Line[:n], r.SessionID[:n]
	r.ChargePoint, r.Connector, r.Location = r.ChargePoint[:n], r.Connector[:n], r.Location[:n]
	r.Tariff, r.Currency, r.Tier, r.Charge = r.Tariff[:n], r.Currency[:n], r.Tier[:n], r.Charge[:n]
}

// widen returns s with capacity n, exactly: append would round each column's up to another one.
func widen[T any](s []T, n int) []T {
	wide := make([]T, len(s), n)
	copy(wide, s)
	return wide
}

func (r *SessionRows) reset() { r.setLen(0) }

// grow appends a row, whose values are whatever was there before, and returns its number.
func (r *SessionRows) grow() int {
	n := len(r.Version)
	if n == cap(r.Version) {
		r.reserve(max(rowsMin, 2*n))
	}
	r.setLen(n + 1)
	return n
}

func (r *SessionRows) reserve(n int) {
	r.Version, r.SessionID, r.ChargePoint = widen(r.Version, n), widen(r.SessionID, n), widen(r.ChargePoint, n)
	r.Connector, r.Transaction, r.Location = widen(r.Connector, n), widen(r.Transaction, n), widen(r.Location, n)
	r.Tariff, r.TariffFrom, r.Currency, r.Zone = widen(r.Tariff, n), widen(r.TariffFrom, n), widen(r.Currency, n), widen(r.Zone, n)
	r.Pseudonym, r.TokenKey = widen(r.Pseudonym, n), widen(r.TokenKey, n)
	r.Contract, r.Tier = widen(r.Contract, n), widen(r.Tier, n)
	r.Status, r.StartMs, r.LastMs = widen(r.Status, n), widen(r.StartMs, n), widen(r.LastMs, n)
	r.StartMwh, r.LastMwh, r.Total = widen(r.StartMwh, n), widen(r.LastMwh, n), widen(r.Total, n)
	r.AccruedExcl, r.AccruedIncl, r.Flags = widen(r.AccruedExcl, n), widen(r.AccruedIncl, n), widen(r.Flags, n)
	r.Readings, r.HeldReason, r.FirstOffset = widen(r.Readings, n), widen(r.HeldReason, n), widen(r.FirstOffset, n)
}

func (r *SessionRows) setLen(n int) {
	r.Version, r.SessionID, r.ChargePoint = r.Version[:n], r.SessionID[:n], r.ChargePoint[:n]
	r.Connector, r.Transaction, r.Location = r.Connector[:n], r.Transaction[:n], r.Location[:n]
	r.Tariff, r.TariffFrom, r.Currency, r.Zone = r.Tariff[:n], r.TariffFrom[:n], r.Currency[:n], r.Zone[:n]
	r.Pseudonym, r.TokenKey = r.Pseudonym[:n], r.TokenKey[:n]
	r.Contract, r.Tier = r.Contract[:n], r.Tier[:n]
	r.Status, r.StartMs, r.LastMs = r.Status[:n], r.StartMs[:n], r.LastMs[:n]
	r.StartMwh, r.LastMwh, r.Total = r.StartMwh[:n], r.LastMwh[:n], r.Total[:n]
	r.AccruedExcl, r.AccruedIncl, r.Flags = r.AccruedExcl[:n], r.AccruedIncl[:n], r.Flags[:n]
	r.Readings, r.HeldReason, r.FirstOffset = r.Readings[:n], r.HeldReason[:n], r.FirstOffset[:n]
}

// Sums adds the rows up: what a read-back of them must say.
func (r *ChargeRows) Sums() Sums {
	s := Sums{Rows: int64(len(r.Position))}
	for i := range r.Charge {
		c := &r.Charge[i]
		s.EnergyMwh += c.EnergyMwh
		s.DurationMs += c.DurationMs
		if !c.ExclUnknown {
			s.ExclMicros += c.ExclMicros
		}
		s.InclMicros += c.InclMicros
		s.Versions += r.Position[i]
	}
	return s
}

// Sums adds the rows up: what a read-back of them must say.
func (r *SessionRows) Sums() Sums {
	s := Sums{Rows: int64(len(r.Version))}
	for i := range r.Total {
		t := &r.Total[i]
		s.EnergyMwh += t.EnergyMwh
		s.DurationMs += t.ChargingMs + t.ParkingMs + t.ReservationMs
		if !t.ExclUnknown {
			s.ExclMicros += t.ExclMicros
		}
		s.InclMicros += t.InclMicros
		s.Versions += r.Version[i]
	}
	return s
}

func (s *Sums) add(o Sums) {
	s.Rows += o.Rows
	s.EnergyMwh += o.EnergyMwh
	s.DurationMs += o.DurationMs
	s.ExclMicros += o.ExclMicros
	s.InclMicros += o.InclMicros
	s.Versions += o.Versions
}

// close ends the range at last and fills in the block's row.
func (b *Block) close(last, watermarkMs int64, engineID string) {
	b.Row.Last, b.Row.WatermarkMs, b.Row.EngineID = last, watermarkMs, engineID
	b.Row.Rejects = int64(len(b.Rejects))
	// In order of month: what the Block was used for before must not tell (I1).
	slices.SortFunc(b.Charges, func(x, y ChargeRows) int { return cmp.Compare(x.Month, y.Month) })
	slices.SortFunc(b.Sessions, func(x, y SessionRows) int { return cmp.Compare(x.Month, y.Month) })
	b.hash.Reset()
	for i := range b.Charges {
		b.Row.Charges.add(b.Charges[i].Sums())
		b.hashCharges(&b.Charges[i])
	}
	for i := range b.Sessions {
		b.Row.Sessions.add(b.Sessions[i].Sums())
		b.hashSessions(&b.Sessions[i])
	}
	b.Row.Checksum = b.hash.Sum64()
}

// hashCharges feeds the rows into the checksum, field by field in the order of docs/formats/block.md.
func (b *Block) hashCharges(r *ChargeRows) {
	le := binary.LittleEndian
	for i := range r.Position {
		c := &r.Charge[i]
		d := b.bytes[:0]
		for _, v := range [...]int64{
			int64(r.Month), r.Position[i], int64(r.Line[i]), c.PeriodStartMs, c.FromMs, c.ToMs, c.EnergyMwh, c.DurationMs,
			c.ExclMicros, c.InclMicros, c.PriceNano, int64(c.Period), int64(c.VAT), int64(c.Element), int64(c.Component),
			int64(c.Dimension), int64(c.Kind), int64(c.Split), bit(c.Interpolated), bit(c.ExclUnknown), int64(r.Connector[i]),
		} {
			d = le.AppendUint64(d, uint64(v))
		}
		d = append(d, r.SessionID[i][:]...)
		for _, s := range [...]string{r.ChargePoint[i], r.Location[i], r.Tariff[i], r.Currency[i]} {
			d = append(append(d, s...), 0)
		}
		if r.Tier[i] != "" { // a row without has the sum that releases before tiers made
			d = append(append(d, r.Tier[i]...), 0)
		}
		b.bytes = d
		_, _ = b.hash.Write(d) // a Digest's Write never fails
	}
}

func (b *Block) hashSessions(r *SessionRows) {
	le := binary.LittleEndian
	for i := range r.Version {
		t := &r.Total[i]
		d := b.bytes[:0]
		for _, v := range [...]int64{
			int64(r.Month), r.Version[i], int64(r.Connector[i]), r.TariffFrom[i], int64(r.Status[i]), r.StartMs[i], r.LastMs[i],
			r.StartMwh[i], r.LastMwh[i], t.ExclMicros, t.InclMicros, bit(t.ExclUnknown), t.EnergyMwh, t.ChargingMs, t.ParkingMs,
			t.ReservationMs, r.AccruedExcl[i], r.AccruedIncl[i], int64(r.Flags[i]), int64(r.Readings[i]), r.FirstOffset[i],
		} {
			d = le.AppendUint64(d, uint64(v))
		}
		d = append(d, r.SessionID[i][:]...)
		for _, s := range [...]string{
			r.ChargePoint[i], r.Transaction[i], r.Location[i], r.Tariff[i], r.Currency[i], r.Zone[i], r.HeldReason[i],
		} {
			d = append(append(d, s...), 0)
		}
		if r.TokenKey[i] != 0 {
			d = append(le.AppendUint64(d, uint64(r.TokenKey[i])), r.Pseudonym[i][:]...)
			d = append(append(append(append(d, r.Contract[i]...), 0), r.Tier[i]...), 0)
		}
		b.bytes = d
		_, _ = b.hash.Write(d)
	}
}

func bit(v bool) int64 {
	if v {
		return 1
	}
	return 0
}
