package snapshot

import (
	"encoding/binary"

	"github.com/wattline/wattline/rating"
)

// Least encoded sizes, which bound what a list may claim. A Session is that plus its pricing state, which is
// at least a version byte. Version 2 has a byte more for sessions and starts.
const (
	minSession   = 16 + 1 + 1 + 15*8 + 7*4 + 4 + 4 + 4 // of the version before: 4 less
	minConnector = 4 + 4 + 4 + 1 + 8 + 16 + 16 + 8 + 8
	minStart     = 4 + 4*8 + 1 + 1 + 4
)

func (w *writer) session(s *Session) {
	w.key(s.Key)
	w.bool(s.Priced())
	if s.Priced() {
		w.b = rating.AppendState(w.b, &s.Rate)
	} else {
		w.unpriced(&s.Rate)
	}
	b, le := w.b, binary.LittleEndian // not through w: its pointer would be written, with a barrier, for each field
	for _, v := range [...]int64{
		s.LastSeq, int64(s.SeqBits), s.RegOffsetMwh, s.PendMs, s.PendMwh, s.PendPower, s.PendCurrent, s.EndMs, s.EndMwh,
		s.FirstOffset, s.Version, s.LastRecordMs, s.Lines, s.RowsExcl, s.RowsIncl,
	} {
		b = le.AppendUint64(b, uint64(v))
	}
	for _, v := range [...]uint32{s.ChargePoint, s.Place, s.Plan, s.Window, uint32(s.Connector), s.Flags, s.Readings, s.Sheet} {
		b = le.AppendUint32(b, v)
	}
	b = append(b, s.Status)
	b = append(b, s.Pend)
	b = append(b, s.PendState)
	b = append(b, s.TxLen)
	w.b = append(b, s.Transaction()...)
	w.driver(&s.Driver)
}

func (w *writer) driver(d *Driver) {
	w.bool(d.KeyID != 0)
	if d.KeyID == 0 {
		return
	}
	w.u32(d.KeyID)
	w.b = append(w.b, d.Value[:]...)
	w.u32(d.Tier)
	w.u8(d.ContractLen)
	w.b = append(w.b, d.Contract()...)
}

func (r *reader) driver(d *Driver) {
	if !r.pseudonym(&d.KeyID, d.Value[:]) {
		return
	}
	d.Tier = r.u32()
	d.ContractLen = r.short(d.ContractID[:])
}

// pseudonym reads a key's id and the pseudonym that it made, if they are there.
func (r *reader) pseudonym(keyID *uint32, value []byte) bool {
	if r.version == versionBefore || !r.bool() {
		return false
	}
	*keyID = r.u32()
	copy(value, r.take(len(value)))
	if *keyID == 0 {
		r.fail("a pseudonym of no key")
	}
	return true
}

// session reads one into s, which is empty.
func (r *reader) session(s *Session) {
	s.Key = r.key()
	priced := r.bool()
	if priced {
		r.rate(&s.Rate)
	} else {
		s.Rate = r.unpriced()
	}
	words := 8
	if r.version == versionBefore {
		words-- // it had no Sheet
	}
	le, b := binary.LittleEndian, r.take(15*8+words*4) // in one piece: a look at what is left, for each field, would cost more than the field
	if b == nil {
		return
	}
	for i, p := range [...]*int64{
		&s.LastSeq, (*int64)(nil), &s.RegOffsetMwh, &s.PendMs, &s.PendMwh, &s.PendPower, &s.PendCurrent, &s.EndMs, &s.EndMwh,
		&s.FirstOffset, &s.Version, &s.LastRecordMs, &s.Lines, &s.RowsExcl, &s.RowsIncl,
	} {
		if p != nil {
			*p = int64(le.Uint64(b[i*8:]))
		}
	}
	s.SeqBits, b = le.Uint64(b[8:]), b[15*8:]
	for i, p := range [...]*uint32{&s.ChargePoint, &s.Place, &s.Plan, &s.Window, nil, &s.Flags, &s.Readings, &s.Sheet} {
		if p != nil && i < words {
			*p = le.Uint32(b[i*4:])
		}
	}
	s.Connector = int32(le.Uint32(b[4*4:]))
	s.Status, s.Pend, s.PendState = r.u8(), r.u8(), r.u8()
	s.TxLen = r.short(s.Tx[:])
	r.driver(&s.Driver)
	if s.Priced() != priced {
		r.fail("a session that is priced without a plan, or the other way round")
	}
}

// unpriced writes what the engine itself keeps in the pricing state of a session that is not priced yet.
func (w *writer) unpriced(s *rating.State) {
	for _, v := range [...]int64{s.FirstMs, s.StartMs, s.StartMwh, s.PrevMs, s.PrevMwh, s.LastMs, s.LastMwh} {
		w.i64(v)
	}
	w.u8(uint8(s.Charge))
}

func (r *reader) unpriced() rating.State {
	return rating.State{
		FirstMs: r.i64(), StartMs: r.i64(), StartMwh: r.i64(), PrevMs: r.i64(), PrevMwh: r.i64(), LastMs: r.i64(), LastMwh: r.i64(),
		Charge: r.chargeState(),
	}
}

// short reads a length byte and that many bytes into dst.
func (r *reader) short(dst []byte) uint8 {
	n := r.u8()
	if int(n) > len(dst) {
		r.fail("an id of %d bytes, at most %d", n, len(dst))
		return 0
	}
	copy(dst, r.take(int(n)))
	return n
}

func (w *writer) window(x *Window) {
	for _, v := range x.Seen {
		w.u32(v)
	}
	w.u32(x.Next)
}

func (r *reader) window() Window {
	var x Window
	for i := range x.Seen {
		x.Seen[i] = r.u32()
	}
	x.Next = r.u32()
	return x
}

func (w *writer) connector(c *Connector) {
	w.u32(c.ChargePoint)
	w.u32(uint32(c.Number))
	w.u32(c.Next)
	w.u8(c.Status)
	w.i64(c.StatusMs)
	w.key(c.Live)
	w.key(c.Ended)
	w.i64(c.EndedFromMs)
	w.i64(c.EndedMs)
}

func (r *reader) connector() Connector {
	return Connector{
		ChargePoint: r.u32(), Number: int32(r.u32()), Next: r.u32(), Status: r.u8(), StatusMs: r.i64(),
		Live: r.key(), Ended: r.key(), EndedFromMs: r.i64(), EndedMs: r.i64(),
	}
}

func (w *writer) start(s *Start) {
	w.u32(s.Connector)
	w.i64(s.AtMs)
	w.i64(s.RegisterMwh)
	w.i64(s.RecordMs)
	w.i64(s.Offset)
	w.u8(s.State)
	w.u32(s.Flags)
	w.u8(s.MessageLen)
	w.b = append(w.b, s.MessageID[:s.MessageLen]...)
	w.bool(s.KeyID != 0)
	if s.KeyID != 0 {
		w.u32(s.KeyID)
		w.b = append(w.b, s.Pseudonym[:]...)
	}
}

func (r *reader) start() Start {
	s := Start{
		Connector: r.u32(), AtMs: r.i64(), RegisterMwh: r.i64(), RecordMs: r.i64(), Offset: r.i64(),
		State: r.u8(), Flags: r.u32(),
	}
	s.MessageLen = r.short(s.MessageID[:])
	r.pseudonym(&s.KeyID, s.Pseudonym[:])
	return s
}

func (w *writer) plan(p *Plan) {
	w.str(p.CountryCode)
	w.str(p.PartyID)
	w.str(p.ID)
	w.i64(p.Offset)
	w.str(p.Zone)
}

func (r *reader) plan() Plan {
	return Plan{CountryCode: r.str(), PartyID: r.str(), ID: r.str(), Offset: r.i64(), Zone: r.str()}
}

func (w *writer) held(h *Held) {
	w.key(h.Key)
	w.str(h.Reason)
	w.bool(h.Trimmed)
	w.bool(h.Ended)
	w.bool(h.Provisional)
	w.len(len(h.Points))
	for i := range h.Points {
		p := &h.Points[i]
		w.i64(p.AtMs)
		w.i64(p.RegisterMwh)
		w.i64(p.PowerMicroW)
		w.i64(p.CurrentNanoA)
		w.u8(uint8(p.State))
	}
	w.changes(h.Changes)
}

func (r *reader) held() Held {
	h := Held{Key: r.key(), Reason: r.str(), Trimmed: r.bool(), Ended: r.bool(), Provisional: r.bool()}
	h.Points = list(r, 33, func() rating.Point {
		return rating.Point{
			AtMs: r.i64(), RegisterMwh: r.i64(), PowerMicroW: r.i64(), CurrentNanoA: r.i64(), State: r.chargeState(),
		}
	})
	h.Changes = r.changes()
	return h
}

func (w *writer) changes(cs []rating.Change) {
	w.len(len(cs))
	for _, c := range cs {
		w.i64(c.AtMs)
		w.u8(uint8(c.State))
	}
}

func (r *reader) changes() []rating.Change {
	return list(r, 9, func() rating.Change { return rating.Change{AtMs: r.i64(), State: r.chargeState()} })
}

func (r *reader) chargeState() rating.ChargeState {
	v := rating.ChargeState(r.u8())
	if v > rating.StateReservationExpired {
		r.fail("%d is no state", v)
	}
	return v
}
