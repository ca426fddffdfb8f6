package kafka

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wattline/wattline/engine"
)

// TestAssignRandom lets members come and go and checks balance, stickiness and determinism of every assignment.
func TestAssignRandom(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		counts := map[string]int{"a": r.IntN(40), "b": r.IntN(10), "c": 1}
		topics := []string{"a", "b", "c"}
		var members []claim
		next := 0
		for generation := int32(1); generation < 25; generation++ {
			for range r.IntN(3) {
				members = append(members, claim{memberID: fmt.Sprintf("m%d", r.Uint32()), instanceID: fmt.Sprintf("i%03d", next), topics: topics})
				next++
			}
			if len(members) > 1 && r.IntN(3) == 0 {
				members = slices.Delete(members, 0, 1)
			}
			if len(members) == 0 {
				continue
			}
			if r.IntN(4) == 0 { // a restarted member owns nothing until its next join
				members[r.IntN(len(members))].owned = nil
			}
			got := assign(members, counts)
			if err := checkAssignment(members, counts, got); err != nil {
				t.Fatalf("seed %d generation %d: %v", seed, generation, err)
			}
			shuffled := slices.Clone(members)
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if d := cmp.Diff(got, assign(shuffled, counts)); d != "" {
				t.Fatalf("seed %d generation %d depends on the order of members: %s", seed, generation, d)
			}
			for i := range members {
				members[i].owned, members[i].generation = got[members[i].memberID], generation
			}
		}
	}
}

// checkAssignment checks that every partition has one owner, that shares differ by one at most, and that as many
// partitions stay as can stay with such shares.
func checkAssignment(members []claim, counts map[string]int, got map[string][]engine.Partition) error {
	owner := map[engine.Partition]string{}
	least, most := 1<<30, 0
	for _, m := range members {
		ps := got[m.memberID]
		least, most = min(least, len(ps)), max(most, len(ps))
		for _, p := range ps {
			if o, twice := owner[p]; twice {
				return fmt.Errorf("%s is given to %s and %s", p, o, m.memberID)
			}
			owner[p] = m.memberID
		}
	}
	total := 0
	for t, n := range counts {
		for i := range n {
			total++
			if _, ok := owner[engine.Partition{Topic: t, Number: int32(i)}]; !ok {
				return fmt.Errorf("%s/%d has no owner", t, i)
			}
		}
	}
	if most-least > 1 {
		return fmt.Errorf("shares reach from %d to %d", least, most)
	}
	// What could stay at best: everybody up to the small share, and as many as there are large shares one more.
	small, large := total/len(members), total%len(members)
	best, over, kept := 0, 0, 0
	for _, m := range members {
		best += min(len(m.owned), small)
		if len(m.owned) > small {
			over++
		}
		for _, p := range m.owned {
			if owner[p] == m.memberID {
				kept++
			}
		}
	}
	if best += min(over, large); kept != best {
		return fmt.Errorf("%d partitions stay, %d could", kept, best)
	}
	return nil
}

func TestAssignCases(t *testing.T) {
	ps := func(topic string, numbers ...int32) []engine.Partition {
		var out []engine.Partition
		for _, n := range numbers {
			out = append(out, engine.Partition{Topic: topic, Number: n})
		}
		return out
	}
	f := func(name string, members []claim, counts map[string]int, want map[string][]engine.Partition) {
		t.Helper()
		if d := cmp.Diff(want, assign(members, counts)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	r := []string{"r"}
	f("alone", []claim{{memberID: "x", topics: r}}, map[string]int{"r": 3}, map[string][]engine.Partition{"x": ps("r", 0, 1, 2)})
	f("newer claim wins", []claim{
		{memberID: "old", instanceID: "a", topics: r, generation: 4, owned: ps("r", 0, 1)},
		{memberID: "new", instanceID: "b", topics: r, generation: 5, owned: ps("r", 1)},
	}, map[string]int{"r": 2}, map[string][]engine.Partition{"old": ps("r", 0), "new": ps("r", 1)})
	f("claims of what is not there", []claim{
		{memberID: "x", topics: r, generation: 1, owned: append(ps("r", 7, -1, 0), ps("q", 0)...)},
		{memberID: "y", topics: r},
	}, map[string]int{"r": 2, "q": 5}, map[string][]engine.Partition{"x": ps("r", 0), "y": ps("r", 1)})
	f("more members than partitions", []claim{{memberID: "x", topics: r}, {memberID: "y", topics: r}}, map[string]int{"r": 1},
		map[string][]engine.Partition{"x": ps("r", 0), "y": nil})
	f("different subscriptions", []claim{{memberID: "x", topics: r}, {memberID: "y", topics: []string{"q", "r"}}}, map[string]int{"r": 1, "q": 2},
		map[string][]engine.Partition{"x": ps("r", 0), "y": ps("q", 0, 1)})
}
