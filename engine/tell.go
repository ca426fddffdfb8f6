package engine

import (
	"context"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/identity"
	"github.com/wattline/wattline/engine/outbox"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// final notes a session that nothing can change any more: it gets its CDR. unpriceable says why it can have none.
func (s *shard) final(ss *snapshot.Session, total rating.Total, unpriceable string) {
	if s.mute {
		return
	}
	at := &s.places.Info[ss.Place]
	e := outbox.End{
		Session: identity.Of(s.source, ss), Position: s.position, AtMs: s.recordMs, Place: outbox.Place{Location: at.Where, EVSE: at.EVSE, Connector: at.Connector},
		StartMs: ss.Rate.FirstMs, EndMs: ss.Rate.LastMs, Total: total, NoStop: SessionFlags(ss.Flags)&FlagNoStop != 0, Unpriceable: unpriceable,
		Pseudonym: ss.Driver.Pseudonym(), Contract: s.block.keep(ss.Driver.Contract()),
	}
	if ss.Plan != 0 {
		e.Tariff = s.plans.Info[ss.Plan].plan.Tariff()
	}
	s.block.Box.Add(&e, &s.sheets, ss.Sheet)
}

// tellAtOnce is how many bytes of messages are produced at a time, and in memory.
const tellAtOnce = 1 << 20

// tell produces the CDRs of the block's sessions, and a reject of each that can have none.
func (w *settler) tell(ctx context.Context, b *Block) error {
	var cdrs, rejects []Message
	size := 0
	flush := func() error {
		for _, out := range []struct {
			topic     string
			partition int32
			msgs      *[]Message
		}{{w.cfg.RejectsTopic, 0, &rejects}, {w.cfg.CDRsTopic, b.Row.Partition.Number, &cdrs}} {
			if err := w.deliver(ctx, out.topic, out.partition, *out.msgs); err != nil {
				return err
			}
			*out.msgs = nil
		}
		size = 0
		return nil
	}
	err := b.Box.Each(outbox.Source{Topic: b.Row.Partition.Topic, Partition: b.Row.Partition.Number}, func(m outbox.Message) error {
		msg := Message{Key: m.Key, Value: m.Value, ContentType: "application/json", TimestampMs: m.TimestampMs}
		if m.CDR {
			cdrs = append(cdrs, msg)
			b.cdrs++
		} else {
			rejects = append(rejects, msg)
			b.noCDRs++
		}
		if size += len(m.Value); size < tellAtOnce {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// deliver produces messages of a block until they are there.
func (w *settler) deliver(ctx context.Context, topic string, partition int32, msgs []Message) error {
	if len(msgs) == 0 {
		return nil
	}
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
