package rating

// What a rule looks at, as bits: a rule without any always matches.
const (
	seesClock uint8 = 1 << iota
	seesWeekday
	seesDate
	seesEnergy
	seesDuration
	seesPower
	seesCurrent
)

// rule is one component with the restrictions of its element, in the form in which they are compared.
type rule struct {
	minMwh, maxMwh      int64 // since session start; max exclusive
	minMs, maxMs        int64 // since session start; max exclusive
	fromMs, toMs        int32 // ms after local midnight; from > to wraps
	fromDay, toDay      int32 // days since 1970-01-01; to exclusive
	minPower, maxPower  uint16
	minCurrent, maxCurr uint16 // classes; max exclusive
	comp                int16
	sees                uint8
	weekdays            uint8
}

// moment is a situation that rules are asked about (EXACTNESS section 2).
type moment struct {
	energyMwh, durationMs int64 // since session start; 0 in a reservation
	dayMs                 int32 // ms after local midnight
	day                   int32 // days since 1970-01-01, local
	weekday               uint8 // as a bit: 1 = Monday
	power, current        uint16
	validMs               int64 // until when no clock or duration can change an answer, nor a slice ends
}

// matches says whether all restrictions of the rule hold.
func (r *rule) matches(m *moment) bool {
	if r.sees == 0 {
		return true
	}
	if r.sees&seesClock != 0 && !inWindow(m.dayMs, r.fromMs, r.toMs) {
		return false
	}
	if r.sees&(seesWeekday|seesDate) != 0 &&
		(r.weekdays&m.weekday == 0 || m.day < r.fromDay || m.day >= r.toDay) {
		return false
	}
	if r.sees&(seesEnergy|seesDuration) != 0 &&
		(m.energyMwh < r.minMwh || m.energyMwh >= r.maxMwh || m.durationMs < r.minMs || m.durationMs >= r.maxMs) {
		return false
	}
	// What is unknown restricts nothing.
	if r.sees&seesPower != 0 && m.power != noClass && (m.power < r.minPower || m.power >= r.maxPower) {
		return false
	}
	if r.sees&seesCurrent != 0 && m.current != noClass && (m.current < r.minCurrent || m.current >= r.maxCurr) {
		return false
	}
	return true
}

// inWindow says whether a time of day lies in [from, to), which wraps over midnight if from > to. Equal ends
// never get here: they are the whole day.
func inWindow(at, from, to int32) bool {
	if from < to {
		return from <= at && at < to
	}
	return at >= from || at < to
}

// first is the component of the first rule that matches, or noComp.
func first(rules []rule, m *moment) int16 {
	for i := range rules {
		if rules[i].matches(m) {
			return rules[i].comp
		}
	}
	return noComp
}
