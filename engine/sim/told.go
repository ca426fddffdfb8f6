package sim

import (
	"slices"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/outbox"
)

const (
	cdrsTopic   = "wattline.cdrs"
	pricesTopic = "wattline.prices"
)

// blockOf names a block.
type blockOf struct {
	p     engine.Partition
	first int64
}

// noteRow notes how much had been told when a block's row came into place.
func (w *world) noteRow(p engine.Partition, first int64) {
	if w.toldBy == nil {
		w.toldBy = map[blockOf]int{}
	}
	w.toldBy[blockOf{p, first}] = len(w.kafka.log(cdrsTopic, p.Number).recs)
}

// told is what the blocks of all partitions have to tell of their sessions.
type told struct {
	cdrs    map[string]string  // by key
	blocks  map[string]blockOf // of cdrs
	rejects map[string]string
	last    map[string]string // last prices, by key
}

// add takes what a block has to tell.
func (t *told) add(p engine.Partition, b *engine.Block) {
	if t.cdrs == nil {
		t.cdrs, t.blocks, t.last = map[string]string{}, map[string]blockOf{}, map[string]string{}
	}
	_ = b.Box.Each(outbox.Source{Topic: p.Topic, Partition: p.Number}, func(m outbox.Message) error {
		switch m.Kind {
		case outbox.CDR:
			t.cdrs[string(m.Key)], t.blocks[string(m.Key)] = string(m.Value), blockOf{p, b.Row.First}
		case outbox.Reject:
			t.rejects[string(m.Key)] = string(m.Value)
		case outbox.Live:
			if m.Value != nil {
				t.last[string(m.Key)] = string(m.Value)
			}
		}
		return nil // so Each returns none either
	})
}

// checkCDRs: none is lost, those that came twice are the same, and each came before its block's row (I4).
func (w *world) checkCDRs(t *told) {
	at, got := map[string]int{}, map[string]string{}
	for _, p := range w.kafka.parts {
		for i, r := range w.kafka.log(cdrsTopic, p.Number).recs {
			key := string(r.Key)
			if v, ok := got[key]; ok {
				if v != string(r.Value) {
					w.fail("the CDR of %s came as %s and as %s", key, v, r.Value)
				}
				continue
			}
			at[key], got[key] = i, string(r.Value)
		}
	}
	keys := make([]string, 0, len(t.cdrs))
	for k := range t.cdrs {
		keys = append(keys, k)
	}
	for k := range got {
		if _, ok := t.cdrs[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if got[k] != t.cdrs[k] {
			w.fail("the CDR of %s is %q, want %q", k, got[k], t.cdrs[k])
			continue
		}
		if row, ok := w.toldBy[t.blocks[k]]; ok && at[k] >= row {
			w.fail("I4: the CDR of %s came behind the row of its block %+v", k, t.blocks[k])
		}
	}
	w.counts.CDRs += int64(len(t.cdrs))
}
