package verify

import (
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/oracle"
)

// event is a cleaned reading, a change of state between two of them, or the expiry of a reservation.
type event struct {
	position int64 // source position of the message that brought it
	expired  bool  // the reservation turned out expired at reading.AtMs; nothing else of reading is set
	reading  oracle.Reading
}

// trace is what the topic says of one life of a session. A transaction id may be used again: then a session has
// several.
type trace struct {
	id          [16]byte
	firstOffset int64
	events      []event
	plan        snapshot.Plan
	priced      bool  // plan is set
	ended       bool  // provisionally or not
	provisional bool  // a later message may have flagged it in a newer version
	position    int64 // of its newest version
}

// tracer collects the traces of the chosen sessions. It is package engine's Tracer.
type tracer struct {
	r      *engine.Replayer
	chosen func(id [16]byte) bool
	ended  func(*trace) // takes the trace over
	live   map[snapshot.Key]*trace
}

var _ engine.Tracer = (*tracer)(nil)

// of returns the trace of the life that ss is in; nil if the session is not chosen.
func (t *tracer) of(ss *snapshot.Session) *trace {
	if tr := t.live[ss.Key]; tr != nil && tr.firstOffset == ss.FirstOffset {
		return tr
	}
	id := t.r.SessionUUID(ss)
	if !t.chosen(id) {
		return nil
	}
	tr := &trace{id: id, firstOffset: ss.FirstOffset}
	t.live[ss.Key] = tr
	return tr
}

// Point is engine.Tracer's.
func (t *tracer) Point(ss *snapshot.Session, pt rating.Point, changes []rating.Change) {
	tr := t.of(ss)
	if tr == nil {
		return
	}
	at := t.r.Position()
	for _, c := range changes {
		tr.events = append(tr.events, event{position: at, reading: oracle.Reading{AtMs: c.AtMs, State: c.State}})
	}
	tr.events = append(tr.events, event{position: at, reading: oracle.Reading{
		AtMs: pt.AtMs, RegisterMwh: pt.RegisterMwh, HasRegister: true, PowerMicroW: pt.PowerMicroW, CurrentNanoA: pt.CurrentNanoA, State: pt.State,
	}})
}

// Expired is engine.Tracer's.
func (t *tracer) Expired(ss *snapshot.Session, atMs int64) {
	if tr := t.of(ss); tr != nil {
		tr.events = append(tr.events, event{position: t.r.Position(), expired: true, reading: oracle.Reading{AtMs: atMs}})
	}
}

// Ended is engine.Tracer's. A session that is held ends twice: the second time with what prices it.
func (t *tracer) Ended(ss *snapshot.Session, _ string, plan snapshot.Plan) {
	tr := t.of(ss)
	if tr == nil {
		return
	}
	tr.position = t.r.Position()
	if plan == (snapshot.Plan{}) {
		return
	}
	tr.plan, tr.priced, tr.ended = plan, true, true
	tr.provisional = ss.Flags&uint32(engine.FlagNoStop) != 0
	delete(t.live, ss.Key)
	t.ended(tr)
}

// readings turns events into what the oracle takes: every state is one that the session can be in. A reservation
// does not come back once the session has begun, and nothing follows an expiry (EXACTNESS section 5).
func readings(events []event) []oracle.Reading {
	out := make([]oracle.Reading, 0, len(events))
	state, begun := rating.StateUnchanged, false
	for _, e := range events {
		next := e.reading.State
		if e.expired {
			next = rating.StateReservationExpired
		}
		switch {
		case state == rating.StateUnchanged:
			if state = next; state == rating.StateUnchanged {
				state = rating.StateCharging
			}
		case next == rating.StateUnchanged || state == rating.StateReservationExpired || begun && reserves(next):
		case next == rating.StateReservationExpired:
			out = expire(out, max(e.reading.AtMs, out[len(out)-1].AtMs))
			state = next
		default:
			state = next
		}
		begun = begun || !reserves(state)
		if !e.expired {
			r := e.reading
			r.State = state
			out = append(out, r)
		}
	}
	return out
}

func reserves(s rating.ChargeState) bool {
	return s == rating.StateReserved || s == rating.StateReservationExpired
}

// expire re-labels a reservation: it is one interval from its first reading, at the newest power (rating.Plan.Expire).
func expire(out []oracle.Reading, atMs int64) []oracle.Reading {
	newest := out[len(out)-1]
	for i := len(out) - 1; i >= 0; i-- {
		if out[i].HasRegister {
			newest = out[i]
			break
		}
	}
	first := newest
	first.AtMs, first.State = out[0].AtMs, rating.StateReservationExpired
	newest.AtMs, newest.State = atMs, rating.StateReservationExpired
	return append(out[:0], first, newest)
}
