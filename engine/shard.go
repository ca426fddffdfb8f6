package engine

import (
	"fmt"
	"slices"

	"github.com/wattline/wattline/engine/book"
	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/engine/stats"
	"github.com/wattline/wattline/internal/redact"
	"github.com/wattline/wattline/rating"
)

// Decode turns the value of one Kafka record into readings, appended to dst. The readings' slices point into
// key and value. It is stateless, and safe for concurrent use.
type Decode func(key, value []byte, dst []rating.Reading) ([]rating.Reading, error)

// Decoders picks the decoder of a record: by its content-type header if it has one, else by its topic. nil: the
// content type is unknown.
type Decoders func(topic string, contentType []byte) Decode

// Tracer is told every cleaned reading of every session, for package engine/verify. nil in production.
type Tracer interface {
	// Point is called for each cleaned reading with the state changes before it.
	Point(s *snapshot.Session, pt rating.Point, changes []rating.Change)
	// Expired is called when a reservation turns out expired.
	Expired(s *snapshot.Session, atMs int64)
	// Ended is called when a session ended, provisionally or not.
	Ended(s *snapshot.Session, chargePoint string, plan snapshot.Plan)
}

// positionBits is the room for the index in a message: a source position is offset<<positionBits + index.
const positionBits = 16

// MaxReadings is how many readings a message may have. The index after the last one is free: it is the position
// of what happens between two messages (a time-out by the watermark, a new book).
const MaxReadings = 1<<positionBits - 1

// between is the position after the last reading of the message before offset.
func between(offset int64) int64 { return (offset-1)<<positionBits | MaxReadings }

// chunk is how many readings are looked up together: their cache misses overlap (EMBEDDED-FACTS 7).
const chunk = 64

const noSlot = slab.NoSlot

// shard rates the readings of one partition. It is touched by one goroutine, asks no clock and no network, and
// is a function of the readings and of the books (I1). Everything it makes goes into block.
type shard struct {
	partition Partition
	cfg       *Config
	decoders  Decoders
	ref       *Reference
	tracer    Tracer
	maxGapMs  int64
	source    uint64      // of session ids: which partition of which topic
	parts     Partitioner // of the topic
	mute      bool        // replaying what is in the ledger already: nothing is written

	block *Block

	// The state, as it goes into a snapshot.
	sessions    *slab.Table
	hash        identity.Hasher
	nextOffset  int64
	watermarkMs int64
	tickMinute  int64
	bookOffset  int64
	names       slab.Names
	places      slab.Interned[snapshot.Place, book.Place]
	plans       slab.Interned[snapshot.Plan, planInfo]
	tiers       slab.Interned[string, struct{}]
	windows     slab.Windows
	sheets      slab.Sheets
	connectors  slab.Connectors
	offers      []offer    // by connector, a cache: not in snapshots
	keysOf      int64      // the book that tokenIDs is of, a cache
	tokenIDs    []uint32   // ids of the book's keys of pseudonyms
	priced      book.Price // what price found last
	teller      *outbox.Teller
	starts      slab.Starts
	held        map[snapshot.Key]*snapshot.Held
	heldBytes   int
	changes     map[snapshot.Key][]rating.Change

	wheel map[int64][]snapshot.Key // minute of the watermark -> sessions that may be due

	image *image // being made; nil: none
	mark  uint8  // of the sessions that image has, or must not have

	// Of the record and reading at hand.
	recordMs int64
	position int64
	offset   int64

	readings []rating.Reading
	from     []uint32 // readings[i] is of records[from[i]]
	keys     [chunk]snapshot.Key
	hints    [chunk]uint32
	out      []rating.Charge
	due      []snapshot.Key
	records  [chunk]Record
	parked   []Record // read from the batch at hand, but beyond the block's last offset

	stats *stats.Shard
}

// offer is the plan and place that the sessions of a connector get while the book is book.
type offer struct {
	book        int64
	plan, place uint32
}

type planInfo struct {
	plan     *rating.Plan
	tariff   string
	currency string
}

func newShard(p Partition, cfg *Config, decoders Decoders, ref *Reference, key HashKey) *shard {
	return &shard{
		partition: p, cfg: cfg, decoders: decoders, ref: ref,
		sessions: slab.NewTable(), hash: identity.NewHasher(key), maxGapMs: cfg.MaxGapMs(),
		source: identity.SourceOf(p.String()), parts: cfg.Partitioners[p.Topic],
		watermarkMs: rating.Unknown, tickMinute: rating.Unknown,
		names: slab.NewNames(), places: slab.NewInterned[snapshot.Place, book.Place](), plans: slab.NewInterned[snapshot.Plan, planInfo](),
		tiers: slab.NewInterned[string, struct{}](), keysOf: -1,
		sheets: slab.NewSheets(), teller: outbox.NewTeller(nil), connectors: slab.NewConnectors(), starts: slab.NewStarts(), held: map[snapshot.Key]*snapshot.Held{},
		changes: map[snapshot.Key][]rating.Change{}, wheel: map[int64][]snapshot.Key{},
		out: make([]rating.Charge, 0, 64), stats: &stats.Shard{},
	}
}

// rate works a batch off up to and including offset last, into the block, and returns whether the batch is used
// up. When last is reached, or without a last the block is full, it returns early: the caller closes the block
// and calls again with the same batch.
func (s *shard) rate(b Batch, last int64) (done bool, err error) {
	for s.nextOffset <= last && (last != unlimited || !s.full()) {
		records := s.parked
		if len(records) == 0 {
			n, err := b.Read(s.records[:])
			if err != nil {
				return false, fmt.Errorf("read batch of %s at offset %d: %w", s.partition, s.nextOffset, err)
			}
			if n == 0 {
				to := b.NextOffset()
				if last != unlimited {
					to = min(to, last+1)
				}
				s.nextOffset = max(s.nextOffset, to)
				return s.nextOffset >= b.NextOffset(), nil
			}
			records = s.records[:n]
		}
		i := 0
		for i < len(records) && records[i].Offset <= last {
			i++
		}
		s.rateRecords(records[:i])
		s.parked = records[i:]
		if i < len(records) {
			s.nextOffset = last + 1
		}
	}
	return false, nil
}

// full says that the block must be closed before more is rated.
//
// A block without an offset never is (I7), however many rows a new book made of held sessions.
func (s *shard) full() bool {
	n := s.nextOffset - s.block.Row.First
	return n > 0 && (s.block.rows >= s.cfg.BlockRows || n >= s.cfg.BlockOffsets)
}

// rateRecords decodes and rates records in order.
func (s *shard) rateRecords(records []Record) {
	if len(records) == 0 {
		return
	}
	s.readings, s.from = s.readings[:0], s.from[:0]
	for i := range records {
		rec := &records[i]
		if s.tickDue(rec.TimestampMs) {
			s.flush(records)
			s.tick(rec)
		}
		n := len(s.readings)
		s.decode(rec)
		for range len(s.readings) - n {
			s.from = append(s.from, uint32(i))
		}
		if len(s.readings) >= chunk {
			s.flush(records)
		}
	}
	s.flush(records)
	s.nextOffset = records[len(records)-1].Offset + 1
	s.stats.Records.Add(int64(len(records)))
}

// decode appends the readings of rec to s.readings; what can not be decoded becomes a reject and delays nothing.
func (s *shard) decode(rec *Record) {
	dec := s.decoders(s.partition.Topic, rec.ContentType)
	if dec == nil {
		s.refuse(rec, 0, fmt.Sprintf("content-type %.100q is unknown", rec.ContentType), true)
		return
	}
	n := len(s.readings)
	out, err := dec(rec.Key, rec.Value, s.readings)
	if err != nil {
		s.readings = s.readings[:n]
		s.refuse(rec, 0, err.Error(), true)
		return
	}
	if len(out)-n > MaxReadings {
		s.readings = out[:n]
		s.reject(rec, 0, fmt.Sprintf("%d readings in a message, at most %d", len(out)-n, MaxReadings))
		return
	}
	s.readings = out
}

// flush rates the decoded readings in windows of chunk and forgets them.
func (s *shard) flush(records []Record) {
	index, last := 0, -1
	for lo := 0; lo < len(s.readings); lo += chunk {
		hi := min(lo+chunk, len(s.readings))
		s.hint(records, lo, hi)
		for i := lo; i < hi; i++ {
			f := int(s.from[i])
			if f != last {
				index, last = 0, f
			}
			rec := &records[f]
			s.offset, s.recordMs = rec.Offset, rec.TimestampMs
			s.position = rec.Offset<<positionBits + int64(index)
			s.one(&s.readings[i], rec, s.keys[i-lo], s.hints[i-lo])
			index++
		}
	}
	if n := len(s.readings); n > 0 {
		s.block.Row.Readings += int64(n)
		s.stats.Readings.Add(int64(n))
	}
	s.readings, s.from = s.readings[:0], s.from[:0]
}

// hint is the first pass over a chunk: keys, index entries, then the states themselves, so that the memory of
// all of them is on its way before the first is needed. What it finds is checked again in order.
func (s *shard) hint(records []Record, lo, hi int) {
	for i := lo; i < hi; i++ {
		r := &s.readings[i]
		if len(r.ChargePoint) == 0 {
			r.ChargePoint = records[s.from[i]].Key
		}
		k := snapshot.Key{}
		if len(r.Transaction) != 0 && len(r.ChargePoint) <= MaxChargePoint && len(r.Transaction) <= snapshot.MaxTransaction {
			k = s.hash.Key(r.ChargePoint, r.Connector, r.Transaction)
		}
		s.keys[i-lo] = k
	}
	n := hi - lo
	for i := range n {
		s.hints[i] = noSlot
		if s.keys[i] != (snapshot.Key{}) {
			s.hints[i] = s.sessions.Probe(s.keys[i])
		}
	}
	touched := int64(0)
	for i := range n {
		if s.hints[i] != noSlot {
			ss := s.sessions.At(s.hints[i])
			touched ^= ss.LastSeq ^ ss.Rate.LastMs ^ int64(ss.Key[0])
		}
	}
	s.stats.Touched = touched // keeps the loads alive
}

// lookup checks a hint, or finds the key. What it returns may be changed: the image that is being made has it.
func (s *shard) lookup(k snapshot.Key, hint uint32) *snapshot.Session {
	if hint == noSlot || s.sessions.At(hint).Key != k {
		if k == (snapshot.Key{}) {
			return nil
		}
		if hint = s.sessions.Find(k); hint == noSlot {
			return nil
		}
	}
	ss := s.sessions.At(hint)
	if ss.Mark != s.mark {
		s.leave(ss)
	}
	return ss
}

const (
	minAtMs       = 1_262_304_000_000 // 2010-01-01: a clock before it was never set
	maxAheadMs    = 24 * 3_600_000    // a reading further ahead of its record is refused
	flagAheadMs   = 60_000            // a reading further ahead is flagged
	flagLateMs    = 15 * 60_000       // a reading older than this is flagged
	maxRegister   = 1 << 59           // mWh
	minRegisterWh = 0
)

// one rates one reading.
func (s *shard) one(r *rating.Reading, rec *Record, key snapshot.Key, hint uint32) {
	if r.Kind == rating.KindMeter {
		if ss := s.lookup(key, hint); ss != nil && s.quick(ss, r) {
			return
		}
	}
	if reason := s.check(r); reason != "" {
		s.reject(rec, s.position&MaxReadings, reason)
		return
	}
	switch r.Kind {
	case rating.KindStart:
		s.start(r, rec, key)
	case rating.KindAnswer:
		s.answer(r)
	case rating.KindStop:
		s.stop(r, rec, key)
	case rating.KindStatus:
		s.status(r)
	default:
		s.meter(r, rec, key)
	}
}

// check says why a reading can not be used, and mends what can be: "" is usable.
func (s *shard) check(r *rating.Reading) string {
	r.MessageID = redact.MessageID(r.MessageID)
	switch {
	case len(r.ChargePoint) == 0:
		return "no charge point: neither in the message nor as the record's key"
	case redact.CardNumber(r.ChargePoint) || redact.CardNumber(r.Transaction):
		return "pan_like: an id may be the number of a payment card, which is not kept"
	case len(r.ChargePoint) > MaxChargePoint:
		return fmt.Sprintf("charge point of %d bytes, at most %d", len(r.ChargePoint), MaxChargePoint)
	case s.parts.Hash != "" && s.parts.Of(r.ChargePoint) != s.partition.Number:
		// The quick path need not ask: no session of a stray ever opened.
		return fmt.Sprintf("wrong_partition: charge point %q is of partition %d by %s of %d, and came through %d", r.ChargePoint,
			s.parts.Of(r.ChargePoint), s.parts.Hash, s.parts.Partitions, s.partition.Number)
	case len(r.Transaction) > snapshot.MaxTransaction:
		return fmt.Sprintf("transaction id of %d bytes, at most %d", len(r.Transaction), snapshot.MaxTransaction)
	case len(r.MessageID) > snapshot.MaxTransaction:
		return fmt.Sprintf("message id of %d bytes, at most %d", len(r.MessageID), snapshot.MaxTransaction)
	case r.RegisterMwh != rating.Unknown && (r.RegisterMwh < minRegisterWh || r.RegisterMwh > maxRegister):
		return fmt.Sprintf("register of %d mWh is out of range", r.RegisterMwh)
	case r.Kind == rating.KindAnswer:
		return ""
	}
	if r.AtMs == rating.Unknown {
		r.AtMs, r.Flags = s.recordMs, r.Flags|rating.ReadingAtUnreadable
	}
	if r.AtMs < minAtMs || r.AtMs > s.recordMs+maxAheadMs {
		return fmt.Sprintf("time %d ms is before 2010 or more than 24 h ahead of its record at %d ms", r.AtMs, s.recordMs)
	}
	return ""
}

// quick is the hot path: a meter reading that continues a priced session as expected. It returns false, having
// changed nothing, when anything about it needs a longer look.
func (s *shard) quick(ss *snapshot.Session, r *rating.Reading) bool {
	adj := r.RegisterMwh + ss.RegOffsetMwh
	if !ss.Priced() || ss.Pend != snapshot.PendNone || SessionStatus(ss.Status) != StatusActive ||
		r.RegisterMwh < minRegisterWh || r.RegisterMwh > maxRegister ||
		r.AtMs <= ss.Rate.LastMs || r.AtMs > s.recordMs+flagAheadMs || r.AtMs < s.recordMs-flagLateMs ||
		adj < ss.Rate.LastMwh || r.Context == rating.ContextBegin || r.Context == rating.ContextEnd ||
		r.AtMs-ss.Rate.LastMs > s.maxGapMs || (r.Seq <= ss.LastSeq && r.Seq != rating.Unknown) || r.State >= rating.StateReserved || r.Flags != 0 || ss.HasChanges ||
		s.unknownDriver(ss, r) {
		return false
	}
	state := r.State
	if state == rating.StateUnchanged {
		state = ss.Rate.Charge
	}
	s.repeated(ss, r) // it is not: it is newer than all before it
	ss.Readings++
	s.heard(ss)
	pt := rating.Point{AtMs: r.AtMs, RegisterMwh: adj, PowerMicroW: r.PowerMicroW, CurrentNanoA: r.CurrentNanoA, State: state}
	if s.tracer != nil {
		s.tracer.Point(ss, pt, nil)
	}
	s.out = s.plans.Info[ss.Plan].plan.Advance(&ss.Rate, pt, nil, s.cfg.RatedSliceMs(), s.out[:0])
	if len(s.out) != 0 {
		s.emit(ss, s.out)
		s.version(ss)
	}
	return true
}

// reject notes a message, or one reading of it, that can not be used.
func (s *shard) reject(rec *Record, index int64, reason string) { s.refuse(rec, index, reason, false) }

// refuse is reject. ofDecoder: the reason may quote what nobody has read. The message itself goes with its first reject.
func (s *shard) refuse(rec *Record, index int64, reason string, ofDecoder bool) {
	s.stats.Rejects.Add(1)
	if s.mute {
		return
	}
	list := s.block.Rejects
	whole := len(list) == 0 || list[len(list)-1].source>>positionBits != rec.Offset
	m := rejectMessage(s.partition, rec, index, reason, ofDecoder, whole)
	s.block.Rejects = append(list, m)
	s.block.rows += 1 + len(m.Private)/rowBytes // it is memory and a message, as a row is
}

// rowBytes is about what a row takes in memory.
const rowBytes = 256

// sortedKeys returns the keys of m in order (I1: no map order decides anything).
func sortedKeys[V any](m map[snapshot.Key]V) []snapshot.Key {
	keys := make([]snapshot.Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, snapshot.Key.Compare)
	return keys
}
