package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Shrink looks for a smaller plan that fails, too: fewer faults, then fewer messages. try runs a plan and says whether
// it fails; it is called at most tries times. What fails may become another failure on the way: it is a failure all
// the same, with less around it.
func Shrink(p Plan, tries int, try func(Plan) bool) Plan {
	attempt := func(smaller Plan) bool {
		if tries == 0 {
			return false
		}
		tries--
		if !try(smaller) {
			return false
		}
		p = smaller
		return true
	}
	for size := max(1, len(p.Faults)/2); len(p.Faults) > 0; size = max(1, size/2) {
		dropped := false
		for i := 0; i < len(p.Faults); {
			smaller := p
			smaller.Faults = slices.Delete(slices.Clone(p.Faults), i, min(i+size, len(p.Faults)))
			if attempt(smaller) {
				dropped = true
			} else {
				i += size
			}
		}
		if size == 1 && !dropped || tries == 0 {
			break
		}
	}
	for step := p.Messages / 2; step > 0; step /= 2 {
		for p.Messages > step {
			smaller := p
			smaller.Messages -= step
			if !attempt(smaller) {
				break
			}
		}
	}
	return p
}

// Report is what a person needs of a failing run: what is wrong, the plan, the faults, and the last steps.
func (r *Result) Report(p Plan, last int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s\n\n", p.Seed, r.Fault)
	fmt.Fprintf(&b, "%d partitions, %d engines (%d at once), %d messages in %v, batches of %d, session time-out %v; faults:\n",
		p.Partitions, p.Engines, p.Running, p.Messages, p.Span, p.Batch, p.Session)
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	fmt.Fprintf(&b, "\n  step       time who  what\n")
	for _, e := range r.Trace[max(0, len(r.Trace)-last):] {
		fmt.Fprintf(&b, "%s\n", e)
	}
	return b.String()
}
