package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/invariant"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/money"
	"github.com/wattline/wattline/rating/ocpi"
)

// session is a running session as JSON. Texts of status, state and reason are those of ClickHouse's columns.
type session struct {
	ID          string   `json:"id"`
	ChargePoint string   `json:"charge_point"`
	Connector   int32    `json:"connector"`
	Transaction string   `json:"transaction"`
	Location    string   `json:"location"`
	Status      string   `json:"status"`
	State       string   `json:"state"`
	Start       string   `json:"start"`
	Last        string   `json:"last"`
	EnergyMwh   int64    `json:"energy_mwh"`
	Currency    *string  `json:"currency"` // these five are null where there is no price
	Excl        *string  `json:"excl"`     // null also where the tariff leaves it unknown
	Incl        *string  `json:"incl"`
	ExclMicros  *int64   `json:"excl_micros"`
	InclMicros  *int64   `json:"incl_micros"`
	Tariff      string   `json:"tariff"`
	Zone        string   `json:"zone"`
	Token       string   `json:"token_pseudonym,omitempty"`
	TokenKeyID  uint32   `json:"token_key_id,omitempty"`
	Contract    string   `json:"contract,omitempty"`
	Tier        string   `json:"tier,omitempty"`
	Reason      *string  `json:"price_reason"` // of the last price change; null where there is no price
	ReasonAt    *string  `json:"price_since"`
	HeldReason  string   `json:"held_reason,omitempty"`
	Flags       []string `json:"flags"`
	Readings    uint32   `json:"readings"`
	Topic       string   `json:"topic"`
	Partition   int32    `json:"partition"`
	Offset      int64    `json:"offset"` // all messages below are in it
	Position    int64    `json:"position"`
}

// failure is the body of an answer that has no session.
type failure struct {
	Error    string    `json:"error"`
	Code     string    `json:"code,omitempty"` // for programs
	Hint     string    `json:"hint,omitempty"`
	Sessions []session `json:"sessions,omitempty"`
}

type handler struct {
	cfg      Config
	hub      *hub
	reach    reach
	scanning chan struct{} // a place for each that looks at all sessions
}

func view(v *engine.SessionView) session {
	s := session{
		ID: v.ID, ChargePoint: v.ChargePoint, Connector: v.Connector, Transaction: v.Transaction, Location: v.Location,
		Status: StatusText(v.Status), State: ocpi.StateText(v.State), Start: instant(v.StartMs), Last: instant(v.LastMs),
		EnergyMwh: v.Total.EnergyMwh, Tariff: v.Tariff, Zone: v.Zone, HeldReason: v.HeldReason,
		Flags: v.Flags.Names(), Readings: v.Readings, Topic: v.Partition.Topic, Partition: v.Partition.Number,
		Offset: v.Offset, Position: v.Position,
		Token: v.Driver.String(), TokenKeyID: v.Driver.KeyID, Contract: v.Contract, Tier: v.Tier,
	}
	if v.Status == engine.StatusHeld || v.Status == engine.StatusUnpriceable {
		return s // it has no price: zeros would be taken for one
	}
	incl, reason, since := Decimal(v.Total.InclMicros), SplitText(v.Split), instant(v.PeriodMs)
	s.Currency, s.Incl, s.InclMicros, s.Reason, s.ReasonAt = &v.Currency, &incl, &v.Total.InclMicros, &reason, &since
	if !v.Total.ExclUnknown {
		excl := Decimal(v.Total.ExclMicros)
		s.Excl, s.ExclMicros = &excl, &v.Total.ExclMicros
	}
	return s
}

// StatusText is the name of a session's status.
func StatusText(s engine.SessionStatus) string {
	names := [...]string{"", "RESERVED", "ACTIVE", "COMPLETED", "PROVISIONAL", "HELD", "UNPRICEABLE"}
	if int(s) < len(names) {
		return names[s]
	}
	return ""
}

// SplitText says what began a charging period.
func SplitText(s rating.Split) string {
	names := [...]string{"start", "clock", "weekday", "energy", "duration", "power", "state"}
	if int(s) < len(names) {
		return names[s]
	}
	return ""
}

// Decimal writes micros with 6 decimals (H1).
func Decimal(micros int64) string {
	return money.FormatDecimal(micros, 6)
}

// instant is a time as RFC 3339 in UTC with milliseconds; "" where it is not known.
func instant(ms int64) string {
	if ms == rating.Unknown {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

func (h *handler) session(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	found, ok := h.lookup(w, r, id)
	switch {
	case !ok:
	case len(found) == 1:
		h.write(w, http.StatusOK, view(&found[0]))
	default:
		h.notFound(w, id)
	}
}

// unavailable says that the answer is not known yet (H2).
func (h *handler) unavailable(w http.ResponseWriter, err error) {
	if errors.Is(err, engine.ErrCatchingUp) || errors.Is(err, engine.ErrRegrouping) {
		w.Header().Set("Retry-After", "1")
		h.write(w, http.StatusServiceUnavailable, failure{Error: err.Error(), Code: "catching_up", Hint: "ask again in 1 s"})
		return
	}
	w.Header().Set("Retry-After", "2")
	h.write(w, http.StatusServiceUnavailable, failure{Error: err.Error(), Hint: "ask again in 2 s"})
}

func views(list []engine.SessionView) []session {
	out := make([]session, len(list))
	for i := range list {
		out[i] = view(&list[i])
	}
	return out
}

// maxDearest bounds what one request may ask for: each shard answers it between two batches.
const maxDearest = 1000

func (h *handler) dearest(w http.ResponseWriter, r *http.Request) {
	n := 10
	if text := r.URL.Query().Get("dearest"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxDearest {
			h.write(w, http.StatusBadRequest, failure{Error: fmt.Sprintf("dearest=%s is not a number between 1 and %d", text, maxDearest)})
			return
		}
	}
	list, err := h.cfg.Sessions.Dearest(r.Context(), n)
	if err != nil && len(list) == 0 {
		h.unavailable(w, err)
		return
	}
	h.write(w, http.StatusOK, struct {
		Sessions []session `json:"sessions"`
		Complete bool      `json:"complete"` // false: a partition could not be asked
	}{views(list), err == nil})
}

func (h *handler) healthz(w http.ResponseWriter, _ *http.Request) {
	h.write(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"alive"})
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := notReady(h.cfg.Health); err != nil {
		h.unavailable(w, err)
		return
	}
	h.write(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ready"})
}

func (h *handler) index(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		h.write(w, http.StatusMethodNotAllowed, failure{Error: r.Method + " is not possible: the API only answers questions", Hint: "GET / lists the paths"})
		return
	}
	if r.URL.Path != "/" {
		h.write(w, http.StatusNotFound, failure{Error: "no such path: " + r.URL.Path, Hint: "GET / lists them"})
		return
	}
	h.write(w, http.StatusOK, struct {
		Paths []string `json:"paths"`
	}{[]string{"/v1/sessions/{id}", "/v1/sessions/{id}/price", "/v1/sessions?dearest=10", "/healthz", "/readyz", "/metrics", "/debug/pprof/"}})
}

// write answers with JSON, one line and its end, which a terminal likes.
func (h *handler) write(w http.ResponseWriter, status int, body any) {
	answer(w, status, body, h.cfg.Logger)
}

func answer(w http.ResponseWriter, status int, body any, log *slog.Logger) {
	text, err := json.Marshal(body)
	if err != nil {
		invariant.Bug("answer: %v", err) // texts and integers
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(append(text, '\n')); err != nil {
		log.Debug("answer not written", "error", err)
	}
}
