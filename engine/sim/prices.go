package sim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/wattline/wattline/engine"
)

// priceOf is a price as far as it is looked at.
type priceOf struct {
	ID     string
	Offset int64
	Status string
}

// ended says that the price is the last one of its session.
func (p *priceOf) ended() bool { return p.Status == "COMPLETED" || p.Status == "PROVISIONAL" }

// standing is what a consumer of the topic has of a session.
type standing struct {
	offset int64
	gone   bool // its tombstone came
}

// checkPrices: what the owner of a partition tells of a running session never goes back, and nothing comes behind the end.
// What nobody waits for any more is late: consumers know it by its offset.
func (w *world) checkPrices(p *proc, part engine.Partition, recs []engine.Record, late bool) {
	if w.prices == nil {
		w.prices = map[string]standing{}
	}
	for _, r := range recs {
		key := string(r.Key)
		was := w.prices[key]
		if r.Value == nil {
			was.gone = true
			w.prices[key] = was
			continue
		}
		var x priceOf
		if err := json.Unmarshal(r.Value, &x); err != nil || x.ID != key {
			w.fail("a price that can not be read: %s %s", key, r.Value)
			return
		}
		if w.owns(p, part) && !p.dead && !late {
			switch {
			case x.Offset < was.offset:
				w.fail("I9: %s tells the price of %s at offset %d after that at %d", p, key, x.Offset, was.offset)
			case was.gone && !x.ended():
				w.fail("I9: %s tells a price of %s behind its end", p, key)
			}
		}
		was.offset = max(was.offset, x.Offset)
		w.prices[key] = was
	}
}

// livePrices are the prices of running sessions on the topic, by offset.
func (w *world) livePrices(p engine.Partition) (list []priceOf, texts map[priceOf]string) {
	texts = map[priceOf]string{}
	for _, r := range w.kafka.log(pricesTopic, p.Number).recs {
		var x priceOf
		if r.Value == nil || json.Unmarshal(r.Value, &x) != nil || x.ended() {
			continue
		}
		if was, ok := texts[x]; ok && was != string(r.Value) {
			w.fail("the price of %s at offset %d is %s and %s", x.ID, x.Offset, was, r.Value)
		}
		texts[x] = string(r.Value)
		list = append(list, x)
	}
	slices.SortStableFunc(list, func(a, b priceOf) int { return cmp.Compare(a.Offset, b.Offset) })
	return list, texts
}

// rateTold rates a block like rate does, and holds the prices that were told in its range against the Replayer.
//
// A life tells prices of what it has not made durable. One that dies then may have taken the tariff of a session from
// another book than the next life, which may get a newer one: so where books change, the money of a few may differ.
func (w *world) rateTold(r *engine.Replayer, p engine.Partition, first, last int64, list []priceOf, texts map[priceOf]string) {
	for _, x := range list {
		if x.Offset <= first || x.Offset > last+1 {
			continue
		}
		w.rate(r, p, first, x.Offset-1)
		first = x.Offset
		id, _ := engine.ParseSessionID(x.ID)
		got := string(r.Price(x.Offset, id))
		if got != texts[x] && got != "" && quantities(got) == quantities(texts[x]) && w.in.refs[len(w.in.refs)-1].at > 0 {
			w.counts.Repriced++
			continue
		}
		if got != texts[x] {
			w.fail("the price of %s at offset %d of %s is told as %s, want %q", x.ID, x.Offset, p, texts[x], got)
		}
		w.counts.Prices++
	}
	w.rate(r, p, first, last)
}

// quantities are a price's text without the money.
func quantities(text string) string {
	from, to := strings.Index(text, `"currency"`), strings.Index(text, `"flags"`)
	if from < 0 || to < from {
		return text
	}
	return text[:from] + text[to:]
}

// checkEnds: of each session that ended, the last price is told, as it is, and a tombstone behind it.
func (w *world) checkEnds(t *told) {
	told, gone := map[string]bool{}, map[string]bool{}
	for _, p := range w.kafka.parts {
		for _, r := range w.kafka.log(pricesTopic, p.Number).recs {
			key := string(r.Key)
			var x priceOf
			switch {
			case r.Value == nil:
				gone[key] = gone[key] || told[key]
			case json.Unmarshal(r.Value, &x) == nil && x.ended():
				told[key] = true
				if string(r.Value) != t.last[key] {
					w.fail("the last price of %s is told as %s, want %q", key, r.Value, t.last[key])
				}
			}
		}
	}
	keys := make([]string, 0, len(t.last))
	for k := range t.last {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !gone[k] {
			w.fail("session %s has ended, and its last price or the tombstone behind it is lost: %v", k, told[k])
		}
	}
}
