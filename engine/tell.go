package engine

import (
	"context"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// tell notes a session that has ended, or that nothing can change any more: final. unpriceable says why it can have no CDR.
func (s *shard) tell(ss *snapshot.Session, total rating.Total, ended, final bool, unpriceable string) {
	ended = ended && !s.cfg.NoPrices
	if s.mute || !ended && !final {
		return
	}
	at := &s.places.Info[ss.Place]
	e := outbox.End{
		Session: identity.Of(s.source, ss), Ended: ended, Final: final, Position: s.position, AtMs: s.recordMs,
		Status: outbox.StatusText(ss.Status), ChargePoint: s.names.List[ss.ChargePoint], Connector: ss.Connector, Transaction: s.block.keep(ss.Transaction()),
		Flags: (SessionFlags(ss.Flags) &^ flagUnitGuessed).Names(), Place: outbox.Place{Location: at.Where, EVSE: at.EVSE, Connector: at.Connector}, StartMs: ss.Rate.FirstMs, EndMs: ss.Rate.LastMs, Total: total,
		NoStop: SessionFlags(ss.Flags)&FlagNoStop != 0, Unpriceable: unpriceable,
		Pseudonym: ss.Driver.Pseudonym(), Contract: s.block.keep(ss.Driver.Contract()),
	}
	if ss.Plan != 0 {
		e.Tariff = s.plans.Info[ss.Plan].plan.Tariff()
	}
	s.block.Box.Add(&e, &s.sheets, ss.Sheet)
}

// tell produces what the block has to tell of its sessions: CDRs, a reject of each that can have none, last prices.
func (w *settler) tell(ctx context.Context, b *Block) error {
	if err := w.gate.End(ctx, &b.Box); err != nil {
		return err
	}
	p := b.Row.Partition
	to := [outbox.NumKinds]Partition{
		outbox.Reject: {w.cfg.RejectsTopic, 0}, outbox.CDR: {w.cfg.CDRsTopic, p.Number}, outbox.Live: {w.cfg.PricesTopic, p.Number},
	}
	return b.Box.Deliver(outbox.Source{Topic: p.Topic, Partition: p.Number}, &b.told, func(kind outbox.Kind, list []outbox.Message) error {
		msgs := make([]Message, len(list))
		for i := range list {
			msgs[i] = asMessage(list[i])
		}
		return w.deliver(ctx, to[kind].Topic, to[kind].Number, msgs)
	})
}

func asMessage(m outbox.Message) Message {
	out := Message{Key: m.Key, Value: m.Value, TimestampMs: m.TimestampMs}
	if m.Value != nil {
		out.ContentType = "application/json"
	}
	return out
}

// deliver produces messages of a block until they are there.
func (w *settler) deliver(ctx context.Context, topic string, partition int32, msgs []Message) error {
	for wait := ends.NewBackoff(w.cfg.InsertBackoffMax); ; {
		_, err := w.producer.Produce(ctx, topic, partition, msgs)
		if err == nil {
			return nil
		}
		w.log.Debug("messages of a block not produced, trying again", "topic", topic, "error", err)
		if err := wait.Sleep(ctx, w.clock); err != nil {
			return err
		}
	}
}
