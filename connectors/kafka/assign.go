package kafka

import (
	"cmp"
	"slices"

	"github.com/wattline/wattline/engine"
)

// claim is what a member brings into a rebalance.
type claim struct {
	memberID   string
	instanceID string
	address    string // where it answers questions
	topics     []string
	generation int32 // in which it got owned; 0: none yet
	owned      []engine.Partition
}

// name orders members in the same way in every generation: the member id is new at each start.
func (c *claim) name() string { return cmp.Or(c.instanceID, c.memberID) }

// assign deals the partitions of topics (counts: partitions by topic) to members and returns them by member id,
// sorted. With equal subscriptions no member has two more than another; a member keeps what it has as far as that
// allows, so as few partitions move as can be; the result depends on the arguments alone, not on their order.
func assign(members []claim, counts map[string]int) map[string][]engine.Partition {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.name(), b.name()), cmp.Compare(a.memberID, b.memberID))
	})
	d := deal{members: members, got: make([][]engine.Partition, len(members)), owner: map[engine.Partition]int{}}
	d.keep(counts)
	for _, p := range allPartitions(members, counts) {
		if _, taken := d.owner[p]; !taken {
			d.give(p)
		}
	}
	out := make(map[string][]engine.Partition, len(members))
	for i := range members {
		slices.SortFunc(d.got[i], comparePartitions)
		out[members[i].memberID] = d.got[i]
	}
	return out
}

func comparePartitions(a, b engine.Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
}

// allPartitions lists every partition that somebody subscribes to, sorted.
func allPartitions(members []claim, counts map[string]int) []engine.Partition {
	var topics []string
	for i := range members {
		topics = append(topics, members[i].topics...)
	}
	slices.Sort(topics)
	var out []engine.Partition
	for _, t := range slices.Compact(topics) {
		for n := range counts[t] {
			out = append(out, engine.Partition{Topic: t, Number: int32(n)})
		}
	}
	return out
}

// deal is an assignment being made.
type deal struct {
	members []claim
	got     [][]engine.Partition
	owner   map[engine.Partition]int // index of the member
}

// keep gives members what they own already, up to their share.
func (d *deal) keep(counts map[string]int) {
	kept := make([][]engine.Partition, len(d.members))
	holder := map[engine.Partition]int{}
	for i := range d.members { // two members may claim the same after one was away: the later generation is right
		for _, p := range d.members[i].owned {
			if p.Number < 0 || int(p.Number) >= counts[p.Topic] || !slices.Contains(d.members[i].topics, p.Topic) {
				continue
			}
			if h, ok := holder[p]; !ok || d.members[h].generation < d.members[i].generation {
				holder[p] = i
			}
		}
	}
	for p, i := range holder {
		kept[i] = append(kept[i], p)
	}
	order := make([]int, len(d.members)) // who has most gets one of the larger shares
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(kept[b]), len(kept[a])) })
	total := len(allPartitions(d.members, counts))
	for rank, i := range order {
		share := total / len(d.members)
		if rank < total%len(d.members) {
			share++
		}
		slices.SortFunc(kept[i], comparePartitions)
		for _, p := range kept[i][:min(share, len(kept[i]))] {
			d.owner[p] = i
			d.got[i] = append(d.got[i], p)
		}
	}
}

// give hands p to the member that has least of those that subscribe to its topic.
func (d *deal) give(p engine.Partition) {
	best := -1
	for i := range d.members {
		if slices.Contains(d.members[i].topics, p.Topic) && (best < 0 || len(d.got[i]) < len(d.got[best])) {
			best = i
		}
	}
	d.owner[p] = best
	d.got[best] = append(d.got[best], p)
}
