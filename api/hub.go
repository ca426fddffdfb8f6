package api

import (
	"context"
	"sync"
	"time"

	"github.com/wattline/wattline/engine"
)

// hub asks for the prices of all streams together: one question to a shard for 64 of them, once a second, however many
// clients there are (H6). It has a goroutine while there are streams.
type hub struct {
	cfg   *Config
	every time.Duration // between two looks
	slow  time.Duration // until a client is dropped

	mu      sync.Mutex
	open    int // streams that were let in
	streams map[*stream]struct{}
	running bool
	closed  chan struct{}
	over    bool
	done    sync.WaitGroup
}

// perQuestion is how many sessions a shard is asked for between two batches: 0.1 ms (BenchmarkPrices in engine).
const perQuestion = 64

// lookWithin bounds one look.
const lookWithin = 5 * time.Second

func newHub(cfg *Config) *hub {
	return &hub{cfg: cfg, every: priceEvery, slow: slowAfter, streams: map[*stream]struct{}{}, closed: make(chan struct{})}
}

// enter lets one more stream in, unless there are too many or the engine stops.
func (h *hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.open >= h.cfg.MaxStreams {
		return false
	}
	h.open++
	return true
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
}

// count is how many streams are open, for a metric.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

func (h *hub) add(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[s] = struct{}{}
	if !h.running && !h.over {
		h.running = true
		h.done.Go(h.run)
	}
}

func (h *hub) remove(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// close ends all streams.
func (h *hub) close() {
	h.mu.Lock()
	if !h.over {
		h.over = true
		close(h.closed)
	}
	h.mu.Unlock()
	h.done.Wait()
}

// run looks until there is no stream any more.
func (h *hub) run() {
	t := time.NewTicker(h.every)
	defer t.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-t.C:
		case <-h.closed:
			return
		}
		byPartition := map[engine.Partition][]*stream{}
		h.mu.Lock()
		for s := range h.streams {
			byPartition[s.at] = append(byPartition[s.at], s)
		}
		h.running = len(h.streams) > 0
		stop := !h.running
		h.mu.Unlock()
		if stop {
			return
		}
		h.look(ctx, byPartition)
	}
}

// look asks each partition for its streams' sessions, side by side, then the store for those that do not run any more.
func (h *hub) look(ctx context.Context, byPartition map[engine.Partition][]*stream) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	go func() { // a stop does not wait for answers
		select {
		case <-h.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		gone []*stream
	)
	for p, list := range byPartition {
		wg.Go(func() {
			var missing []*stream
			for len(list) > 0 {
				n := min(len(list), perQuestion)
				missing = append(missing, h.ask(ctx, p, list[:n])...)
				list = list[n:]
			}
			mu.Lock()
			defer mu.Unlock()
			gone = append(gone, missing...)
		})
	}
	wg.Wait()
	for len(gone) > 0 {
		n := min(len(gone), perQuestion)
		h.askEnded(ctx, gone[:n])
		gone = gone[n:]
	}
}

// ask hands the streams their sessions' states, and returns those whose sessions do not run any more.
func (h *hub) ask(ctx context.Context, p engine.Partition, list []*stream) (gone []*stream) {
	ids := make([]engine.SessionID, len(list))
	for i, s := range list {
		ids[i] = s.id
	}
	found, err := h.cfg.Sessions.Prices(ctx, p, ids)
	for i, s := range list {
		switch {
		case err != nil:
			s.post(news{err: err})
		case found[i].ID != "":
			s.post(news{view: &found[i]})
		default:
			gone = append(gone, s)
		}
	}
	return gone
}

// askEnded hands streams the end of their sessions. What is not durable yet is asked for again at the next look.
func (h *hub) askEnded(ctx context.Context, list []*stream) {
	if h.cfg.Ended == nil {
		return
	}
	ids := make([]engine.SessionID, len(list))
	for i, s := range list {
		ids[i] = s.id
	}
	ended, err := h.cfg.Ended(ctx, ids)
	if err != nil {
		h.cfg.Logger.Debug("the store does not say which sessions have ended", "error", err)
		return
	}
	byID := map[engine.SessionID]*engine.SessionView{}
	for i := range ended {
		if id, ok := engine.ParseSessionID(ended[i].ID); ok {
			byID[id] = &ended[i]
		}
	}
	for _, s := range list {
		if v := byID[s.id]; v != nil {
			s.post(news{final: v})
		}
	}
}

// post leaves n for the stream; what it has not taken yet is older and replaced.
func (s *stream) post(n news) {
	for {
		select {
		case s.news <- n:
			return
		default:
		}
		select {
		case <-s.news:
		default:
		}
	}
}
