package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
)

// live is an engine whose sessions the test changes.
type live struct {
	mu        sync.Mutex
	views     map[engine.SessionID]engine.SessionView
	err       error // of all questions
	ended     map[engine.SessionID]engine.SessionView
	questions int
}

func newLive(views ...engine.SessionView) *live {
	l := &live{views: map[engine.SessionID]engine.SessionView{}, ended: map[engine.SessionID]engine.SessionView{}}
	for _, v := range views {
		id, _ := engine.ParseSessionID(v.ID)
		l.views[id] = v
	}
	return l
}

func (l *live) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *live) Session(_ context.Context, text string) ([]engine.SessionView, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, _ := engine.ParseSessionID(text)
	if v, ok := l.views[id]; ok && l.err == nil {
		return []engine.SessionView{v}, nil
	}
	return nil, l.err
}

func (l *live) Dearest(context.Context, int) ([]engine.SessionView, error) { return nil, nil }

func (l *live) Prices(_ context.Context, _ engine.Partition, ids []engine.SessionID) ([]engine.SessionView, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.questions++
	if l.err != nil {
		return nil, l.err
	}
	out := make([]engine.SessionView, len(ids))
	for i, id := range ids {
		out[i] = l.views[id]
	}
	return out, nil
}

func (l *live) Ended(_ context.Context, ids []engine.SessionID) (list []engine.SessionView, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if v, ok := l.ended[id]; ok {
			list = append(list, v)
		}
	}
	return list, nil
}

// recorder is a client that takes everything at once.
type recorder struct {
	*httptest.ResponseRecorder
	mu sync.Mutex
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ResponseRecorder.Write(b)
}

// take returns what came since the last call, an event a line: "event id incl status", "catching_up", or "heartbeat".
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for block := range strings.SplitSeq(r.Body.String(), "\n\n") {
		var name, id, data string
		for line := range strings.Lines(block) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch field {
			case "event":
				name = value
			case "id":
				id = value
			case "data":
				data = value
			case "":
				name = value
			}
		}
		var p price
		_ = json.Unmarshal([]byte(data), &p) // a comment has none
		switch {
		case name == "price" || name == "final":
			out = append(out, fmt.Sprintf("%s %s %s %s", name, id, *p.Incl, p.Status))
		case name != "":
			out = append(out, name)
		}
	}
	r.Body.Reset()
	return out
}

// client follows a session in a bubble of synctest.
type client struct {
	*recorder
	cancel context.CancelFunc
	over   chan struct{}
}

func follow(h http.Handler, id, last string) *client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{&recorder{ResponseRecorder: httptest.NewRecorder()}, cancel, make(chan struct{})}
	r := httptest.NewRequest(http.MethodGet, "/v1/sessions/"+id+"/price", nil).WithContext(ctx)
	r.Header.Set("Accept", "text/html, text/event-stream;q=0.9")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	go func() {
		defer close(c.over)
		h.ServeHTTP(c, r)
	}()
	return c
}

func (c *client) ended() bool {
	synctest.Wait()
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// at is the example at an offset with a price.
func at(offset, incl int64) engine.SessionView {
	v := example()
	v.Offset, v.Total.InclMicros = offset, incl
	return v
}

func (l *live) handler(group ...Member) http.Handler {
	e := &fake{}
	return Handler(Config{Sessions: l, Health: e, Ended: l.Ended, MaxStreams: 600, Group: func() Group { return Group{Generation: 1, Self: "a", Members: group} }})
}

// TestStream: a price when it changes, at most one a second, comments in between, a catch-up that is told, nothing older,
// and the end from the store.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(at(100, 1_000_000))
		id, _ := engine.ParseSessionID(example().ID)
		c := follow(l.handler(), example().ID, "")
		expect := func(what string, after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if d := cmp.Diff(want, c.take()); d != "" {
				t.Errorf("%s (-want +got)\n%s", what, d)
			}
		}
		show := func(offset, incl int64) { l.set(func() { l.views[id] = at(offset, incl) }) }
		expect("the first", 10*time.Millisecond, "price 6553599 1.000000 ACTIVE")
		show(101, 1_000_000)
		expect("another offset is no other price", 2*time.Second)
		for i := range int64(20) {
			show(102+i, 2_000_000+i)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if got := c.take(); len(got) < 1 || len(got) > 3 {
			t.Errorf("%d events in two seconds: %v", len(got), got)
		}
		show(200, 3_000_000)
		expect("", time.Second, "price 13107199 3.000000 ACTIVE")
		show(150, 9_000_000)
		expect("an older state", time.Second, "catching_up")
		l.set(func() { l.err = engine.ErrCatchingUp })
		expect("a takeover", 3*time.Second)
		l.set(func() { l.err = nil })
		show(201, 3_000_000)
		expect("the same price again", time.Second)
		expect("", 15*time.Second, "heartbeat")
		l.set(func() { delete(l.views, id) })
		expect("it has ended, and is not durable", 3*time.Second)
		over := at(0, 4_000_000)
		over.Status, over.Position = engine.StatusCompleted, 201<<16+3
		l.set(func() { l.ended[id] = over })
		expect("the end", time.Second, "final 13172739.final 4.000000 COMPLETED")
		if !c.ended() {
			t.Error("the stream goes on behind its end")
		}
		if c.Header().Get("Content-Type") != "text/event-stream" || c.Code != http.StatusOK {
			t.Errorf("%d %v", c.Code, c.Header())
		}
		again := follow(l.handler(), example().ID, "13172739.final")
		if !again.ended() || again.Code != http.StatusNoContent {
			t.Errorf("who has had the end comes again: %d %s", again.Code, again.Body)
		}
		late := follow(l.handler(), example().ID, "13172739") // it had the state of the position at which the session was closed
		if !late.ended() || cmp.Diff([]string{"final 13172739.final 4.000000 COMPLETED"}, late.take()) != "" {
			t.Errorf("who has not: %d %s", late.Code, late.Body)
		}
		time.Sleep(2 * time.Second) // the hub's goroutine sees that nobody is left
	})
}

// TestStreamReconnects: what a client says it had is never undercut, and is not repeated.
func TestStreamReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, _ := engine.ParseSessionID(example().ID)
		l := newLive(at(100, 1_000_000))
		same := follow(l.handler(), example().ID, "6553599")
		ahead := follow(l.handler(), example().ID, "6619135") // it was shown at 101, by an engine that is gone
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if got := same.take(); got != nil {
			t.Errorf("repeated: %v", got)
		}
		if d := cmp.Diff([]string{"catching_up"}, ahead.take()); d != "" {
			t.Error(d)
		}
		l.set(func() { l.views[id] = at(102, 2_000_000) })
		time.Sleep(time.Second)
		synctest.Wait()
		for _, c := range []*client{same, ahead} {
			if d := cmp.Diff([]string{"price 6684671 2.000000 ACTIVE"}, c.take()); d != "" {
				t.Error(d)
			}
			c.cancel()
			if !c.ended() {
				t.Error("the client is gone and the stream goes on")
			}
		}
		bogus := follow(l.handler(), example().ID, "9223372036854775807")
		time.Sleep(2 * time.Minute)
		if !bogus.ended() || cmp.Diff([]string{"catching_up"}, bogus.take()[:1]) != "" {
			t.Error("who says an impossible position waits for ever")
		}
		time.Sleep(2 * time.Second) // the hubs' goroutines see that nobody is left
	})
}

// TestStreamTakeover: who comes while nobody knows waits for the price; who follows what leaves is sent away to ask anew.
func TestStreamTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(at(100, 1_000_000))
		l.err = engine.ErrCatchingUp
		c := follow(l.handler(), example().ID, "")
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if d := cmp.Diff([]string{"catching_up"}, c.take()); d != "" {
			t.Error(d)
		}
		l.set(func() { l.err = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		if d := cmp.Diff([]string{"price 6553599 1.000000 ACTIVE"}, c.take()); d != "" {
			t.Error(d)
		}
		l.set(func() { l.err = engine.ErrElsewhere })
		time.Sleep(time.Second)
		if !c.ended() || cmp.Diff([]string{"catching_up"}, c.take()) != "" {
			t.Error("the stream outlives its partition here")
		}
		// Everybody else is sure, this engine is not: it waits, and then it is not here.
		l.set(func() { l.err = engine.ErrCatchingUp; clear(l.views) })
		c = follow(l.handler(), example().ID, "")
		time.Sleep(2 * time.Second)
		l.set(func() { l.err = nil })
		time.Sleep(2 * time.Second)
		if !c.ended() || cmp.Diff([]string{"catching_up"}, c.take()) != "" {
			t.Error("it waits for what is nowhere")
		}
		c = follow(l.handler(), example().ID, "")
		if !c.ended() || c.Code != http.StatusNotFound {
			t.Errorf("%d %s", c.Code, c.Body)
		}
		// The others can not be asked.
		c = follow(l.handler(Member{Name: "a", Addr: "x"}, Member{Name: "b"}), example().ID, "")
		if !c.ended() || cmp.Diff([]string{"catching_up"}, c.take()) != "" {
			t.Errorf("%d %s", c.Code, c.Body)
		}
		time.Sleep(2 * time.Second)
	})
}

// TestHead: a question for the head alone has an end.
func TestHead(t *testing.T) {
	e := &fake{found: []engine.SessionView{example()}}
	r := httptest.NewRequest(http.MethodHead, "/v1/sessions/x/price", nil)
	r.Header.Set("Accept", "text/event-stream")
	w := httptest.NewRecorder()
	Handler(Config{Sessions: e, Health: e, MaxStreams: 1}).ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// scanned is an engine that takes its time to look at all sessions.
type scanned struct {
	*fake
	mu        sync.Mutex
	now, most int
}

func (s *scanned) Session(ctx context.Context, id string) ([]engine.SessionView, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	return s.fake.Session(ctx, id)
}

// TestScans: questions that look at all sessions wait for each other, those by an id do not, and who gives up is let go.
func TestScans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &scanned{fake: &fake{found: []engine.SessionView{example()}}}
		routes := Handler(Config{Sessions: e, Health: e})
		ask := func(ctx context.Context, id string) *sync.WaitGroup {
			var wg sync.WaitGroup
			wg.Go(func() {
				routes.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/sessions/"+id, nil).WithContext(ctx))
			})
			return &wg
		}
		var all []*sync.WaitGroup
		for range 10 {
			all = append(all, ask(t.Context(), "42"))
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := ask(ctx, "42")
		synctest.Wait()
		began := time.Now()
		ask(t.Context(), example().ID).Wait()
		cancel()
		gone.Wait()
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("a question by id took %v", took)
		}
		for _, wg := range all {
			wg.Wait()
		}
		if e.most != scans+1 || time.Since(began) < 4*time.Second {
			t.Errorf("%d at a time, all in %v", e.most, time.Since(began))
		}
	})
}

// TestManyStreams: H6. A shard is asked once for 64 of them, no more are let in than allowed, and a stop ends them all.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(at(100, 1_000_000))
		e := &fake{}
		routes, h := newHandler(Config{Sessions: l, Health: e, MaxStreams: 600})
		var list []*client
		for range 600 {
			list = append(list, follow(routes, example().ID, ""))
		}
		synctest.Wait()
		more := follow(routes, example().ID, "")
		if !more.ended() || more.Code != http.StatusServiceUnavailable || more.Header().Get("Retry-After") == "" || !strings.Contains(more.Body.String(), "too_many_streams") {
			t.Errorf("%d %s", more.Code, more.Body)
		}
		metrics := httptest.NewRecorder()
		routes.ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if !strings.Contains(metrics.Body.String(), "\nwattline_price_streams 600\n") {
			t.Errorf("streams are not counted: %s", metrics.Body)
		}
		time.Sleep(10*time.Second + 500*time.Millisecond)
		l.set(func() {
			if l.questions != 100 {
				t.Errorf("%d questions for 600 streams in 10 s, want 100", l.questions)
			}
		})
		list[0].cancel()
		synctest.Wait()
		if c := follow(routes, example().ID, ""); c.ended() {
			t.Error("a place that was left is not given again")
		} else {
			list[0] = c
		}
		h.hub.close()
		for _, c := range list {
			if !c.ended() {
				t.Fatal("a stream outlives the stop")
			}
		}
		if c := follow(routes, example().ID, ""); !c.ended() || c.Code != http.StatusServiceUnavailable {
			t.Errorf("%d %s", c.Code, c.Body)
		}
	})
}

// TestStopEndsStreams: an orderly stop of the server does not wait for who follows prices.
func TestStopEndsStreams(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, e := newLive(at(100, 1_000_000)), &fake{}
	s := Serve(ln, Config{Sessions: l, Health: e, MaxStreams: 1})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+"/v1/sessions/"+example().ID+"/price", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// slowWriter is a client that takes nothing: its writes end with the deadline.
type slowWriter struct {
	header   http.Header
	deadline time.Time
	took     int
	after    int // writes that it takes
}

func (w *slowWriter) Header() http.Header                { return w.header }
func (w *slowWriter) WriteHeader(int)                    {}
func (w *slowWriter) FlushError() error                  { return nil }
func (w *slowWriter) SetWriteDeadline(t time.Time) error { w.deadline = t; return nil }

func (w *slowWriter) Write(b []byte) (int, error) {
	if w.took++; w.took <= w.after {
		return len(b), nil
	}
	time.Sleep(time.Until(w.deadline))
	return 0, errors.New("i/o timeout")
}

// TestSlowReader: who does not take an event within 10 s is dropped, and holds up nobody meanwhile.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(at(100, 1_000_000))
		id, _ := engine.ParseSessionID(example().ID)
		routes := l.handler()
		w := &slowWriter{header: http.Header{}, after: 2}
		r := httptest.NewRequest(http.MethodGet, "/v1/sessions/"+example().ID+"/price", nil)
		r.Header.Set("Accept", "text/event-stream")
		over := make(chan struct{})
		go func() {
			defer close(over)
			routes.ServeHTTP(w, r)
		}()
		quick := follow(routes, example().ID, "")
		time.Sleep(500 * time.Millisecond) // between two looks
		for i := range int64(5) {
			time.Sleep(time.Second)
			l.set(func() { l.views[id] = at(101+i, 2_000_000+i) })
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := quick.take(); len(got) != 6 {
			t.Errorf("the quick one got %v", got)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		select {
		case <-over:
		default:
			t.Error("the slow one is still there")
		}
		quick.cancel()
		time.Sleep(2 * time.Second)
	})
}
