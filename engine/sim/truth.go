package sim

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
	"github.com/wattline/wattline/rating/oracle"
)

// book is the reference log as a LogReader without an engine.
type book struct{ w *world }

// ReadLog implements engine.LogReader.
func (b book) ReadLog(_ context.Context, topic string, partition int32, from int64, fn func(engine.Record) error) (int64, error) {
	l := b.w.kafka.log(topic, partition)
	for _, r := range l.since(from) {
		if err := fn(r); err != nil {
			return from, err
		}
	}
	return l.next, nil
}

// checkLedger compares what is there with what the log says must be there (W4).
func (w *world) checkLedger() {
	ref := engine.NewReference(w.in.decodeReference, tokens{})
	if err := ref.Follow(context.Background(), book{w}, referenceTopic); err != nil {
		w.fail("the reference log can not be read: %v", err)
		return
	}
	all := &told{rejects: map[string]string{}}
	for _, p := range w.kafka.parts {
		w.checkPartition(p, ref, all)
	}
	w.checkRejects(all.rejects)
	w.checkCDRs(all)
	w.checkEnds(all)
	w.checkTruth()
}

// checkPartition compares one partition: block by block with the same blocks, and as a whole with blocks that end at
// book changes only, so that it shows where a row depends on where a block ends (I1).
func (w *world) checkPartition(p engine.Partition, ref *engine.Reference, all *told) {
	blocks := w.store.blocks(p)
	next := int64(0)
	for i := range blocks {
		if blocks[i].First != next {
			w.fail("I7: block %d-%d of %s follows offset %d", blocks[i].First, blocks[i].Last, p, next)
			return
		}
		next = blocks[i].Last + 1
	}
	if end := w.kafka.log(p.Topic, p.Number).next; next != end {
		w.fail("I7: blocks of %s end at %d, its messages at %d", p, next, end)
		return
	}
	same, err := engine.NewReplayer(p, engine.Config{}, w.in.decoder, ref, nil)
	if err != nil {
		w.fail("%v", err)
		return
	}
	whole, _ := engine.NewReplayer(p, engine.Config{}, w.in.decoder, ref, nil) // as the first
	list, texts := w.livePrices(p)
	var got, want rows
	for i := range blocks {
		b := &blocks[i]
		same.Begin(b.First, b.BookOffset)
		w.rateTold(same, p, b.First, b.Last, list, texts)
		w.checkBlock(b, same.End(b.Last), same.Block(), &got)
		for _, m := range same.Block().Rejects {
			all.rejects[string(m.Key)] = string(m.Value) + string(m.Private)
		}
		all.add(p, same.Block())
		if i == 0 || blocks[i-1].BookOffset != b.BookOffset {
			whole.Begin(b.First, b.BookOffset)
		}
		w.rate(whole, p, b.First, b.Last)
		if i+1 == len(blocks) || blocks[i+1].BookOffset != b.BookOffset {
			whole.End(b.Last)
			want.add(whole.Block())
		}
	}
	if d := got.differs(&want); d != "" {
		w.fail("I1: rows of %s depend on where blocks end: %s", p, d)
	}
	if len(blocks) > 0 {
		w.checkState(p, same)
	}
}

// rate hands a Replayer the messages of a range.
func (w *world) rate(r *engine.Replayer, p engine.Partition, first, last int64) {
	for _, rec := range w.kafka.log(p.Topic, p.Number).since(first) {
		if rec.Offset > last {
			return
		}
		r.Rate(rec)
	}
}

// rows are rows of a partition, month by month in the order in which they came.
type rows struct {
	charges  map[int32][]charge
	sessions map[int32][]version
}

func (x *rows) add(b *engine.Block) {
	for i := range b.Charges {
		x.put(chargesOf(&b.Charges[i]), nil)
	}
	for i := range b.Sessions {
		x.put(nil, versionsOf(&b.Sessions[i]))
	}
}

func (x *rows) put(cs []charge, vs []version) {
	if x.charges == nil {
		x.charges, x.sessions = map[int32][]charge{}, map[int32][]version{}
	}
	if len(cs) > 0 {
		x.charges[cs[0].month] = append(x.charges[cs[0].month], cs...)
	}
	if len(vs) > 0 {
		x.sessions[vs[0].month] = append(x.sessions[vs[0].month], vs...)
	}
}

// differs says how x differs from want; empty: not at all.
func (x *rows) differs(want *rows) string {
	if d := differ(x.charges, want.charges); d != "" {
		return "charges: " + d
	}
	if d := differ(x.sessions, want.sessions); d != "" {
		return "sessions: " + d
	}
	return ""
}

func differ[R comparable](got, want map[int32][]R) string {
	for month := int32(202401); month < 202701; month++ {
		g, w := got[month], want[month]
		for i := range max(len(g), len(w)) {
			switch {
			case i >= len(g):
				return fmt.Sprintf("month %d lacks row %d: %+v", month, i, w[i])
			case i >= len(w):
				return fmt.Sprintf("month %d has row %d too many: %+v", month, i, g[i])
			case g[i] != w[i]:
				return fmt.Sprintf("month %d row %d is %+v, want %+v", month, i, g[i], w[i])
			}
		}
	}
	return ""
}

// checkBlock compares one block: its row, the rows that the ledger has of it, and its watermark with the log.
func (w *world) checkBlock(got *engine.BlockRow, want engine.BlockRow, made *engine.Block, all *rows) {
	want.EngineID = got.EngineID
	if *got != want {
		w.fail("block %d-%d of %s: the ledger has\n%+v, want\n%+v", got.First, got.Last, got.Partition, *got, want)
	}
	var have, must rows
	for _, t := range []engine.Table{engine.TableCharges, engine.TableSessions} {
		for _, at := range w.store.months(got.Partition, got.First, t) {
			for _, x := range w.store.parts[at] {
				have.put(x.charges, x.sessions)
				all.put(x.charges, x.sessions)
			}
		}
	}
	must.add(made)
	if d := have.differs(&must); d != "" {
		w.fail("block %d-%d of %s: %s", got.First, got.Last, got.Partition, d)
	}
	mark := int64(rating.Unknown)
	for _, r := range w.kafka.log(topic, got.Partition.Number).recs {
		if r.Offset <= got.Last {
			mark = max(mark, r.TimestampMs)
		}
	}
	if got.WatermarkMs != mark {
		w.fail("I2: block %d-%d of %s has watermark %d, its records say %d", got.First, got.Last, got.Partition, got.WatermarkMs, mark)
	}
}

// checkState compares the last snapshot, which a clean stop left, with the state of a run without faults.
func (w *world) checkState(p engine.Partition, r *engine.Replayer) {
	c := w.group.commits[p]
	m, err := engine.ParseMetadata(c.Metadata)
	if err != nil {
		w.fail("the last commit of %s: %v", p, err)
		return
	}
	if len(m.Plans) > 0 {
		w.fail("after a clean stop %s has plans: %s", p, c.Metadata)
	}
	if m.Snapshot.Count == 0 || m.Snapshot.Offset != c.Offset {
		w.fail("after a clean stop %s has no snapshot of its end: %d %s", p, c.Offset, c.Metadata)
		return
	}
	var got []byte
	for i := range int(m.Snapshot.Count) {
		key := fmt.Appendf(nil, "%s/%d/%d/%d", p.Topic, p.Number, m.Snapshot.ID, i)
		for _, rec := range w.kafka.log(stateTopic, p.Number).since(m.Snapshot.At) {
			if rec.Value != nil && bytes.Equal(rec.Key, key) {
				got = append(got, rec.Value...)
				break
			}
		}
	}
	if want := r.Snapshot(); !bytes.Equal(got, want) && w.counts.Faults[ChunkLost]+w.counts.Faults[ChunkTorn] == 0 {
		w.fail("the state of %s at offset %d is not that of a run without faults (%d bytes, want %d)", p, c.Offset, len(got), len(want))
	}
}

// checkRejects: none is lost, and those that came twice are the same.
func (w *world) checkRejects(want map[string]string) {
	got := map[string]string{}
	for _, r := range w.kafka.log(rejectsTopic, 0).recs {
		if v, ok := got[string(r.Key)]; ok && v != string(r.Value) {
			w.fail("reject %s came as %s and as %s", r.Key, v, r.Value)
		}
		got[string(r.Key)] = string(r.Value)
	}
	var keys []string
	for k := range want {
		keys = append(keys, k)
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if got[k] != want[k] {
			w.fail("reject %s is %q, want %q", k, got[k], want[k])
		}
	}
	w.counts.Rejects += int64(len(got))
}

// checkTruth prices the sessions that nothing was done to by the oracle.
func (w *world) checkTruth() {
	newest := map[string]version{}
	for at, parts := range w.store.parts {
		if at.table != engine.TableSessions {
			continue
		}
		for _, x := range parts {
			for _, v := range x.sessions {
				if old, ok := newest[v.transaction]; !ok || old.version < v.version {
					newest[v.transaction] = v
				}
			}
		}
	}
	zones, err := rating.ZoneData(zoneName)
	if err != nil {
		w.fail("%v", err)
		return
	}
	zone, err := time.LoadLocationFromTZData(zoneName, zones)
	if err != nil {
		w.fail("%v", err)
		return
	}
	txs := make([]string, 0, len(newest))
	for tx := range newest {
		txs = append(txs, tx)
	}
	slices.SortFunc(txs, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	for _, tx := range txs {
		v := newest[tx]
		if t := w.in.truth[tx]; t != nil && v.status == engine.StatusCompleted {
			w.checkSession(&v, t, zone)
		}
	}
}

// checkSession compares a session's total with the oracle's.
func (w *world) checkSession(v *version, t *truth, zone *time.Location) {
	tariff := w.in.refs[v.tariffFrom].rec.Tariff
	bill, err := oracle.Price(tariff, zone, oracle.FromPoints(t.points))
	if err != nil {
		w.fail("the oracle on session %s: %v", v.transaction, err)
		return
	}
	excl, _ := bill.ExclText(6)
	incl := bill.InclText(6)
	last, first := t.points[len(t.points)-1], t.points[0]
	if micros(excl) != v.total.ExclMicros || micros(incl) != v.total.InclMicros || v.total.EnergyMwh != last.RegisterMwh-first.RegisterMwh {
		w.fail("session %s of %s costs %d excl, %d incl for %d mWh, the oracle says %s, %s for %d", v.transaction, v.chargePoint,
			v.total.ExclMicros, v.total.InclMicros, v.total.EnergyMwh, excl, incl, last.RegisterMwh-first.RegisterMwh)
	}
	w.checkDriver(v, t)
	w.counts.Truths++
}

// micros reads a text of six decimals.
func micros(text string) int64 {
	n, err := strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
