package sample

import (
	"context"
	"errors"
	"fmt"

	"github.com/wattline/wattline/connectors/wire"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/murmur2"
	"github.com/wattline/wattline/internal/reference"
	"github.com/wattline/wattline/loadgen"
	"github.com/wattline/wattline/rating"
)

// Topic is where the readings of the sample are said to come from, and Partitions how many it has.
const (
	Topic      = "sample.readings"
	Partitions = 4
)

const (
	secondMs = 1_000
	minuteMs = 60_000
	hourMs   = 3_600_000
	dayMs    = 86_400_000

	// FromMs is 2026-01-29T00:00Z, a Thursday: a weekend and the end of a month are to be in it.
	FromMs = 1_769_644_800_000
	// UntilMs is 2026-02-03T06:00Z, a Tuesday.
	UntilMs = FromMs + 5*dayMs + 6*hourMs
	// Behind is a partition that ends BehindMs earlier, as if its engine were slow.
	Behind = 3
	// BehindMs is by how much, ms.
	BehindMs = 40 * minuteMs

	// siteKnownMs is when the location of the late site gets into the reference log, 2026-01-31T12:00Z.
	siteKnownMs = FromMs + 2*dayMs + 12*hourMs
	// tariffChangedMs is when AC-DAY-NIGHT gets dearer: 2026-02-01T00:00Z.
	tariffChangedMs = FromMs + 3*dayMs

	blockRecords = 20_000
	blockRows    = 32 << 10
)

// Summary is what was made.
type Summary struct {
	Readings, Rejects         int64 // messages, duplicates included; of them those that can not be used
	Blocks, Charges, Versions int64 // rows of the three tables
	Sessions                  int64 // with a version
	Proven                    int64 // of them, ended and held to the oracle
	EnergyMwh                 int64 // of the proven
}

// ErrTruth is wrapped when a session does not cost what the oracle says (E2): a bug.
var ErrTruth = errors.New("the sample is not what the oracle says")

// Make rates the sample and hands every block to take, in order within a partition; the block is valid during the call.
// It takes some seconds. Errors: those of take, and ErrTruth.
func Make(ctx context.Context, take func(*engine.Block) error) (Summary, error) {
	m, err := newMaker(ctx, take)
	if err != nil {
		return Summary{}, fmt.Errorf("make the sample: %w", err)
	}
	if err := m.run(ctx); err != nil {
		return m.summary, fmt.Errorf("make the sample: %w", err)
	}
	if err := m.prove(); err != nil {
		return m.summary, fmt.Errorf("make the sample: %w", err)
	}
	return m.summary, nil
}

// maker is one Make.
type maker struct {
	network *loadgen.Network
	scenes  []scene
	events  []event // of the scenes, in order
	parts   [Partitions]part
	take    func(*engine.Block) error
	made    map[name]*made
	rows    map[[16]byte]sums
	value   []byte
	summary Summary
}

// part is a partition: its own shard, offsets and blocks.
type part struct {
	of          engine.Partition
	r           *engine.Replayer
	next, first int64
	began       bool
	book        int64
	endMs       int64
}

// name is how the outside knows a session.
type name struct {
	chargePoint string
	connector   int32
	transaction string
}

// made is what the rows say of a session.
type made struct {
	version int64
	status  engine.SessionStatus
	flags   engine.SessionFlags
	total   rating.Total
	id      [16]byte
}

// sums are those of a session's rows.
type sums struct {
	incl, excl  int64
	exclUnknown bool
}

func newMaker(ctx context.Context, take func(*engine.Block) error) (*maker, error) {
	cfg := loadgen.City()
	cfg.Seed, cfg.ChargePoints, cfg.ChargePointsPerSite, cfg.Partitions = 2, 72, 6, Partitions
	cfg.EpochMs, cfg.ChargingEveryMs = FromMs, minuteMs
	network, err := loadgen.New(cfg)
	if err != nil {
		return nil, err
	}
	m := &maker{network: network, take: take, made: map[name]*made{}, rows: map[[16]byte]sums{}, scenes: scenes()}
	m.events = eventsOf(m.scenes)
	log, err := referenceLog(network)
	if err != nil {
		return nil, err
	}
	ref := engine.NewReference(reference.Decode, tokens{})
	if err := ref.Follow(ctx, log, "sample.reference"); err != nil {
		return nil, err
	}
	decoders := func(string, []byte) engine.Decode { return wire.Decode }
	for i := range m.parts {
		p := &m.parts[i]
		p.of = engine.Partition{Topic: Topic, Number: int32(i)}
		p.book, p.endMs = ref.Next()-changes, UntilMs
		if p.r, err = engine.NewReplayer(p.of, engine.Config{EngineID: "sample"}.WithDefaults(), decoders, ref, nil); err != nil {
			return nil, err
		}
	}
	m.parts[Behind].endMs -= BehindMs
	return m, nil
}

// run rates the network's readings and the scenes', in order of sending.
func (m *maker) run(ctx context.Context) error {
	s := m.network.Stream(FromMs)
	base := m.parts[0].book
	for s.NowMs() < UntilMs {
		switch s.NowMs() {
		case siteKnownMs:
			m.setBook(base + 1)
		case tariffChangedMs:
			m.setBook(base + changes)
		}
		if err := s.Tick(func(e *loadgen.Event) error {
			r := strip(e.Reading)
			if driver := driverOf(e.Reading.ChargePoint, string(r.Transaction)); r.Kind == rating.KindStart && driver > 0 {
				r.Token = tokenOf(driver)
			}
			m.value = wire.Append(m.value[:0], r)
			return m.record(e.Partition, e.SendMs, e.Reading.ChargePoint, m.value)
		}); err != nil {
			return err
		}
		for len(m.events) > 0 && m.events[0].sendMs < s.NowMs() {
			e := &m.events[0]
			key := e.reading.ChargePoint
			m.value = append(m.value[:0], e.raw...)
			if e.raw == nil {
				m.value = wire.Append(m.value[:0], strip(e.reading))
			}
			if err := m.record(murmur2.Partition(key, Partitions), e.sendMs, key, m.value); err != nil {
				return err
			}
			m.events = m.events[1:]
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	for i := range m.parts {
		if err := m.endBlock(&m.parts[i]); err != nil {
			return err
		}
	}
	return nil
}

// strip leaves out the charge point: the key of the record says it.
func strip(r rating.Reading) *rating.Reading {
	r.ChargePoint = nil
	return &r
}

// setBook makes the next block of every partition begin with another book.
func (m *maker) setBook(book int64) {
	for i := range m.parts {
		m.parts[i].book = book
	}
}

// record gives the shard of a partition its next record.
func (m *maker) record(number int32, sendMs int64, key, value []byte) error {
	p := &m.parts[number]
	if sendMs >= p.endMs {
		return nil
	}
	if p.began && p.r.Block().Row.BookOffset != p.book || p.next-p.first >= blockRecords || p.inBlock() > blockRows {
		if err := m.endBlock(p); err != nil {
			return err
		}
	}
	if !p.began {
		p.began, p.first = true, p.next
		p.r.Begin(p.first, p.book)
	}
	p.r.Rate(engine.Record{Offset: p.next, TimestampMs: sendMs, Key: key, Value: value})
	p.next++
	return nil
}

// inBlock counts the rows of the block at hand.
func (p *part) inBlock() (n int) {
	if !p.began {
		return 0
	}
	b := p.r.Block()
	for i := range b.Charges {
		n += len(b.Charges[i].Position)
	}
	for i := range b.Sessions {
		n += len(b.Sessions[i].Version)
	}
	return n
}

// endBlock hands the block at hand over, if there is one, and notes what it says.
func (m *maker) endBlock(p *part) error {
	if !p.began {
		return nil
	}
	p.began = false
	row := p.r.End(p.next - 1)
	b := p.r.Block()
	b.Row.EngineID = "sample"
	m.summary.Blocks++
	m.summary.Readings += row.Readings
	m.summary.Rejects += row.Rejects
	m.summary.Charges += row.Charges.Rows
	m.summary.Versions += row.Sessions.Rows
	m.note(b)
	return m.take(b)
}
