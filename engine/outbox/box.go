package outbox

import (
	"fmt"
	"strings"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/reject"
	"github.com/wattline/wattline/engine/slab"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/ocpi"
)

// End is a session that has ended, or is final, as it was at one source position. What its pointers lead to is never
// changed.
type End struct {
	Session       identity.SessionID
	Ended         bool  // it has no running price any more: the last one is told
	Final         bool  // nothing can change it any more: it gets its CDR
	Position      int64 // source position of what made it so
	AtMs          int64 // record time of that
	Status        string
	ChargePoint   string
	Connector     int32
	Transaction   string // of the block
	Flags         []string
	Place         Place
	Tariff        *rating.Tariff // nil: nothing could price it
	StartMs       int64
	EndMs         int64
	Total         rating.Total // settled: the sum of its rows
	NoStop        bool         // it was closed without its Stop
	Pseudonym     rating.Pseudonym
	Contract      string // of the block; empty: none is known
	Unpriceable   string // why nothing could price it
	sheet         snapshot.Sheet
	from, periods int // of the Box
}

// Place is where a session was charged, as of one version of its location.
type Place struct {
	Location  *rating.Location
	EVSE      *rating.EVSE
	Connector *rating.Connector
}

// Box holds what the sessions of a block have to tell. The zero Box is empty. It is filled by one goroutine, and then
// read by another.
type Box struct {
	ends    []End
	periods []snapshot.Period
}

// Reset empties b and keeps its memory.
func (b *Box) Reset() {
	clear(b.ends) // their pointers keep old locations alive
	b.ends, b.periods = b.ends[:0], b.periods[:0]
}

// Len is how many ends there are.
func (b *Box) Len() int { return len(b.ends) }

// Add puts e in. sheet is that of the session, plus 1; 0: it has none.
func (b *Box) Add(e *End, sheets *slab.Sheets, sheet uint32) {
	b.ends = append(b.ends, *e)
	x := &b.ends[len(b.ends)-1]
	x.from = len(b.periods)
	if sheet != 0 {
		x.sheet = *sheets.At(sheet - 1)
		b.periods = sheets.AppendPeriods(b.periods, sheet-1)
	}
	x.periods = len(b.periods) - x.from
}

// Source names the partition that sessions came through.
type Source struct {
	Topic     string
	Partition int32
}

// Kind is what a Message is about, and so its topic.
type Kind uint8

// The kinds of messages.
const (
	CDR      Kind = iota // of a final session
	Reject               // of a final session that can have no CDR
	Live                 // a price, or a tombstone (Value nil) behind the last one
	NumKinds = iota
)

// Message is what becomes a record of Kafka.
type Message struct {
	Kind        Kind
	Key, Value  []byte
	TimestampMs int64
}

// Each gives the messages of b in the order in which its sessions ended. Equal boxes give equal messages (B1). A message's
// bytes are the receiver's.
func (b *Box) Each(src Source, yield func(Message) error) error {
	w := writer{tariffs: map[*rating.Tariff][]byte{}}
	for i := range b.ends {
		e := &b.ends[i]
		id := e.Session.String()
		if e.Final {
			m := Message{Kind: CDR, Key: []byte(id), TimestampMs: e.AtMs}
			var err error
			if m.Value, err = w.cdr(e, id, b.periods[e.from:e.from+e.periods]); err != nil {
				m.Kind = Reject
				m.Key, m.Value = rejected(src, e, id, err.Error())
			}
			if err := yield(m); err != nil {
				return err
			}
		}
		if !e.Ended {
			continue
		}
		if err := yield(Message{Kind: Live, Key: []byte(id), Value: e.price(src), TimestampMs: e.AtMs}); err != nil {
			return err
		}
		if err := yield(Message{Kind: Live, Key: []byte(id), TimestampMs: e.AtMs}); err != nil {
			return err
		}
	}
	return nil
}

// atOnce is how many bytes of messages are produced at a time, and in memory.
const atOnce = 1 << 20

// Deliver has deliver called with the messages of b, those of a kind in their order, a MiB or so at a time, until it
// fails. count is told how many there are of each kind.
func (b *Box) Deliver(src Source, count *[NumKinds]int64, deliver func(Kind, []Message) error) error {
	var msgs [NumKinds][]Message
	size := 0
	flush := func() error {
		for kind := range msgs {
			if len(msgs[kind]) > 0 {
				if err := deliver(Kind(kind), msgs[kind]); err != nil {
					return err
				}
			}
			msgs[kind] = nil
		}
		size = 0
		return nil
	}
	err := b.Each(src, func(m Message) error {
		msgs[m.Kind] = append(msgs[m.Kind], m)
		count[m.Kind]++
		if size += len(m.Value); size < atOnce {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// price is the last price of a session that ended.
func (e *End) price(src Source) []byte {
	return AppendPrice(nil, src, &Price{
		Session: e.Session, Offset: e.Position>>positionBits + 1, Status: e.Status, ChargePoint: e.ChargePoint, Connector: e.Connector,
		Transaction: e.Transaction, StartMs: e.StartMs, LastMs: e.EndMs, Currency: e.Tariff.Currency, Total: e.Total, Flags: e.Flags,
	})
}

// writer makes CDRs, many of which have one tariff.
type writer struct {
	tariffs map[*rating.Tariff][]byte // as a CDR has it; nil: it has not
	periods []ocpi.CDRPeriod
	size    int // of the largest CDR so far
}

// cdr makes the CDR of e, or says by the path of a field why there is none.
func (w *writer) cdr(e *End, id string, periods []snapshot.Period) ([]byte, error) {
	if e.Tariff == nil || e.Place.Location == nil {
		return nil, fmt.Errorf("%w: total_cost: nothing could price the session", ocpi.ErrNoCDR)
	}
	raw, ok := w.tariffs[e.Tariff]
	if !ok {
		raw, _ = ocpi.AppendCDRTariff(nil, e.Tariff)
		w.tariffs[e.Tariff] = raw
	}
	c := ocpi.CDR{
		ID: id, SessionID: id, StartMs: e.StartMs, EndMs: e.EndMs, Currency: e.Tariff.Currency, TariffID: e.Tariff.ID, Tariffs: raw,
		Place: rating.Placement{UID: e.Place.EVSE.UID, Location: e.Place.Location, EVSE: e.Place.EVSE, Connector: e.Place.Connector},
		Token: ocpi.CDRToken{Pseudonym: e.Pseudonym.String(), Contract: e.Contract},
		Total: e.Total, LastUpdatedMs: e.AtMs, Remark: e.remark(),
	}
	if e.sheet.Flags&snapshot.SheetPartial == 0 {
		c.Costs = costs(&e.sheet)
	}
	w.fill(e, periods)
	c.Periods = w.periods
	value, err := ocpi.AppendCDR(make([]byte, 0, w.size+256), &c)
	w.size = max(w.size, len(value))
	return value, err
}

func costs(s *snapshot.Sheet) *ocpi.CDRCosts {
	f := func(i int) ocpi.CDRCost {
		return ocpi.CDRCost{ExclMicros: s.Costs[i].Excl, InclMicros: s.Costs[i].Incl}
	}
	return &ocpi.CDRCosts{
		Fixed: f(snapshot.CostFixed), Energy: f(snapshot.CostEnergy), Time: f(snapshot.CostTime), Parking: f(snapshot.CostParking),
		Reservation: f(snapshot.CostReservation),
	}
}

// fill turns the periods into those of the CDR. Where they are not known, there is one with everything in it; and one
// without anything for a session that has nothing.
func (w *writer) fill(e *End, periods []snapshot.Period) {
	w.periods = w.periods[:0]
	if len(periods) == 0 {
		t := &e.Total
		w.periods = append(w.periods, ocpi.CDRPeriod{
			StartMs: e.StartMs, EnergyMwh: t.EnergyMwh, ChargingMs: t.ChargingMs, ParkingMs: t.ParkingMs, ReservationMs: t.ReservationMs,
		})
		return
	}
	for i, p := range periods {
		end := e.EndMs
		if i+1 < len(periods) {
			end = periods[i+1].StartMs
		}
		x := ocpi.CDRPeriod{StartMs: p.StartMs, EnergyMwh: p.EnergyMwh()}
		switch p.Phase() {
		case snapshot.PhaseParking:
			x.ParkingMs = end - p.StartMs
		case snapshot.PhaseReserved:
			x.ReservationMs = end - p.StartMs
		default:
			x.ChargingMs = end - p.StartMs
		}
		w.periods = append(w.periods, x)
	}
}

// remark says what is out of the ordinary.
func (e *End) remark() string {
	var list []string
	if e.NoStop {
		list = append(list, "closed without a stop of the charge point")
	}
	if e.sheet.Flags&(snapshot.SheetTrimmed|snapshot.SheetPartial) != 0 {
		list = append(list, "one charging period has everything, as more are not kept")
	}
	return strings.Join(list, "; ")
}

// positionBits is the room for the index in a source position.
const positionBits = 16

// rejected is the record for topic wattline.rejects of a session that can have no CDR (docs/formats/rejects.md). One source
// position can make many sessions final, so its key has the session, too.
func rejected(src Source, e *End, id, reason string) (key, value []byte) {
	if e.Unpriceable != "" {
		reason += ": " + e.Unpriceable
	}
	at := reject.Coordinates{Topic: src.Topic, Partition: src.Partition, Offset: e.Position >> positionBits, Index: e.Position & (1<<positionBits - 1)}
	key = append(append(at.AppendKey(nil), '/'), id...)
	return key, at.AppendValue(nil, e.AtMs, reject.Clean("session "+id+": "+reason, false))
}
