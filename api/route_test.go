package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/wattline/wattline/engine"
)

// cluster is engines that know each other.
type cluster struct {
	t          *testing.T
	engines    []*fake
	servers    []*httptest.Server
	generation int32
	asked      []string // in order, "engine path?query"
	partitions func(string) []engine.Partition
}

func newCluster(t *testing.T, engines ...*fake) *cluster {
	t.Helper()
	c := &cluster{t: t, engines: engines, generation: 7}
	for i, e := range engines {
		cfg := Config{Sessions: e, Health: e, Group: func() Group { return c.group(i) }, MaxStreams: 10}
		cfg.PartitionsOf = func(name string) []engine.Partition {
			if c.partitions == nil {
				return nil
			}
			return c.partitions(name)
		}
		routes := Handler(cfg)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.asked = append(c.asked, fmt.Sprintf("%d %s", i, r.URL))
			routes.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		c.servers = append(c.servers, s)
	}
	return c
}

func (c *cluster) group(self int) Group {
	g := Group{Generation: c.generation, Self: fmt.Sprintf("e%d", self)}
	for i, s := range c.servers {
		g.Members = append(g.Members, Member{
			Name: fmt.Sprintf("e%d", i), Addr: strings.TrimPrefix(s.URL, "http://"), Partitions: []engine.Partition{{Topic: "readings", Number: int32(i)}},
		})
	}
	return g
}

// ask asks engine i and follows.
func (c *cluster) ask(i int, path string) (status int, body string) {
	c.t.Helper()
	c.asked = nil
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(c.servers[i].URL + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// dead is an address at which nobody listens.
func dead(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// TestAnyEngine: whoever is asked, the one that has the session answers; who nobody has is nowhere, and each was asked once.
func TestAnyEngine(t *testing.T) {
	one := example()
	for has := range 4 {
		engines := []*fake{{}, {}, {}, {}}
		engines[has].found = []engine.SessionView{one}
		c := newCluster(t, engines...)
		for at := range engines {
			status, body := c.ask(at, "/v1/sessions/"+one.ID+"/price?x=1%2B1")
			if status != http.StatusOK || !strings.Contains(body, one.ID) || len(c.asked) != (has-at+4)%4+1 {
				t.Errorf("asked %d, %d has it: status %d after %v: %s", at, has, status, c.asked, body)
			}
			if last := c.asked[len(c.asked)-1]; !strings.Contains(last, "x=1%2B1") {
				t.Errorf("the question was changed: %s", last)
			}
		}
	}
	c := newCluster(t, &fake{}, &fake{}, &fake{})
	if status, body := c.ask(1, "/v1/sessions/CP%2F1:42"); status != http.StatusNotFound || len(c.asked) != 3 || !strings.Contains(c.asked[2], "CP%2F1:42?walk=7.1.2") {
		t.Errorf("status %d after %v: %s", status, c.asked, body)
	}
}

// TestNotSure: H2. As long as one engine does not know, or can not be asked, nobody says 404; who has it answers all the same.
func TestNotSure(t *testing.T) {
	one := example()
	f := func(want int, part string, asked int, engines ...*fake) {
		t.Helper()
		c := newCluster(t, engines...)
		if status, body := c.ask(0, "/v1/sessions/"+one.ID); status != want || !strings.Contains(body, part) || len(c.asked) != asked {
			t.Errorf("status %d after %v: %s", status, c.asked, body)
		}
	}
	behind := &fake{err: engine.ErrCatchingUp}
	f(http.StatusServiceUnavailable, `"code":"catching_up"`, 3, behind, &fake{}, &fake{})
	f(http.StatusServiceUnavailable, `"code":"catching_up"`, 3, &fake{}, behind, &fake{})
	f(http.StatusServiceUnavailable, `"code":"catching_up"`, 3, &fake{}, &fake{}, behind)
	f(http.StatusOK, one.ID, 3, behind, &fake{}, &fake{found: []engine.SessionView{one}})
	f(http.StatusServiceUnavailable, "not every engine", 2, &fake{ready: errors.New("halted")}, &fake{})
	f(http.StatusServiceUnavailable, "partitions anew", 1, &fake{err: engine.ErrRegrouping}, &fake{found: []engine.SessionView{one}})
}

// TestGone: an engine that does not take connections is left out, and nobody is sure any more.
func TestGone(t *testing.T) {
	one := example()
	e := &fake{}
	gone := dead(t)
	g := Group{Generation: 1, Self: "a", Members: []Member{{Name: "a", Addr: "x"}, {Name: "b", Addr: gone}, {Name: "c"}}}
	cfg := Config{Sessions: e, Health: e, Group: func() Group { return g }}
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		Handler(cfg).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := ask("/v1/sessions/" + one.ID); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "not every engine") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	b := engine.Partition{Topic: "readings", Number: 1}
	g.Members[1].Partitions = []engine.Partition{b}
	cfg.PartitionsOf = func(string) []engine.Partition { return []engine.Partition{b} }
	if w := ask("/v1/sessions/CP1:7"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "engine b has its partition") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	e.found = []engine.SessionView{one}
	if w := ask("/v1/sessions/" + one.ID); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestOwner: who says the charge point is sent to its engine at once, and what that says holds.
func TestOwner(t *testing.T) {
	one := example()
	c := newCluster(t, &fake{}, &fake{}, &fake{found: []engine.SessionView{one}})
	c.partitions = func(name string) []engine.Partition {
		return []engine.Partition{{Topic: "readings", Number: map[string]int32{"CP1": 1, "CP2": 2}[name]}}
	}
	f := func(at int, path string, want, asked int) {
		t.Helper()
		if status, body := c.ask(at, path); status != want || len(c.asked) != asked {
			t.Errorf("%s: status %d after %v: %s", path, status, c.asked, body)
		}
	}
	f(0, "/v1/sessions/CP2:42", http.StatusOK, 2)
	f(0, "/v1/sessions/"+one.ID+"?charge_point=CP2", http.StatusOK, 2)
	f(0, "/v1/sessions/CP1:42", http.StatusNotFound, 2)
	f(1, "/v1/sessions/CP1:42", http.StatusNotFound, 1)
	f(0, "/v1/sessions/CP:1:42", http.StatusOK, 3) // which part is the charge point?
	f(0, "/v1/sessions/"+one.ID, http.StatusOK, 3)
	c.engines[1].err = engine.ErrCatchingUp
	f(0, "/v1/sessions/CP1:42", http.StatusServiceUnavailable, 2)
	c.partitions = func(string) []engine.Partition {
		return []engine.Partition{{Topic: "readings", Number: 1}, {Topic: "readings", Number: 2}}
	}
	f(0, "/v1/sessions/CP1:42", http.StatusOK, 3) // it comes by two topics
}

// TestHostileWalk: whatever stands in the parameter, an engine sends nobody in a circle, nor out of the group, nor says 404
// by it.
func TestHostileWalk(t *testing.T) {
	c := newCluster(t, &fake{}, &fake{})
	f := func(walk string, want int) {
		t.Helper()
		if status, body := c.ask(0, "/v1/sessions/x?walk="+url.QueryEscape(walk)); status != want || len(c.asked) > 2 {
			t.Errorf("%s: status %d after %v: %s", walk, status, c.asked, body)
		}
	}
	for _, bad := range []string{"8.0.0", "7.1.0", "7.0.1", "7.2.0", "7.0.2", "7.-1.1", "7.0", "7.0.0.x", "7.0.0.u.u", "x", "7.0.0.u.o.u", "7.00.0", "7.65536.0", "http://evil/"} {
		f(bad, http.StatusServiceUnavailable)
	}
	f("7.0.0", http.StatusNotFound)
	f("7.1.1", http.StatusNotFound)
	f("7.1.1.u", http.StatusServiceUnavailable)
	f("7.1.1.o", http.StatusNotFound)
	c.generation++ // between two steps
	f("7.1.1", http.StatusServiceUnavailable)
	w := httptest.NewRecorder()
	e := &fake{}
	Handler(Config{Sessions: e, Health: e}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/sessions/x?walk=7.0.1", nil))
	if w.Code != http.StatusServiceUnavailable { // the others have left
		t.Errorf("alone: %d %s", w.Code, w.Body)
	}
}

// TestRedirectKeepsOut: tokens are asked for before anything is said of other engines.
func TestRedirectKeepsOut(t *testing.T) {
	dir := t.TempDir()
	makeToken(t, dir+"/tokens", "me", RoleRead)
	tokens, err := OpenTokens(dir+"/tokens", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, &fake{}, &fake{})
	w := httptest.NewRecorder()
	Handler(Config{Sessions: c.engines[0], Health: c.engines[0], Tokens: tokens, Group: func() Group { return c.group(0) }}).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/sessions/x", nil))
	if w.Code != http.StatusUnauthorized || w.Header().Get("Location") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// FuzzWalk: what is taken is what an engine writes.
func FuzzWalk(f *testing.F) {
	f.Add("7.0.1.u")
	f.Add("7.0.1.u.o")
	f.Fuzz(func(t *testing.T, text string) {
		if w, ok := parseWalk(text); ok && (w.String() != text || w.steps < 0 || w.start < 0) {
			t.Errorf("%q is %+v", text, w)
		}
	})
}

// TestPriceOnce: the plain answer, also of a session that has ended.
func TestPriceOnce(t *testing.T) {
	one := example()
	over := one
	over.Status, over.Position, over.Partition.Number = engine.StatusCompleted, 1_377_370_112, 0
	e := &fake{found: []engine.SessionView{one}}
	cfg := Config{Sessions: e, Health: e, Ended: func(_ context.Context, ids []engine.SessionID) ([]engine.SessionView, error) {
		if len(ids) == 1 && ids[0].String() == one.ID {
			return []engine.SessionView{over}, nil
		}
		return nil, nil
	}}
	ask := func(id string) (int, price, string) {
		w := httptest.NewRecorder()
		Handler(cfg).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/sessions/"+id+"/price", nil))
		var p price
		_ = json.Unmarshal(w.Body.Bytes(), &p) // of a failure it is empty
		return w.Code, p, w.Body.String()
	}
	if code, p, text := ask(one.ID); code != http.StatusOK || *p.Incl != "45.053353" || p.Position != 21_017<<16-1 || p.Final || p.State != "CHARGING" {
		t.Errorf("%d %s", code, text)
	}
	e.found = nil
	if code, p, text := ask(one.ID); code != http.StatusOK || *p.Incl != "45.053353" || p.Position != over.Position || !p.Final || p.Reason != nil || p.Status != "COMPLETED" {
		t.Errorf("%d %s", code, text)
	}
	if code, _, text := ask("765ddfae-5291-bca8-291b-000000000000"); code != http.StatusNotFound {
		t.Errorf("%d %s", code, text)
	}
}
