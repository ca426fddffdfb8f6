package outbox

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

const (
	priceEvery  = time.Second
	pricesStep  = 256  // sessions that are looked at between two batches, some 100 microseconds
	pricesBatch = 2048 // prices that are produced at a time
	priceLate   = 10 * time.Second
)

// Teller tells the prices of a partition's running sessions, in rounds of a second or more. A session that had several
// messages since the last round is told once; under load, rounds take longer. All but Run and Gate is the shard's.
type Teller struct {
	Prices Prices
	Gate   Gate
	Done   chan struct{} // told when a part of a round is over
	After  func(time.Duration) <-chan time.Time

	jobs  chan part
	open  atomic.Int32 // jobs
	due   <-chan time.Time
	round part
}

// part is a part of a round.
type part struct {
	generation int32
	prices     []LivePrice
}

// NewTeller returns one that notes nothing yet; after is the clock's.
func NewTeller(after func(time.Duration) <-chan time.Time) *Teller {
	return &Teller{Prices: NewPrices(), Gate: NewGate(), Done: make(chan struct{}, 1), After: after, jobs: make(chan part, 1)}
}

// Start has sessions noted from a watermark on, unless off.
func (t *Teller) Start(watermarkMs int64, off bool) {
	if !off && t.Prices.SinceMs == rating.Unknown {
		t.Prices.SinceMs = max(0, watermarkMs)
	}
}

// Due is ready when Begin is to be called, a second after the first session was noted.
func (t *Teller) Due() <-chan time.Time {
	if t.due == nil && t.Prices.Noted() {
		t.due = t.After(priceEvery)
	}
	return t.due
}

// Begin begins a round at a watermark if the one before is over; else Due asks for it again. The prices of the round are
// told only as long as the partition may be spoken for in generation; ok false: it may not be now.
func (t *Teller) Begin(watermarkMs int64, generation int32, ok bool) {
	t.due = nil
	if !ok || t.Prices.Due() || len(t.round.prices) > 0 || t.open.Load() > 0 {
		return
	}
	t.round.generation = generation
	t.Gate.Round()
	t.Prices.Begin(max(0, watermarkMs))
}

// Working says that Step has something to do.
func (t *Teller) Working() bool {
	if t.open.Load() > 0 {
		return t.Prices.Due() && len(t.round.prices) < pricesBatch
	}
	return t.Prices.Due() || len(t.round.prices) > 0
}

// Step asks for the prices of some sessions of the round, and hands over what is enough for a request. price gives ok
// false for a session that is not to be told.
func (t *Teller) Step(price func(snapshot.Key) (p LivePrice, ok bool)) {
	if !t.Working() {
		return
	}
	for _, k := range t.Prices.Take(pricesStep) {
		if p, ok := price(k); ok {
			t.round.prices = append(t.round.prices, p)
		}
	}
	if n := len(t.round.prices); (n >= pricesBatch || n > 0 && !t.Prices.Due()) && t.open.CompareAndSwap(0, 1) {
		t.jobs <- t.round
		t.round.prices = nil
	}
}

// Close ends Run.
func (t *Teller) Close() { close(t.jobs) }

// Run has produce called with parts of rounds until Close. produce is not called any more for what is not holds'. What it
// does not do in time is given up: newer prices come.
func (t *Teller) Run(ctx context.Context, holds func(generation int32) bool, produce func(context.Context, []LivePrice)) {
	for job := range t.jobs {
		t.Gate.Tell(job.prices, func(prices []LivePrice) {
			within, cancel := context.WithTimeout(ctx, priceLate)
			defer cancel()
			if holds(job.generation) {
				produce(within, prices)
			}
		})
		t.open.Store(0)
		select {
		case t.Done <- struct{}{}:
		default:
		}
	}
}
