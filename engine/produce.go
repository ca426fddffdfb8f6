package engine

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/snapshot"
)

// snapshot waits until img is whole, produces it, and returns its reference; one of no chunks if it never will be
// whole.
func (w *settler) snapshot(ctx context.Context, p Partition, img *image) (SnapshotRef, error) {
	if ok, err := img.await(ctx); !ok {
		return SnapshotRef{}, err
	}
	defer img.Free()
	w.lastID = max(uint64(w.clock.Now().UnixNano()), w.lastID+1)
	c := &chunks{ctx: ctx, w: w, p: p, ref: SnapshotRef{ID: w.lastID, Offset: img.Head.NextOffset, At: -1}}
	var err error
	if c.ref.Bytes, c.ref.CRC, err = snapshot.Write(c, img.Parts()); err != nil {
		return SnapshotRef{}, err
	}
	if len(c.bytes) > 0 {
		c.cut()
	}
	return c.ref, c.produce()
}

// chunks cuts what is written to it into chunks, and produces them a few at a time.
type chunks struct {
	ctx   context.Context //nolint:containedctx // it is one call of snapshot
	w     *settler
	p     Partition
	ref   SnapshotRef
	bytes []byte // of the next chunk
	msgs  []Message
}

// Write implements io.Writer.
func (c *chunks) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if c.bytes == nil { // not used again: who is behind Produce may keep it
			c.bytes = make([]byte, 0, c.w.cfg.SnapshotChunk)
		}
		k := min(len(b), cap(c.bytes)-len(c.bytes))
		c.bytes, b = append(c.bytes, b[:k]...), b[k:]
		if len(c.bytes) < cap(c.bytes) {
			continue
		}
		c.cut()
		if len(c.msgs)*c.w.cfg.SnapshotChunk >= 4<<20 { // a request of 4 MiB at most
			if err := c.produce(); err != nil {
				return 0, err
			}
		}
	}
	runtime.Gosched() // the shards go first: encoding a million sessions takes a second
	return n, nil
}

// cut ends the chunk at hand.
func (c *chunks) cut() {
	c.msgs = append(c.msgs, Message{
		Key: snapshotKey(c.p, c.ref.ID, int(c.ref.Count)), Value: c.bytes, TimestampMs: c.w.clock.Now().UnixMilli(),
	})
	c.ref.Count++
	c.bytes = nil
}

// produce makes the chunks at hand durable.
func (c *chunks) produce() error {
	if len(c.msgs) == 0 {
		return nil
	}
	for wait := ends.NewBackoff(c.w.cfg.InsertBackoffMax); ; {
		at, err := c.w.producer.Produce(c.ctx, c.w.cfg.StateTopic, c.p.Number, c.msgs)
		if err == nil {
			if c.ref.At < 0 {
				c.ref.At = at
			}
			c.msgs = nil
			return nil
		}
		c.w.log.Warn("snapshot chunk not produced, trying again", "partition", c.p.String(), "error", err)
		if err := wait.Sleep(c.ctx, c.w.clock); err != nil {
			return err
		}
	}
}

// bury produces tombstones for a snapshot that no commit names any longer. One that fails is left: it only
// takes room until the topic is compacted by hand.
func (w *settler) bury(ctx context.Context, p Partition, ref SnapshotRef) {
	if ref.Count == 0 {
		return
	}
	msgs := make([]Message, ref.Count)
	for i := range msgs {
		msgs[i] = Message{Key: snapshotKey(p, ref.ID, i), TimestampMs: w.clock.Now().UnixMilli()}
	}
	if _, err := w.producer.Produce(ctx, w.cfg.StateTopic, p.Number, msgs); err != nil {
		w.log.Warn("old snapshot not removed", "partition", p.String(), "snapshot", ref.ID, "error", err)
	}
}

// sweep finds the chunks of p's snapshots that were begun before the time before and are not among those to keep, and
// returns the tombstones that remove them.
func (w *settler) sweep(ctx context.Context, logs LogReader, p Partition, keep []uint64, before uint64) ([]Message, error) {
	prefix := fmt.Sprintf("%s/%d/", p.Topic, p.Number)
	live := map[string]bool{}
	_, err := logs.ReadLog(ctx, w.cfg.StateTopic, p.Number, 0, func(rec Record) error {
		key := string(rec.Key)
		rest, ours := strings.CutPrefix(key, prefix)
		id, err := strconv.ParseUint(rest[:max(0, strings.IndexByte(rest, '/'))], 10, 64)
		if ours && err == nil && !slices.Contains(keep, id) && id < before {
			live[key] = rec.Value != nil
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read %s/%d: %w", w.cfg.StateTopic, p.Number, err)
	}
	var msgs []Message
	for _, key := range slices.Sorted(maps.Keys(live)) {
		if live[key] {
			msgs = append(msgs, Message{Key: []byte(key), TimestampMs: w.clock.Now().UnixMilli()})
		}
	}
	return msgs, nil
}

// tombstones removes what no commit names. What fails is left, as in bury.
func (w *settler) tombstones(ctx context.Context, p Partition, msgs []Message) {
	if _, err := w.producer.Produce(ctx, w.cfg.StateTopic, p.Number, msgs); err != nil {
		w.log.Warn("old snapshots not removed", "partition", p.String(), "chunks", len(msgs), "error", err)
	}
}

// snapshotKey is unique to a chunk, so that an unfinished snapshot can never replace a good one.
func snapshotKey(p Partition, id uint64, chunk int) []byte {
	return fmt.Appendf(nil, "%s/%d/%d/%d", p.Topic, p.Number, id, chunk)
}
