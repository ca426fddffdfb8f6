package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/wattline/wattline/engine"
)

// price is what a session costs, as JSON: an answer, or the data of an event.
type price struct {
	ID         string  `json:"id"`
	Status     string  `json:"status"`
	State      string  `json:"state,omitempty"` // not of one that has ended
	Currency   *string `json:"currency"`        // these five are null where there is no price
	Excl       *string `json:"excl"`            // null also where the tariff leaves it unknown
	Incl       *string `json:"incl"`
	ExclMicros *int64  `json:"excl_micros"`
	InclMicros *int64  `json:"incl_micros"`
	EnergyMwh  int64   `json:"energy_mwh"`
	Tariff     string  `json:"tariff"`
	Reason     *string `json:"price_reason"` // of the last price change; null where there is no price, or it has ended
	ReasonAt   *string `json:"price_since"`
	HeldReason string  `json:"held_reason,omitempty"`
	Last       string  `json:"last"`
	Final      bool    `json:"final"`
	Position   int64   `json:"position"` // the source position that the price is of
}

// isOver says that a session's price changes no more by itself.
func isOver(s engine.SessionStatus) bool {
	return s == engine.StatusCompleted || s == engine.StatusProvisional
}

// shownAt is the position of a running session's state: between the last message that is in it and the next (I3).
func shownAt(v *engine.SessionView) int64 { return v.Offset<<16 - 1 }

// priceOf is the price of a running session, or of one that ended provisionally and is still kept.
func priceOf(v *engine.SessionView) price {
	s := view(v)
	return price{
		ID: s.ID, Status: s.Status, State: s.State, Currency: s.Currency, Excl: s.Excl, Incl: s.Incl, ExclMicros: s.ExclMicros, InclMicros: s.InclMicros,
		EnergyMwh: s.EnergyMwh, Tariff: s.Tariff, Reason: s.Reason, ReasonAt: s.ReasonAt, HeldReason: s.HeldReason, Last: s.Last,
		Final: isOver(v.Status), Position: shownAt(v),
	}
}

// finalPrice is that of a session that the store has as ended; Position is its version.
func finalPrice(v *engine.SessionView) price {
	p := priceOf(v)
	p.State, p.Reason, p.ReasonAt, p.Final, p.Position = "", nil, nil, true, v.Position
	return p
}

// differs says whether p is another price than q. Energy alone is none.
func (p *price) differs(q *price) bool {
	same := func(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }
	return p.Status != q.Status || p.Tariff != q.Tariff || !same(p.InclMicros, q.InclMicros) || !same(p.ExclMicros, q.ExclMicros) ||
		(p.ReasonAt == nil) != (q.ReasonAt == nil) || p.ReasonAt != nil && *p.ReasonAt != *q.ReasonAt
}

// price answers GET /v1/sessions/{id}/price: once, or as a stream of events.
func (h *handler) price(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if wantsStream(r) {
		h.stream(w, r, id)
		return
	}
	found, ok := h.lookup(w, r, id)
	if !ok {
		return
	}
	if len(found) == 1 {
		h.write(w, http.StatusOK, priceOf(&found[0]))
		return
	}
	if ended, ok := h.endedSession(r, id); ok {
		h.write(w, http.StatusOK, finalPrice(&ended))
		return
	}
	h.notFound(w, id)
}

// wantsStream says whether the client asks for server-sent events.
func wantsStream(r *http.Request) bool {
	if r.Method != http.MethodGet { // HEAD has no end otherwise
		return false
	}
	for _, accept := range r.Header.Values("Accept") {
		for media := range strings.SplitSeq(accept, ",") {
			media, _, _ = strings.Cut(media, ";")
			if strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// endedSession asks the store for a session that has ended, by its id.
func (h *handler) endedSession(r *http.Request, id string) (v engine.SessionView, ok bool) {
	uuid, isUUID := engine.ParseSessionID(id)
	if !isUUID || h.cfg.Ended == nil {
		return v, false
	}
	list, err := h.cfg.Ended(r.Context(), []engine.SessionID{uuid})
	if err != nil {
		h.cfg.Logger.Debug("the store does not say whether a session has ended", "error", err)
	}
	if err != nil || len(list) == 0 {
		return v, false
	}
	return list[0], true
}

// scans is how many questions at a time may look at all sessions: those by a transaction. The others wait.
const scans = 2

// find asks this engine for what id names.
func (h *handler) find(ctx context.Context, id string) ([]engine.SessionView, error) {
	if _, ok := engine.ParseSessionID(id); !ok {
		select {
		case h.scanning <- struct{}{}:
			defer func() { <-h.scanning }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.cfg.Sessions.Session(ctx, id)
}

// lookup finds what id names, here. ok is false when the request has been answered: it was sent on, nobody knows yet, or
// there are several. No session and ok means that no engine has it running.
func (h *handler) lookup(w http.ResponseWriter, r *http.Request, id string) (found []engine.SessionView, ok bool) {
	found, err := h.find(r.Context(), id)
	switch {
	case len(found) == 1:
		return found, true
	case len(found) > 1:
		h.several(w, id, found)
		return nil, false
	}
	if err == nil {
		err = h.cfg.Health.Ready()
	}
	answered, err := h.onward(w, r, err)
	if err != nil {
		h.unavailable(w, err)
	}
	return nil, !answered && err == nil
}

func (h *handler) several(w http.ResponseWriter, id string, found []engine.SessionView) {
	h.write(w, http.StatusMultipleChoices, failure{
		Error: fmt.Sprintf("%d sessions have the transaction %q", len(found), id), Hint: "ask for one by its id, or by charge_point:transaction", Sessions: views(found),
	})
}

func (h *handler) notFound(w http.ResponseWriter, id string) {
	h.write(w, http.StatusNotFound, failure{
		Error: fmt.Sprintf("no session %q is running", id),
		Hint:  "ended ones are in ClickHouse: SELECT * FROM sessions_latest WHERE transaction = '...' (or session_id, charge_point)",
	})
}

// finalSuffix marks the id of the last event. The position alone would not do: a session that is closed between two
// messages ends at the position of the state before.
const finalSuffix = ".final"

// lastEventID is the position of the last event that the client had of this stream, -1 for none, and whether it was the
// final one.
func lastEventID(r *http.Request) (position int64, final bool) {
	text, final := strings.CutSuffix(r.Header.Get("Last-Event-ID"), finalSuffix)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return -1, false
	}
	return n, final
}
