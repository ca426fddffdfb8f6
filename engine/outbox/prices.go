package outbox

import (
	"context"
	"slices"
	"sync"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// Prices notes which running sessions had a message, so that the shard can tell their prices. It is the shard's.
//
// A session is noted by the first message behind the beginning of the last round: then its last message is not after
// SinceMs. That costs a comparison where a message is taken, and nothing more until the next round.
type Prices struct {
	// SinceMs is the watermark at which the last round began, ms since 1970 UTC; rating.Unknown: nothing is noted.
	SinceMs int64

	noted []snapshot.Key
	due   []snapshot.Key // of the round at hand
}

// NewPrices returns one that notes nothing.
func NewPrices() Prices { return Prices{SinceMs: rating.Unknown} }

// Noted says that there is something for a round.
func (p *Prices) Noted() bool { return len(p.noted) > 0 }

// Due says that the round at hand is not over.
func (p *Prices) Due() bool { return len(p.due) > 0 }

// Touch notes a session.
func (p *Prices) Touch(k snapshot.Key) { p.noted = append(p.noted, k) }

// Begin begins a round with what was noted, at a watermark. The round before is over.
func (p *Prices) Begin(watermarkMs int64) {
	p.SinceMs = watermarkMs
	p.noted, p.due = p.due[:0], p.noted
	slices.SortFunc(p.due, snapshot.Key.Compare)
	p.due = slices.Compact(p.due) // of records with the time of the watermark, or behind it
}

// Take takes the next n keys of the round at most, valid until the next call of Begin.
func (p *Prices) Take(n int) []snapshot.Key {
	n = min(n, len(p.due))
	keys := p.due[:n]
	p.due = p.due[n:]
	return keys
}

// Gate keeps the prices of running sessions from coming after the end of the same session: an end waits while Tell tells
// that session, and what ended is left out of the prices that were made before. An end that has nothing to do with what
// is told waits for nobody: a slow broker holds up no block, and who of the two comes first does not tell. Both sides are
// goroutines of one partition.
type Gate struct {
	mu      sync.Mutex
	gone    map[identity.SessionID]struct{}
	telling []LivePrice
	told    chan struct{} // closed when telling is over
}

// NewGate returns an open Gate.
func NewGate() Gate { return Gate{gone: map[identity.SessionID]struct{}{}} }

// Round begins a round of prices: what has ended by now is in none of them. Nobody is in Tell.
func (g *Gate) Round() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.gone)
}

// End notes the sessions of b that end, before their ends are told. If one of them is being told it waits until that is
// over, or ctx ends.
func (g *Gate) End(ctx context.Context, b *Box) error {
	g.mu.Lock()
	for i := range b.ends {
		if b.ends[i].Ended {
			g.gone[b.ends[i].Session] = struct{}{}
		}
	}
	meet, told := slices.ContainsFunc(g.telling, g.over), g.told
	g.mu.Unlock()
	if !meet {
		return nil
	}
	select {
	case <-told:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// over says whether the session of p has ended. The caller has mu.
func (g *Gate) over(p LivePrice) bool {
	_, ok := g.gone[p.Session]
	return ok
}

// Tell has tell called with those of prices whose sessions have not ended; not at all if none is left.
func (g *Gate) Tell(prices []LivePrice, tell func([]LivePrice)) {
	g.mu.Lock()
	prices = slices.DeleteFunc(prices, g.over)
	told := make(chan struct{})
	g.telling, g.told = prices, told
	g.mu.Unlock()
	if len(prices) > 0 {
		tell(prices)
	}
	g.mu.Lock()
	g.telling = nil
	g.mu.Unlock()
	close(told)
}

// LivePrice is the price of a running session, as a message.
type LivePrice struct {
	Session identity.SessionID
	Message
}

// NewLivePrice is the message of p, which is of record time recordMs.
func NewLivePrice(src Source, recordMs int64, p *Price) LivePrice {
	return LivePrice{p.Session, Message{
		Kind: Live, Key: []byte(p.Session.String()), Value: AppendPrice(make([]byte, 0, 512), src, p), TimestampMs: recordMs,
	}}
}
