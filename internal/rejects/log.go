package rejects

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/reject"
)

// Logs reads topics. *kafka.Client is one.
type Logs interface {
	engine.LogReader
	// Bounds asks for the first offset that the partition still has and the one that its next record gets.
	Bounds(ctx context.Context, p engine.Partition) (start, end int64, err error)
}

// Topic is a rejects topic that is read.
type Topic struct {
	Logs Logs
	Name string
}

// Each hands over what the topic has, in order: rejects, and notes of retries. Doubles are left out. Records that are
// none of ours are counted. r is fn's own.
func (t *Topic) Each(ctx context.Context, fn func(r reject.Record) error) (foreign int, err error) {
	p := engine.Partition{Topic: t.Name}
	start, end, err := t.Logs.Bounds(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("ask where %s begins: %w", t.Name, err)
	}
	seen := map[string]bool{}
	if start == end {
		return 0, nil
	}
	_, err = t.Logs.ReadLog(ctx, t.Name, 0, start, func(rec engine.Record) error {
		r, err := reject.Parse(rec.Value)
		switch {
		case err != nil:
			foreign++
		case r.Retried != nil:
			return fn(r)
		case !seen[string(rec.Key)]:
			seen[string(rec.Key)] = true
			return fn(r)
		}
		return nil
	})
	if err != nil {
		return foreign, fmt.Errorf("read %s: %w", t.Name, err)
	}
	return foreign, nil
}

// Found is a reject with what else the topic has about it.
type Found struct {
	Reject  reject.Record
	Message reject.Record   // the reject of the same message that has it sealed; KeyID "" if none has
	Retries []*reject.Retry // of the message, in order
}

// ErrNotFound says that the topic has no reject with the id; it may have been deleted by its age.
var ErrNotFound = errors.New("no such reject")

// Find looks for the rejects with the ids, which are keys of records, and returns them in the order of ids.
func (t *Topic) Find(ctx context.Context, ids []string) ([]Found, error) {
	found := make([]Found, len(ids))
	type message struct {
		sealed  reject.Record
		retries []*reject.Retry
	}
	messages := map[reject.Coordinates]*message{}
	wanted := map[reject.Coordinates]bool{} // messages
	for _, id := range ids {
		c, err := ParseID(id)
		if err != nil {
			return nil, err
		}
		c.Index = 0
		wanted[c] = true
	}
	_, err := t.Each(ctx, func(r reject.Record) error {
		whole := r.Coordinates
		whole.Index = 0
		if !wanted[whole] {
			return nil
		}
		m := messages[whole]
		if m == nil {
			m = &message{}
			messages[whole] = m
		}
		switch {
		case r.Retried != nil:
			m.retries = append(m.retries, r.Retried)
			return nil
		case r.KeyID != "":
			m.sealed = r
		}
		if i := slices.Index(ids, string(r.AppendKey(nil))); i >= 0 {
			found[i].Reject = r
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if found[i].Reject.Topic == "" {
			return nil, fmt.Errorf("%w: %s has none with the id %s", ErrNotFound, t.Name, id)
		}
		whole := found[i].Reject.Coordinates
		whole.Index = 0
		found[i].Message, found[i].Retries = messages[whole].sealed, messages[whole].retries
	}
	return found, nil
}

// ErrGone says that nobody has the message any more, or may show it.
var ErrGone = errors.New("the message is not at hand")

// Message returns the message of a reject and where it is from: opened with keys, or read from its readings topic, which
// may still have it. keys may be nil. ErrGone with the reasons of both.
func (t *Topic) Message(ctx context.Context, f *Found, keys *Private) (o reject.Original, from string, err error) {
	var why error
	switch {
	case f.Message.KeyID == "":
		why = errors.New("nothing was sealed: the engine had no public key then")
	case keys == nil:
		why = fmt.Errorf("it is sealed for key %s and no private key was given", f.Message.KeyID)
	default:
		if o, why = keys.Open(&f.Message); why == nil && (o.Value != nil || o.Size == 0) {
			return o, "sealed", nil
		}
		if why == nil {
			why = fmt.Errorf("%d bytes are more than were sealed", o.Size)
		}
	}
	rec, found, err := t.record(ctx, &f.Reject)
	switch {
	case err != nil:
		return o, "", errors.Join(fmt.Errorf("%w: %w", ErrGone, why), err)
	case !found:
		return o, "", fmt.Errorf("%w: %w; and %s/%d does not have offset %d any more", ErrGone, why, f.Reject.Topic, f.Reject.Partition, f.Reject.Offset)
	}
	if o.Reason == "" {
		o.Reason = f.Reject.Reason
	}
	o.ContentType, o.Key, o.Value, o.Size = rec.ContentType, rec.Key, rec.Value, len(rec.Value)
	return o, "readings topic", nil
}

// errEnough ends a read.
var errEnough = errors.New("enough")

// record reads the rejected record from its own topic.
func (t *Topic) record(ctx context.Context, r *reject.Record) (rec engine.Record, found bool, err error) {
	p := engine.Partition{Topic: r.Topic, Number: r.Partition}
	start, end, err := t.Logs.Bounds(ctx, p)
	if err != nil {
		return rec, false, fmt.Errorf("ask where %s begins: %w", p, err)
	}
	if r.Offset < start || r.Offset >= end {
		return rec, false, nil
	}
	_, err = t.Logs.ReadLog(ctx, r.Topic, r.Partition, r.Offset, func(got engine.Record) error {
		if got.Offset == r.Offset {
			rec = engine.Record{Offset: got.Offset, TimestampMs: got.TimestampMs, Key: slices.Clone(got.Key), Value: slices.Clone(got.Value), ContentType: slices.Clone(got.ContentType)}
			found = true
		}
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return rec, false, fmt.Errorf("read %s at offset %d: %w", p, r.Offset, err)
	}
	return rec, found, nil
}
