package engine

import (
	"context"

	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/engine/snapshot"
)

// The prices of running sessions are told beside the blocks (outbox.Teller): none waits for a row, and none may go back. As
// with answers (shown.go), a life of a partition tells nothing before it has come to where the log ended when it began, and
// nothing once another engine may have begun one. What is told last, and that it is, belongs to the block that ends a
// session: it is told before its rows (settler.tell).

// heard notes that a session has a message.
func (s *shard) heard(ss *snapshot.Session) {
	if ss.LastRecordMs <= s.teller.Prices.SinceMs {
		s.teller.Prices.Touch(ss.Key)
	}
	ss.LastRecordMs = max(ss.LastRecordMs, s.recordMs)
}

// beginPrices begins a round.
func (c *partition) beginPrices() {
	c.e.mu.Lock()
	ours, generation := c.e.parts[c.p] == c, c.e.generation
	c.e.mu.Unlock()
	c.shard.teller.Begin(c.shard.watermarkMs, generation, ours)
}

// stepPrices works on the round at hand, if there is one.
func (c *partition) stepPrices() {
	select {
	case <-c.shard.teller.Due():
		c.beginPrices()
	default:
	}
	c.shard.teller.Step(c.shard.livePrice)
}

// livePrice is what a session costs by now, if it runs and its record second was not told yet.
func (s *shard) livePrice(k snapshot.Key) (p outbox.LivePrice, ok bool) {
	slot := s.sessions.Find(k)
	if slot == noSlot {
		return p, false
	}
	ss := s.sessions.At(slot)
	second := uint32(ss.LastRecordMs / 1000)
	if !ss.Priced() || s.over(ss) || ss.Told == second {
		return p, false
	}
	ss.Told = second
	price := s.priceNow(ss)
	return outbox.NewLivePrice(s.outSource(), ss.LastRecordMs, &price), true
}

// priceNow is what is told of a running session at nextOffset.
func (s *shard) priceNow(ss *snapshot.Session) outbox.Price {
	return outbox.Price{
		Session: identity.Of(s.source, ss), Offset: s.nextOffset, Status: outbox.StatusText(ss.Status), ChargePoint: s.names.List[ss.ChargePoint],
		Connector: ss.Connector, Transaction: string(ss.Transaction()), StartMs: ss.Rate.FirstMs, LastMs: ss.Rate.LastMs,
		Currency: s.plans.Info[ss.Plan].currency, Total: s.total(ss), Flags: (SessionFlags(ss.Flags) &^ flagUnitGuessed).Names(),
	}
}

func (s *shard) outSource() outbox.Source {
	return outbox.Source{Topic: s.partition.Topic, Partition: s.partition.Number}
}

// tellPrices produces rounds until the partition ends.
func (c *partition) tellPrices(ctx context.Context) {
	c.shard.teller.Run(ctx, c.e.holds, func(ctx context.Context, prices []outbox.LivePrice) {
		msgs := make([]Message, len(prices))
		for i := range prices {
			msgs[i] = asMessage(prices[i].Message)
		}
		if _, err := c.e.producer.Produce(ctx, c.e.cfg.PricesTopic, c.p.Number, msgs); err != nil {
			c.log.Debug("prices not told", "sessions", len(msgs), "error", err)
			return
		}
		c.shard.stats.Prices.Add(int64(len(msgs)))
	})
}
