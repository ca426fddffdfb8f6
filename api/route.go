package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wattline/wattline/engine"
)

// Group is the engines that share the partitions, as the assignment of a generation tells them to each other.
type Group struct {
	Generation int32
	Self       string // name of this engine
	// Members are all of them in one order, the same at each. Who has no address is not reached.
	Members []Member
}

// Member is an engine of a group.
type Member struct {
	Name       string
	Addr       string // host:port of its API; "" where it has none
	Partitions []engine.Partition
}

// A session's id does not say its partition: it is a keyed hash, and its form can never change. So a question about a
// session that is not here goes on to another engine (307), from one to the next, until one has it or all were asked
// (H4). The way so far is in the query parameter walk: the generation, the index of the engine that was asked first, how
// many were left behind since, and `u` where one of them could not be sure. Within a generation partitions do not move, so
// that all were asked means something; in another generation the answer is 503. The number only grows, below that of the
// engines: no way is a loop, whoever wrote it. Where the question names the charge point, and the configuration the
// partitioner, the first step leads to the owner, and is the last one (`o`).
type walk struct {
	generation int32
	start      int
	steps      int
	unsure     bool // somebody on the way could not say that he does not have it
	owner      bool // this is the owner: nobody else has it
}

func (w walk) String() string {
	text := fmt.Sprintf("%d.%d.%d", w.generation, w.start, w.steps)
	if w.unsure {
		text += ".u"
	}
	if w.owner {
		text += ".o"
	}
	return text
}

// parseWalk reads the parameter. ok is false for what no engine wrote.
func parseWalk(text string) (w walk, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) < 3 || len(parts) > 5 {
		return w, false
	}
	generation, err1 := strconv.ParseInt(parts[0], 10, 32)
	start, err2 := strconv.ParseUint(parts[1], 10, 16)
	steps, err3 := strconv.ParseUint(parts[2], 10, 16)
	w = walk{generation: int32(generation), start: int(start), steps: int(steps)}
	for _, flag := range parts[3:] {
		switch flag {
		case "u":
			w.unsure = true
		case "o":
			w.owner = true
		default:
			return w, false
		}
	}
	return w, errors.Join(err1, err2, err3) == nil && w.String() == text
}

// Errors of a way that ends without an answer; both pass by themselves.
var (
	errOtherGeneration = fmt.Errorf("%w: the group dealt its partitions anew while engines were asked", engine.ErrCatchingUp)
	errNotAllAsked     = fmt.Errorf("%w: not every engine of the group could be asked", engine.ErrCatchingUp)
)

// onward sends a question that found nothing here to the next engine, and says true when it has answered. unsure says
// that this engine does not know: it is nil where it surely does not have it. With false, the error is why nobody may be
// sure; nil means that no engine has it.
func (h *handler) onward(w http.ResponseWriter, r *http.Request, unsure error) (answered bool, err error) {
	g := h.cfg.Group()
	n, self := len(g.Members), slices.IndexFunc(g.Members, func(m Member) bool { return m.Name == g.Self })
	text := r.URL.Query().Get("walk")
	if errors.Is(unsure, engine.ErrRegrouping) || text == "" && (n < 2 || self < 0) {
		return false, unsure
	}
	way := walk{generation: g.Generation, start: self}
	if text != "" {
		var ok bool
		way, ok = parseWalk(text)
		if !ok || self < 0 || way.generation != g.Generation || way.start >= n || way.steps >= n || !way.owner && (way.start+way.steps)%n != self {
			return false, errors.Join(unsure, errOtherGeneration)
		}
	} else if owner, known := h.owner(r, &g); known {
		if owner == self {
			return false, unsure
		}
		way.owner = true
		if m := &g.Members[owner]; h.reach.reaches(r.Context(), m.Addr) {
			h.redirect(w, r, m, way)
			return true, nil
		}
		return false, fmt.Errorf("%w: engine %s has its partition and does not answer", engine.ErrCatchingUp, g.Members[owner].Name)
	}
	if way.owner {
		return false, unsure
	}
	way.unsure = way.unsure || unsure != nil
	for way.steps++; way.steps < n; way.steps++ {
		m := &g.Members[(way.start+way.steps)%n]
		if h.reach.reaches(r.Context(), m.Addr) {
			h.redirect(w, r, m, way)
			return true, nil
		}
		way.unsure = true
	}
	if way.unsure && unsure == nil {
		unsure = errNotAllAsked
	}
	return false, unsure
}

// owner is the index of the one member that can have what the question is about, if it says a charge point.
func (h *handler) owner(r *http.Request, g *Group) (index int, known bool) {
	name := r.URL.Query().Get("charge_point")
	if id := r.PathValue("id"); name == "" && strings.Count(id, ":") == 1 {
		name, _, _ = strings.Cut(id, ":")
	}
	if name == "" || h.cfg.PartitionsOf == nil {
		return 0, false
	}
	index = -1
	for _, p := range h.cfg.PartitionsOf(name) {
		i := slices.IndexFunc(g.Members, func(m Member) bool { return slices.Contains(m.Partitions, p) })
		if i < 0 || index >= 0 && index != i {
			return 0, false
		}
		index = i
	}
	return index, index >= 0
}

// redirect sends the same question to m. The address is of the group's own data: who can be a member is Kafka's business.
func (h *handler) redirect(w http.ResponseWriter, r *http.Request, m *Member, way walk) {
	query := r.URL.Query()
	query.Set("walk", way.String())
	to := url.URL{Scheme: h.cfg.scheme(), Host: m.Addr, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: query.Encode()}
	w.Header().Set("Location", to.String())
	h.write(w, http.StatusTemporaryRedirect, failure{
		Error: "it is not running at this engine", Code: "elsewhere", Hint: "ask engine " + m.Name + " at the address in Location",
	})
}

func (c *Config) scheme() string {
	if c.TLS != nil {
		return "https"
	}
	return "http"
}

// How long it takes to call an engine unreachable, and for how long that, or that it is not, is believed.
const (
	dialTimeout = 300 * time.Millisecond
	dialBelief  = time.Second
)

// reach knows which engines take connections, so that nobody is sent to one that is gone.
type reach struct {
	mu    sync.Mutex
	known map[string]reached
}

type reached struct {
	at time.Time
	ok bool
}

func (d *reach) reaches(ctx context.Context, addr string) bool {
	if addr == "" {
		return false
	}
	d.mu.Lock()
	was, known := d.known[addr]
	d.mu.Unlock()
	if known && time.Since(was.at) < dialBelief {
		return was.ok
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close()
	} else if ctx.Err() != nil {
		return false // the client is gone: this says nothing
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) > 1000 { // addresses come and go with engines
		d.known = map[string]reached{}
	}
	d.known[addr] = reached{time.Now(), err == nil}
	return err == nil
}
