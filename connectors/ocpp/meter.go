package ocpp

import (
	"fmt"
	"math/bits"

	"github.com/wattline/wattline/connectors/jsontext"
	"github.com/wattline/wattline/rating"
)

// The powers of ten between a unit and the smallest one of its quantity.
const (
	scaleWh  = 3 // mWh
	scaleKWh = 6
	scaleW   = 6 // microwatt
	scaleKW  = 9
	scaleA   = 9 // nanoampere
)

// quantityKind says which of a group's quantities a sampled value is.
type quantityKind uint8

const (
	noMeasurand quantityKind = iota // none was said
	energy
	power
	current
	otherMeasurand
)

// unitKind is a unit of measure that counts.
type unitKind uint8

const (
	noUnit unitKind = iota // none was said
	unitWh
	unitKWh
	unitW
	unitKW
	unitA
	otherUnit
)

// The slots of a quantity: the phases, and the value without phase, which is the total.
const (
	phase1 = iota
	phase2
	phase3
	total
	slots
	noSlot = slots // neutral, between phases, unknown
)

// The ranks of locations (OCPP 1.6 section 7.21). The outlet, which is the default, is what the driver gets; the
// inlet has the losses of the charge point too. A value of a higher rank puts out those of lower ranks.
const (
	rankInlet = iota
	rankBody  // and unknown ones
	rankEV
	rankCable
	rankOutlet
)

// sampled is one sampledValue.
type sampled struct {
	value     jsontext.Scalar
	context   rating.Context
	quantity  quantityKind
	unit      unitKind
	slot      uint8
	rank      int8
	signed    bool // the value is the signed one (1.6)
	hasSigned bool // a signed one stands beside it (2.x)
	// multiplier is the power of ten that the unit is multiplied with (2.x).
	multiplier int
	unitShown  jsontext.Scalar // for the error
}

// quantity is one measurand of a group.
type quantity struct {
	mask    uint8 // slots that have a value
	guessed uint8 // slots whose value had no unit
	rank    int8
	coarse  [slots]uint8 // coarseness
	element [slots]int32
	v       [slots]int64
}

// group is what was measured at one time in one context: one reading.
type group struct{ q [3]quantity } // of energy, power, current

// meter collects sampled values until their reading is complete.
type meter struct {
	atMs   int64
	flags  rating.ReadingFlags
	groups [contexts]group
	used   uint8 // groups that have a value
	signed bool  // the message has a signed value
}

const contexts = int(rating.ContextOther) + 1

// meterValues reads the array at b[i]: meterValue of MeterValues or transactionData of StopTransaction.
func (d *decoder) meterValues(i int, list string) (next int) {
	depth := d.base + 3 // inside of this array
	if d.B[i] != '[' {
		s, next := d.Scalar(i, depth-1)
		if next >= 0 && s.Kind != jsontext.Absent {
			return d.fail(list, "not an array")
		}
		return next
	}
	d.atMs = rating.Unknown
	d.element, d.list = -1, list
	i++
	for first := true; ; first = false {
		j, more := d.Next(i, first)
		if !more {
			i = j
			break
		}
		d.element++
		d.sample = -1
		if i = d.meterElement(j, depth); i < 0 {
			return -1
		}
	}
	d.sample = -1
	if i < 0 || !d.flush(d.used) {
		return -1
	}
	d.list = ""
	return i
}

// meterElement reads one {timestamp, sampledValue}. Its values are of its timestamp, so that is read first.
func (d *decoder) meterElement(i, depth int) (next int) {
	if d.B[i] != '{' {
		return d.failAt(fmt.Sprintf("%s.%s[%d]", d.where, d.list, d.element), "not an object")
	}
	var seen uint8
	var at jsontext.Scalar
	values := -1
	i++
	for first := true; ; first = false {
		key, j, more := d.Member(i, first)
		if !more {
			next = j
			break
		}
		bit := uint8(0)
		switch string(key) {
		case "timestamp":
			bit = 1
		case "sampledValue":
			bit = 2
		}
		if seen&bit != 0 {
			return d.fail(string(key), "said twice")
		}
		seen |= bit
		switch {
		case bit == 1:
			if at, i = d.Scalar(j, depth+1); i >= 0 && !d.setTime(at) {
				return -1
			}
		case bit == 2 && seen&1 != 0:
			i = d.sampledValues(j, depth+1)
		default:
			if bit == 2 {
				values = j
			}
			i = d.Skip(j, depth+1)
		}
		if i < 0 {
			return -1
		}
	}
	if next < 0 {
		return -1
	}
	if seen&1 == 0 && !d.setTime(at) {
		return -1
	}
	if values >= 0 && d.sampledValues(values, depth+1) < 0 {
		return -1
	}
	return next
}

// setTime begins an element. Elements with one timestamp make one reading: some chargers send an element for
// each measurand.
func (d *decoder) setTime(s jsontext.Scalar) bool {
	atMs, flags := timestamp(s)
	if atMs == d.atMs && atMs != rating.Unknown {
		d.flags |= flags
		return true
	}
	if !d.flush(d.used) {
		return false
	}
	d.atMs, d.flags = atMs, flags
	return true
}

func (d *decoder) sampledValues(i, depth int) (next int) {
	if d.B[i] != '[' {
		s, next := d.Scalar(i, depth)
		if next >= 0 && s.Kind != jsontext.Absent {
			return d.fail("sampledValue", "not an array")
		}
		return next
	}
	i++
	for first := true; ; first = false {
		j, more := d.Next(i, first)
		if !more {
			d.sample = -1
			return j
		}
		d.sample++
		if i = d.sampledValue(j, depth+1); i < 0 {
			return -1
		}
	}
}

// sampledValue reads one value with what is said about it, and adds it to its group.
func (d *decoder) sampledValue(i, depth int) (next int) {
	if d.B[i] != '{' {
		return d.failAt(fmt.Sprintf("%s.%s[%d].sampledValue[%d]", d.where, d.list, d.element, d.sample), "not an object")
	}
	if d.two {
		return d.sampledValue2(i, depth)
	}
	v := sampled{slot: total, rank: rankOutlet}
	var seen uint8
	i++
	for first := true; ; first = false {
		bit, j := plainField(d.B, i, first)
		if bit == 0 {
			key, k, more := d.Member(i, first)
			if !more {
				next = k
				break
			}
			bit, j = sampledField(key), k
		}
		if bit == 0 {
			if i = d.Skip(j, depth+1); i < 0 {
				return -1
			}
			continue
		}
		if seen&bit != 0 {
			return d.fail(fieldName(bit), "said twice")
		}
		seen |= bit
		var s jsontext.Scalar
		if s, i = d.Scalar(j, depth+1); i < 0 {
			return -1
		}
		v.set(bit, s)
	}
	if next < 0 || !d.add(&v) {
		return -1
	}
	return next
}

// set takes one member of a sampledValue. What is null or empty is the standard's default, as if it were not
// there; what is no string is as an unknown word.
func (v *sampled) set(field uint8, s jsontext.Scalar) {
	if field == fieldValue {
		v.value = s
		return
	}
	word := s.Text
	switch s.Kind {
	case jsontext.String:
		if word = trim(word); len(word) == 0 {
			return
		}
	case jsontext.Absent:
		return
	default:
		word = []byte("?") // does not leave the stack
	}
	switch field {
	case fieldContext:
		v.context = contextOf(word)
	case fieldFormat:
		v.signed = string(word) == "SignedData"
	case fieldMeasurand:
		v.quantity = quantityOf(word)
	case fieldPhase:
		v.slot = slotOf(word)
	case fieldLocation:
		v.rank = rankOf(word)
	case fieldUnit:
		v.unit, v.unitShown = unitOf(word), s
	}
}

// add puts a value into its group. What is not needed, or can not be read and is not energy, is left out. An
// energy that can not be read refuses the message: to leave it out would bill less without a trace.
func (d *decoder) add(v *sampled) bool {
	d.signed = d.signed || v.signed || v.hasSigned
	if v.signed || v.slot == noSlot {
		return true
	}
	if v.quantity == noMeasurand { // the register is the default, but the unit may know better
		switch v.unit {
		case noUnit, unitWh, unitKWh:
			v.quantity = energy
		case unitW, unitKW:
			v.quantity = power
		case unitA:
			v.quantity = current
		default:
			return true
		}
	}
	if v.quantity == otherMeasurand {
		return true
	}
	scale, ok := v.scale()
	if !ok {
		if v.quantity == energy {
			return d.fail("unit", fmt.Sprintf("%.60q is not a unit of energy", v.unitShown.Text)) >= 0
		}
		return true
	}
	scale += v.multiplier
	n, decimals, ok := decimalOf(v.value, scale)
	if !ok {
		return v.quantity != energy || d.notNumber("value", v.value) >= 0
	}
	return d.put(v, n, coarseness(scale, decimals))
}

// scale is the scale of a value's unit, if it is a unit of its quantity.
func (v *sampled) scale() (scale int, ok bool) {
	switch v.quantity {
	case energy:
		switch v.unit {
		case noUnit, unitWh:
			return scaleWh, true
		case unitKWh:
			return scaleKWh, true
		}
	case power:
		switch v.unit {
		case noUnit, unitW:
			return scaleW, true
		case unitKW:
			return scaleKW, true
		}
	case current:
		return scaleA, v.unit == noUnit || v.unit == unitA
	}
	return 0, false
}

// put stores a value. A value that an earlier element has said already begins another reading of the same time;
// inside of one element the finer register counts, else the last value.
func (d *decoder) put(v *sampled, n int64, coarse uint8) bool {
	g := &d.groups[v.context]
	q := &g.q[v.quantity-energy]
	switch {
	case q.mask == 0 || v.rank > q.rank:
		*q = quantity{rank: v.rank}
	case v.rank < q.rank:
		return true
	case q.mask>>v.slot&1 == 0:
	case q.element[v.slot] != d.element:
		if !d.flush(1 << v.context) {
			return false
		}
		q.rank = v.rank
	case v.quantity == energy && coarse > q.coarse[v.slot]:
		return true
	}
	q.mask |= 1 << v.slot
	q.v[v.slot], q.coarse[v.slot], q.element[v.slot] = n, coarse, d.element
	q.guessed &^= 1 << v.slot
	if v.unit == noUnit {
		q.guessed |= 1 << v.slot
	}
	d.used |= 1 << v.context
	return true
}

// sum is the total if there is one, else the sum of the phases. used are the slots that it is made of, 0 if
// there is nothing.
func (q *quantity) sum() (v int64, coarse, used uint8) {
	if q.mask>>total&1 != 0 {
		return q.v[total], q.coarse[total], 1 << total
	}
	for m := q.mask; m != 0; m &= m - 1 {
		i := bits.TrailingZeros8(m)
		v += q.v[i]
		coarse = max(coarse, q.coarse[i])
	}
	return v, coarse, q.mask
}

// flush makes readings of the groups in which, a set of contexts: the start value first, the end value last.
func (d *decoder) flush(which uint8) bool {
	if which == 0 {
		return true
	}
	d.used &^= which
	order := [contexts]rating.Context{
		rating.ContextBegin, rating.ContextPeriodic, rating.ContextClock, rating.ContextOther, rating.ContextEnd,
	}
	for _, c := range order {
		if which>>c&1 != 0 && !d.emitGroup(c) {
			return false
		}
	}
	return true
}

func (d *decoder) emitGroup(c rating.Context) bool {
	g := &d.groups[c]
	r := blank()
	r.AtMs, r.Flags, r.Context = d.atMs, d.flags, c
	e := &g.q[0]
	v, coarse, used := e.sum()
	if used != 0 {
		r.RegisterMwh, r.ResolutionMwh = v, step(coarse)
		if used != 1<<total {
			r.Flags |= rating.ReadingPhaseSum
		}
		if e.guessed&used != 0 {
			r.Flags |= rating.ReadingUnitGuessed
		}
	}
	if v, _, used := g.q[1].sum(); used != 0 {
		r.PowerMicroW = v
	}
	if v, _, used := g.q[2].sum(); used != 0 {
		r.CurrentNanoA = v
	}
	for i := range g.q {
		g.q[i].mask = 0
	}
	if used == 0 && (c == rating.ContextBegin || c == rating.ContextEnd) {
		return true // a start or an end is a register value; there is none
	}
	return d.emit(&r)
}
