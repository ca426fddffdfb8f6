package engine

import (
	"context"

	"github.com/wattline/wattline/engine/ends"
)

// watchedProducer tells its end how producing goes.
type watchedProducer struct {
	to  Producer
	end *ends.End
}

// Produce implements Producer.
func (w *watchedProducer) Produce(ctx context.Context, topic string, partition int32, msgs []Message) (int64, error) {
	c := w.end.Begin()
	at, err := w.to.Produce(ctx, topic, partition, msgs)
	c.Done()
	if ctx.Err() == nil {
		w.end.Note(Partition{topic, partition}, err)
	}
	return at, err
}

// patientLedger asks a Ledger until it answers, so that partitions which begin while the store is away wait for it
// instead of failing one by one.
type patientLedger struct {
	Ledger
	e *Engine
}

// LastBlock implements Ledger.
func (l *patientLedger) LastBlock(ctx context.Context, p Partition) (row BlockRow, ok bool, err error) {
	err = l.e.ends.Store.Until(ctx, l.e.cfg.InsertBackoffMax, func() (err error) {
		row, ok, err = l.Ledger.LastBlock(ctx, p)
		return err
	})
	return row, ok, err
}

// watch sets up what looks after the ends.
func (e *Engine) watch(to Ends) {
	e.ends = ends.NewSet(e.clock, e.log, to.StoreProbe, to.GroupProbe)
	e.producer, e.ledger = &watchedProducer{to.Producer, e.ends.Producer}, &patientLedger{to.Ledger, e}
	e.failing = ends.NewRestarts[Partition](e.clock, e.log)
}

// backlog is how much waits, for a log line: messages that are in the log and not durable.
func (e *Engine) backlog() []any {
	messages := int64(0)
	for _, s := range e.Stats() {
		if s.End >= 0 && s.Committed >= 0 {
			messages += max(0, s.End-s.Committed)
		}
	}
	return []any{"messages_waiting", messages}
}

// Ends returns how the ends are, always in the same order.
func (e *Engine) Ends() []ends.State { return e.ends.States() }
