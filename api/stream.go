package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/invariant"
)

// Times of streams.
const (
	priceEvery    = time.Second      // between two looks at the prices of all streams, so between two events of one
	heartbeat     = 15 * time.Second // between two comments, by which both ends notice that the other is gone
	slowAfter     = 10 * time.Second // a client that has not taken an event by then is dropped
	catchUpAtMost = time.Minute      // then the client is to ask anew, and may find another engine
)

// stream answers with server-sent events: a price when it changes, until the session has ended.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, id string) {
	if !h.hub.enter() {
		w.Header().Set("Retry-After", "10")
		h.write(w, http.StatusServiceUnavailable, failure{Error: fmt.Sprintf("%d prices are followed already, as many as are allowed", h.cfg.MaxStreams), Code: "too_many_streams", Hint: "ask now and then without Accept: text/event-stream, or raise http.streams"})
		return
	}
	defer h.hub.leave()
	s := &stream{h: h, w: w, rc: http.NewResponseController(w), news: make(chan news, 1)}
	s.shown, s.hadFinal = lastEventID(r)
	if !s.find(r, id) {
		return
	}
	s.follow(r.Context())
}

// news is what the hub found out about a session.
type news struct {
	view  *engine.SessionView // it runs, or has ended provisionally
	final *engine.SessionView // it has ended, by the store
	err   error               // nobody knows now
}

// stream is one client that follows one session. It is used by the request's goroutine; news comes from the hub's.
type stream struct {
	h    *handler
	w    http.ResponseWriter
	rc   *http.ResponseController
	id   engine.SessionID
	at   engine.Partition
	news chan news

	shown    int64  // position of what was shown last, here or by an engine before; -1: nothing was
	hadFinal bool   // and that was the end
	last     *price // what was shown last, here
	begun    bool
	behind   time.Time // since when nobody knows; zero: somebody does
	finished bool
}

// find looks the session up; false: the request has been answered. While nobody knows, after a takeover, the client hears
// that and waits, or asks anew where it is other engines who do not.
func (s *stream) find(r *http.Request, id string) bool {
	h := s.h
	for {
		found, err := h.find(r.Context(), id)
		switch {
		case len(found) == 1:
			s.at = found[0].Partition
			s.id, _ = engine.ParseSessionID(found[0].ID)
			s.tell(news{view: &found[0]})
			return !s.finished
		case len(found) > 1:
			if !s.begun {
				h.several(s.w, id, found)
			}
			return false
		case err == nil:
			err = h.cfg.Health.Ready()
		}
		if !s.begun {
			answered, unsure := h.onward(s.w, r, err)
			switch {
			case answered:
				return false
			case unsure == nil:
				s.absent(r, id)
				return false
			case err == nil:
				s.tell(news{err: unsure})
				return false
			}
		}
		if err == nil { // not here after all: the client asks anew, and is sent on
			return false
		}
		if s.tell(news{err: err}); s.finished || !s.pause(r.Context()) {
			return false
		}
	}
}

// absent answers for a session that runs nowhere.
func (s *stream) absent(r *http.Request, id string) {
	ended, ok := s.h.endedSession(r, id)
	switch {
	case !ok:
		s.h.notFound(s.w, id)
	case s.hadFinal && s.shown >= ended.Position: // it has been told: this ends the reconnecting of an EventSource
		s.w.WriteHeader(http.StatusNoContent)
	default:
		s.tell(news{final: &ended})
	}
}

// pause waits for the next look; false: it is over.
func (s *stream) pause(ctx context.Context) bool {
	t := time.NewTimer(s.h.hub.every)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.h.hub.closed:
	}
	return false
}

// follow tells what the hub finds out until the session has ended, the client is gone, or the engine stops.
func (s *stream) follow(ctx context.Context) {
	s.h.hub.add(s)
	defer s.h.hub.remove(s)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for !s.finished {
		select {
		case n := <-s.news:
			s.tell(n)
		case <-beat.C:
			s.send(": heartbeat\n\n")
		case <-ctx.Done():
			return
		case <-s.h.hub.closed:
			return
		}
	}
}

// tell sends an event if n is news to the client. Never an older state after a newer one (I9): what comes with a position
// below what was shown, by whatever engine, is held back.
func (s *stream) tell(n news) {
	var p price
	switch {
	case n.final != nil:
		p = finalPrice(n.final)
	case n.view != nil:
		p = priceOf(n.view)
	case errors.Is(n.err, engine.ErrElsewhere):
		s.begin()
		s.catchingUp()
		s.finished = true // the client asks anew and is sent to who has it
		return
	}
	s.begin()
	if n.err != nil || p.Position < s.shown && !p.Final {
		s.catchingUp()
		return
	}
	s.behind = time.Time{}
	first := s.last == nil && p.Position > s.shown
	if p.Final || first || s.last != nil && p.differs(s.last) {
		s.event(&p)
	}
	s.last, s.finished = &p, s.finished || p.Final
}

func (s *stream) event(p *price) {
	data, err := json.Marshal(p)
	if err != nil {
		invariant.Bug("event: %v", err) // texts and integers
	}
	s.shown = max(s.shown, p.Position)
	name, id := "price", strconv.FormatInt(s.shown, 10)
	if p.Final {
		name, id = "final", id+finalSuffix
	}
	s.send("event: " + name + "\nid: " + id + "\ndata: " + string(data) + "\n\n")
}

// catchingUp says once that nobody knows now. It has no id: a client that comes back names the last price.
func (s *stream) catchingUp() {
	switch {
	case s.behind.IsZero():
		s.behind = time.Now()
		s.send("event: catching_up\ndata: {\"code\":\"catching_up\"}\n\n")
	case time.Since(s.behind) > catchUpAtMost:
		s.finished = true
	}
}

// begin sends the head of the answer, once.
func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun = true
	head := s.w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // a proxy that gathers answers would keep events back
	s.w.WriteHeader(http.StatusOK)
	s.send("retry: 1000\n\n")
}

// send writes an event or a comment through to the client; one that does not take it in time is dropped.
func (s *stream) send(text string) {
	if s.finished {
		return
	}
	err := s.rc.SetWriteDeadline(time.Now().Add(s.h.hub.slow))
	if errors.Is(err, http.ErrNotSupported) {
		err = nil // a recorder of a test
	}
	if err == nil {
		_, err = s.w.Write([]byte(text))
	}
	if err == nil {
		err = s.rc.Flush()
	}
	if err != nil {
		s.finished = true
		s.h.cfg.Logger.Debug("a stream ends: the client is gone, or slow", "error", err)
	}
}
