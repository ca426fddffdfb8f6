package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/loadgen"
)

// doorsNetwork is small, and its sessions last long.
func doorsNetwork(t *testing.T) (n *loadgen.Network, untilMs int64) {
	t.Helper()
	cfg := loadgen.City()
	cfg.Seed, cfg.ChargePoints, cfg.Partitions = 20261130, 300, 4
	cfg.EndMs = cfg.EpochMs + 6*3_600_000
	n, err := loadgen.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n, cfg.EndMs + cfg.TickMs
}

// shownPrice is the data of an event, and the answer of /price.
type shownPrice struct {
	ID        string  `json:"id"`
	Status    string  `json:"status"`
	Incl      *string `json:"incl"`
	EnergyMwh int64   `json:"energy_mwh"`
	Final     bool    `json:"final"`
	Position  int64   `json:"position"`
}

// priceStream follows a session as a browser does: it comes back when the stream ends, and says what it had.
type priceStream struct {
	id, at string // session; the engine that is asked, whoever has it

	mu         sync.Mutex
	last       int64 // position of the newest event; -1: none
	prices     int
	catchingUp int
	connects   int
	final      *shownPrice
	faults     []string
}

// follow reads events until the final one, and returns when ctx ends.
func (p *priceStream) follow(ctx context.Context) {
	for ctx.Err() == nil && !p.read(ctx) {
		time.Sleep(200 * time.Millisecond)
	}
	<-ctx.Done()
}

// read reads one stream; true: there was the final event.
func (p *priceStream) read(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.at+"/v1/sessions/"+p.id+"/price", nil)
	if err != nil {
		return false
	}
	r.Header.Set("Accept", "text/event-stream")
	p.mu.Lock()
	p.connects++
	if p.last >= 0 {
		r.Header.Set("Last-Event-ID", strconv.FormatInt(p.last, 10))
	}
	p.mu.Unlock()
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	event := map[string]string{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if text := lines.Text(); text != "" {
			field, value, _ := strings.Cut(text, ": ")
			event[field] = value
			continue
		}
		if p.see(event) {
			return true
		}
		event = map[string]string{}
	}
	return false
}

func (p *priceStream) see(event map[string]string) (over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if event["event"] == "catching_up" {
		p.catchingUp++
	}
	if event["event"] != "price" && event["event"] != "final" {
		return false
	}
	var got shownPrice
	text, _ := strings.CutSuffix(event["id"], ".final")
	id, err := strconv.ParseInt(text, 10, 64)
	if jerr := json.Unmarshal([]byte(event["data"]), &got); err != nil || jerr != nil || got.ID != p.id {
		p.faults = append(p.faults, fmt.Sprintf("%v: %v, %v", event, err, jerr))
		return false
	}
	if id < p.last {
		p.faults = append(p.faults, fmt.Sprintf("position %d after %d", id, p.last))
	}
	p.prices++
	p.last = max(p.last, id)
	if got.Final {
		p.final = &got
	}
	return got.Final
}

// sentOn asks an engine and follows nothing: where does it send the question?
func sentOn(t *testing.T, e *engineNode, path string) (status int, host string) {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get("http://" + e.api + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, to.Host
}

// running are sessions of an engine, the dearest.
func (e *engineNode) running(n int) []runningSession {
	var list struct {
		Sessions []runningSession `json:"sessions"`
	}
	e.get("/v1/sessions?dearest="+strconv.Itoa(n), &list)
	return list.Sessions
}

// TestAnyEngineAnswers: two engines answer for each other's sessions, by every name that they have. Prices are followed
// through one while the other is killed for good: streams go on behind a catching_up, never with an older state, and each
// ends with the final price, which the store has.
func TestAnyEngineAnswers(t *testing.T) {
	s := newScene(t, "doors")
	n, untilMs := doorsNetwork(t)
	partitions := n.Config().Partitions
	sums := n.Sums(untilMs, 15*60_000)
	total := sums.Readings + sums.Duplicates
	more := []string{"  snapshot_replay: 100ms", "  block_age_max: 1s", "  blocks_per_second: 100", "  stop_timeout: 60s"}
	a, b := s.engine("a", "protobuf", partitions, more...), s.engine("b", "protobuf", partitions, more...)
	s.must("migrate", "--config", a.config)
	s.loadReference(n, a.config)
	a.start()
	b.start()
	client := s.kafkaClient()
	s.settled("two engines share the partitions", partitions, a, b)
	s.send(n, newProducer(t, client, s.readingsTopic(), partitions), 240)
	s.awaitDurable(15, total, a, b)

	for _, x := range []struct{ has, asked *engineNode }{{a, b}, {b, a}} {
		answers := 0
		s.await("engine "+x.asked.id+" answers for sessions of "+x.has.id, time.Minute, runningEngines(a, b), func() (bool, string) {
			for _, one := range x.has.running(8) {
				for _, path := range []string{one.ID, url.PathEscape(one.ChargePoint + ":" + one.Transaction), one.ID + "/price", one.ID + "?charge_point=" + url.QueryEscape(one.ChargePoint)} {
					status, host := sentOn(t, x.asked, "/v1/sessions/"+path)
					var got runningSession
					code, _ := x.asked.get("/v1/sessions/"+path, &got)
					switch {
					case status == http.StatusTemporaryRedirect && host != x.has.api:
						t.Errorf("%s: sent on to %s, want %s", path, host, x.has.api)
					case status == http.StatusTemporaryRedirect && code == http.StatusOK && got.ID == one.ID:
						answers++ // else it has ended by now, or the group is busy
					}
				}
			}
			return answers >= 16, fmt.Sprintf("%d answers", answers)
		})
	}
	if code, body := b.get("/v1/sessions/nobody-has-this", nil); code != http.StatusNotFound {
		t.Errorf("a session that nobody has: %d %s", code, body)
	}

	var streams []*priceStream
	for _, one := range append(a.running(6), b.running(2)...) {
		p := &priceStream{id: one.ID, at: b.api, last: -1}
		streams = append(streams, p)
		ctx, cancel := context.WithCancel(s.ctx)
		done := make(chan struct{})
		go func() { defer close(done); p.follow(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	s.await("prices through b", time.Minute, runningEngines(a, b), func() (bool, string) {
		events, followed := 0, 0
		for _, p := range streams {
			p.mu.Lock()
			if events += p.prices; p.prices > 1 {
				followed++
			}
			p.mu.Unlock()
		}
		return len(streams) > 4 && followed > len(streams)/2, fmt.Sprintf("%d events of %d sessions", events, len(streams))
	})
	a.kill()
	if code, _ := b.get("/v1/sessions/nobody-has-this", nil); code == http.StatusNotFound {
		t.Error("b says 404 while the engine is gone that may have it")
	}
	s.must("leave", "--config", b.config, "--engine", "a")
	s.settled("one engine has all partitions", partitions, b)
	s.awaitDurable(100, total, b)
	s.await("the end of every session that is followed", 2*time.Minute, runningEngines(b), func() (bool, string) {
		ended := 0
		for _, p := range streams {
			p.mu.Lock()
			if p.final != nil {
				ended++
			}
			p.mu.Unlock()
		}
		return ended == len(streams), fmt.Sprintf("%d of %d", ended, len(streams))
	})
	caughtUp := 0
	for _, p := range streams {
		p.mu.Lock()
		caughtUp += p.catchingUp
		t.Logf("session %s: %d prices, %d times catching_up, %d connections, final %s %s", p.id, p.prices, p.catchingUp, p.connects, *p.final.Incl, p.final.Status)
		for _, f := range p.faults {
			t.Errorf("session %s: %s", p.id, f)
		}
		var now shownPrice
		if code, body := b.get("/v1/sessions/"+p.id+"/price", &now); code != http.StatusOK || !now.Final || *now.Incl != *p.final.Incl || now.EnergyMwh != p.final.EnergyMwh {
			t.Errorf("session %s ended with %+v, then: %d %s", p.id, p.final, code, body)
		}
		p.mu.Unlock()
	}
	if caughtUp == 0 {
		t.Error("nobody heard catching_up, though an engine was killed")
	}
	b.stop()
}
