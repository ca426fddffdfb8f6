package rejects

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/reject"
)

// ParseID reads the key of a reject: TOPIC/PARTITION/OFFSET/INDEX.
func ParseID(id string) (c reject.Coordinates, err error) {
	parts := strings.Split(id, "/")
	if len(parts) == 4 {
		partition, err1 := strconv.ParseInt(parts[1], 10, 32)
		offset, err2 := strconv.ParseInt(parts[2], 10, 64)
		index, err3 := strconv.ParseInt(parts[3], 10, 64)
		if parts[0] != "" && errors.Join(err1, err2, err3) == nil && partition >= 0 && offset >= 0 && index >= 0 {
			return reject.Coordinates{Topic: parts[0], Partition: int32(partition), Offset: offset, Index: index}, nil
		}
	}
	return c, fmt.Errorf("%q is not the id of a reject: TOPIC/PARTITION/OFFSET/INDEX, as `wattline rejects list` shows it", id)
}

// Retrying says how messages are sent again.
type Retrying struct {
	Topic    *Topic
	Producer engine.Producer
	Keys     *Private // may be nil
	By       string   // user@host, for the note
	Now      func() time.Time
	// Again sends also what was sent again before.
	Again bool
}

// ErrRetried says that a message was sent again before.
var ErrRetried = errors.New("was sent again before")

// Do sends the message of f to its topic and partition again, as it was: key, value, header, and the timestamp, which
// counts where the topic takes that of the producer. The note behind it on the rejects topic keeps the next one from
// doing it again; after a crash between the two the message may be sent once more, which is a repeated message as any.
func (r *Retrying) Do(ctx context.Context, f *Found) (reject.Retry, error) {
	c := &f.Reject.Coordinates
	if n := len(f.Retries); n > 0 && !r.Again {
		last := f.Retries[n-1]
		return reject.Retry{}, fmt.Errorf("%w: %s by %s as %s/%d/%d", ErrRetried, time.UnixMilli(last.AtMs).UTC().Format(time.RFC3339), last.By, last.Topic, last.Partition, last.Offset)
	}
	o, _, err := r.Topic.Message(ctx, f, r.Keys)
	if err != nil {
		return reject.Retry{}, err
	}
	at := f.Reject.AtMs
	if at == 0 { // version 1 did not say it
		at = r.Now().UnixMilli()
	}
	m := engine.Message{Key: o.Key, Value: o.Value, ContentType: string(o.ContentType), TimestampMs: at}
	offset, err := r.Producer.Produce(ctx, c.Topic, c.Partition, []engine.Message{m})
	if err != nil {
		return reject.Retry{}, fmt.Errorf("send again: %w", err)
	}
	done := reject.Retry{By: r.By, AtMs: r.Now().UnixMilli(), Topic: c.Topic, Partition: c.Partition, Offset: offset}
	note := engine.Message{Key: c.AppendKey(nil), Value: c.AppendRetry(nil, &done), ContentType: reject.ContentType, TimestampMs: done.AtMs}
	if _, err := r.Producer.Produce(ctx, r.Topic.Name, 0, []engine.Message{note}); err != nil {
		return done, fmt.Errorf("it was sent again as %s/%d/%d, but the note of it was not written, so nothing keeps others from sending it once more: %w", c.Topic, c.Partition, offset, err)
	}
	return done, nil
}
