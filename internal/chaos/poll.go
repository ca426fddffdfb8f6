package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// seen is what an engine says of a running session, as far as it is looked at.
type seen struct {
	ID        string `json:"id"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Position  int64  `json:"position"`
	Readings  int64  `json:"readings"`
	EnergyMwh int64  `json:"energy_mwh"`
	Last      string `json:"last"` // a time of fixed width: its order is that of the text
}

// poller follows running sessions at whatever engine answers, and holds every answer against the ones before it: no
// older state is shown after a newer one. It runs in one goroutine.
type poller struct {
	w       *world
	client  http.Client
	r       *rand.Rand
	follow  []string
	last    map[string]seen
	from    map[string]string // who gave it
	answers int
	silent  int // no answer, or 503
	unknown int // 404: ended, or at another engine
	faults  int
}

const follows = 16 // sessions at a time

func newPoller(w *world) *poller {
	return &poller{
		w: w, r: rand.New(rand.NewPCG(w.cfg.Seed, 77)), last: map[string]seen{}, from: map[string]string{},
		client: http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// run asks until ctx ends.
func (p *poller) run(ctx context.Context) {
	for ctx.Err() == nil {
		if len(p.follow) < follows {
			p.find(ctx)
		}
		for i := 0; i < len(p.follow); i++ {
			if !p.ask(ctx, p.follow[i]) {
				p.follow = append(p.follow[:i], p.follow[i+1:]...)
				i--
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func (p *poller) get(ctx context.Context, path string, v any) (engine string, code int) {
	u := p.w.engines[p.r.IntN(len(p.w.engines))]
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+u.api+path, nil)
	if err != nil {
		return u.name, 0
	}
	res, err := p.client.Do(req)
	if err != nil {
		return u.name, 0
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(v) != nil {
		return u.name, 0 // it was killed while it spoke
	}
	return u.name, res.StatusCode
}

// find takes up more sessions: the dearest of some engine.
func (p *poller) find(ctx context.Context) {
	var list struct{ Sessions []seen }
	if _, code := p.get(ctx, "/v1/sessions?dearest=20", &list); code != http.StatusOK {
		return
	}
	for _, s := range list.Sessions {
		known := false
		for _, id := range p.follow {
			known = known || id == s.ID
		}
		if !known && len(p.follow) < follows {
			p.follow = append(p.follow, s.ID)
		}
	}
}

// ask asks for one session; false: it is not to be followed any longer. An engine that does not have it says 404, as one
// does once it has ended; so it is given up now and then, and found again if it lives.
func (p *poller) ask(ctx context.Context, id string) bool {
	var s seen
	who, code := p.get(ctx, "/v1/sessions/"+id, &s)
	switch code {
	case http.StatusOK:
		p.answers++
		p.judge(who, &s)
		return true
	case http.StatusNotFound:
		p.unknown++
		return p.r.IntN(4*len(p.w.engines)) > 0
	}
	p.silent++
	return true
}

func (p *poller) judge(who string, s *seen) {
	b, ok := p.last[s.ID]
	if ok {
		back := s.Topic != b.Topic || s.Partition != b.Partition || s.Offset < b.Offset || s.Position < b.Position ||
			s.Readings < b.Readings || s.EnergyMwh < b.EnergyMwh || s.Last < b.Last
		if back {
			if p.faults++; p.faults <= 20 {
				p.w.log.fail("%s shows an older state of session %s than %s did before: %s, then %s", who, s.ID, p.from[s.ID], b, *s)
			}
			if s.Offset < b.Offset {
				return // the newer one stays the measure
			}
		}
	}
	p.last[s.ID], p.from[s.ID] = *s, who
}

func (s seen) String() string {
	return fmt.Sprintf("%s/%d offset %d position %d readings %d energy %d mWh last %s", s.Topic, s.Partition, s.Offset, s.Position, s.Readings, s.EnergyMwh, s.Last)
}
