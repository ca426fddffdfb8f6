package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/snapshot"
)

// planTTL is how old a plan may be at an insert (I5); the engine's own constant is not asked.
const planTTL = 10 * time.Minute

// checkInsert holds I5 when an engine sends an insert: its plan was stored by a commit of this very life, not longer
// than planTTL ago.
func (w *world) checkInsert(p *proc, q *query) {
	first, last, ok := rangeOf(q.token)
	if !ok || first != q.at.first {
		w.fail("%s inserts block %d of %s under token %q", p, q.at.first, q.at.p, q.token)
		return
	}
	when, ok := p.granted[granted{q.at.p, engine.Plan{First: first, Last: last}}]
	switch {
	case !ok:
		w.fail("I5: %s inserts block %d-%d of %s, which no commit of it has planned", p, first, last, q.at.p)
	case time.Since(when) > planTTL:
		w.fail("I5: %s inserts block %d-%d of %s, whose plan is %v old", p, first, last, q.at.p, time.Since(when))
	}
	w.checkPositions(q, last)
}

// rangeOf reads the block's offsets out of a token.
func rangeOf(token string) (first, last int64, ok bool) {
	f := strings.Split(token, "/")
	if len(f) != 6 {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(f[3], "-")
	first, err1 := strconv.ParseInt(a, 10, 64)
	last, err2 := strconv.ParseInt(b, 10, 64)
	return first, last, ok && err1 == nil && err2 == nil
}

// checkPositions holds I3: every version is a place in the block's messages.
func (w *world) checkPositions(q *query, last int64) {
	check := func(position int64) {
		offset, index := position>>16, int(position&0xffff)
		switch {
		case index == engine.MaxReadings && offset >= q.at.first-1 && offset <= last:
		case offset < q.at.first || offset > last || index >= max(1, w.readingsAt(q.at.p, offset)):
			w.fail("I3: block %d-%d of %s has a row at position %d: offset %d, index %d", q.at.first, last, q.at.p, position, offset, index)
		}
	}
	for i := range q.part.charges {
		check(q.part.charges[i].position)
	}
	for i := range q.part.sessions {
		check(q.part.sessions[i].version)
	}
}

// readingsAt is how many readings the message at an offset has.
func (w *world) readingsAt(p engine.Partition, offset int64) int {
	recs := w.kafka.log(p.Topic, p.Number).since(offset)
	if len(recs) == 0 || recs[0].Offset != offset {
		return 0
	}
	return len(recs[0].Value) / 4
}

// checkRows holds I4 when rows come into place: rejects and rows before the block's row.
func (w *world) checkRows(q *query) {
	if old := w.store.parts[q.at]; len(old) > 0 {
		w.fail("doubled: %s of block %d of %s, month %d, is there already", q.at.table, q.at.first, q.at.p, q.at.month)
	}
	// The row of an engine that stood still may come before the rows of the one that makes the block again: its own
	// insert of them found a token that the other had noted in vain. That one goes on until they are there.
	if q.at.table != engine.TableBlocks || !w.owns(q.proc, q.at.p) {
		return
	}
	row := &q.part.block
	w.noteRow(q.at.p, row.First)
	for t, want := range map[engine.Table]engine.Sums{engine.TableCharges: row.Charges, engine.TableSessions: row.Sessions} {
		got := engine.Sums{}
		for _, at := range w.store.months(q.at.p, q.at.first, t) {
			for _, x := range w.store.parts[at] {
				got = plus(got, x.sums)
			}
		}
		if got != want {
			w.fail("I4: the row of block %d-%d of %s comes before its %s are whole: %+v of %+v", row.First, row.Last, q.at.p, t, got, want)
		}
	}
	if n := w.rejectsOf(q.at.p, row.First, row.Last); n != row.Rejects {
		w.fail("I4: the row of block %d-%d of %s says %d rejects, %d are on their topic", row.First, row.Last, q.at.p, row.Rejects, n)
	}
}

// rejectsOf counts the rejects of a range, each once.
func (w *world) rejectsOf(p engine.Partition, first, last int64) int64 {
	seen := map[string]bool{}
	for _, r := range w.kafka.log(rejectsTopic, 0).recs {
		if part, offset, ok := rejected(r.Key); ok && part == p && offset >= first && offset <= last {
			seen[string(r.Key)] = true
		}
	}
	return int64(len(seen))
}

// rejected reads the key of a reject.
func rejected(key []byte) (p engine.Partition, offset int64, ok bool) {
	f := strings.Split(string(key), "/")
	if len(f) != 4 {
		return p, 0, false
	}
	n, err1 := strconv.ParseInt(f[1], 10, 32)
	offset, err2 := strconv.ParseInt(f[2], 10, 64)
	return engine.Partition{Topic: f[0], Number: int32(n)}, offset, err1 == nil && err2 == nil
}

// checkCommit holds I4 when a commit is stored, and notes what it plans.
func (w *world) checkCommit(p *proc, part engine.Partition, c engine.Commit) {
	m, err := engine.ParseMetadata(c.Metadata)
	if err != nil {
		w.fail("%s commits metadata that can not be read: %v", p, err)
		return
	}
	old, had := w.group.commits[part]
	if had && c.Offset < old.Offset {
		w.fail("%s takes the commit of %s back from %d to %d", p, part, old.Offset, c.Offset)
	}
	next := int64(0)
	for _, b := range w.store.blocks(part) {
		if b.First == next {
			next = b.Last + 1
		}
	}
	if c.Offset > next {
		w.fail("I4: %s commits offset %d of %s, the ledger has blocks up to %d", p, c.Offset, part, next)
	}
	from := c.Offset
	for _, plan := range m.Plans {
		if plan.First != from || plan.Last < plan.First {
			w.fail("I7: %s commits plan %d-%d of %s after offset %d", p, plan.First, plan.Last, part, from)
		}
		from = plan.Last + 1
		p.granted[granted{part, plan}] = time.Now()
	}
	if from > w.kafka.log(part.Topic, part.Number).next {
		w.fail("%s plans %s up to %d, beyond its end", p, part, from)
	}
	w.checkPlansKept(p, part, c.Offset, m)
	if m.Snapshot.Count > 0 && (!had || !strings.Contains(old.Metadata, fmt.Sprintf(" s=%d,", m.Snapshot.ID))) {
		w.checkSnapshot(p, part, c.Offset, m.Snapshot)
	}
}

// checkPlansKept: what was planned and is not in the ledger as a whole stays planned, or rows of it may be orphans.
func (w *world) checkPlansKept(p *proc, part engine.Partition, offset int64, m *engine.Metadata) {
	old, err := engine.ParseMetadata(w.group.commits[part].Metadata)
	if err != nil {
		return
	}
	for _, plan := range old.Plans {
		if plan.Last < offset || slices.Contains(m.Plans, plan) {
			continue
		}
		touched := false
		for at := range w.store.parts {
			touched = touched || at.p == part && at.first == plan.First
		}
		if touched {
			w.fail("%s forgets plan %d-%d of %s, of which the ledger has rows", p, plan.First, plan.Last, part)
		}
	}
}

// checkSnapshot holds I4: a snapshot is complete before a commit names it. What a fault tore is let pass.
func (w *world) checkSnapshot(p *proc, part engine.Partition, offset int64, ref engine.SnapshotRef) {
	if ref.Offset > offset {
		w.fail("I4: %s commits offset %d of %s with a snapshot of offset %d", p, offset, part, ref.Offset)
	}
	if w.counts.Faults[ChunkLost]+w.counts.Faults[ChunkTorn] > 0 {
		return
	}
	var state []byte
	chunks := 0
	for i := range int(ref.Count) {
		key := fmt.Appendf(nil, "%s/%d/%d/%d", part.Topic, part.Number, ref.ID, i)
		for _, r := range w.kafka.log(stateTopic, part.Number).since(ref.At) {
			if r.Value != nil && bytes.Equal(r.Key, key) {
				state = append(state, r.Value...)
				chunks++
				break
			}
		}
	}
	if chunks != int(ref.Count) || int64(len(state)) != ref.Bytes || snapshot.Checksum(state) != ref.CRC {
		w.fail("I4: %s commits snapshot %d of %s, which is not whole: %d of %d chunks, %d of %d bytes", p, ref.ID, part, chunks, ref.Count, len(state), ref.Bytes)
	}
}

// checkProduced sees that no snapshot is buried that a commit names.
func (w *world) checkProduced(topic string, partition int32, recs []engine.Record) {
	if topic != stateTopic {
		return
	}
	part := w.kafka.parts[partition]
	for _, r := range recs {
		if r.Value != nil {
			continue
		}
		f := strings.Split(string(r.Key), "/")
		if len(f) == 4 && strings.Contains(w.group.commits[part].Metadata, " s="+f[2]+",") {
			w.fail("snapshot %s of %s is buried, but the commit names it", f[2], part)
		}
	}
}
