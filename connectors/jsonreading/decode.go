package jsonreading

import (
	"fmt"
	"unicode/utf8"

	"github.com/wattline/wattline/connectors/jsontext"
	"github.com/wattline/wattline/rating"
)

// decoder is the state of one call of Decode. It never leaves the stack.
type decoder struct {
	jsontext.Scanner

	index int // of the reading in its array; -1 alone
	err   error
}

// Decode appends the readings of one Kafka message to dst and returns the longer dst. The byte slices of the
// readings point into value, which the caller owns and must keep as it is for as long as it uses them, or are new
// where value has escapes. key is not read: a reading without charge point leaves ChargePoint empty, which means
// the key.
//
// On an error dst is returned with its old length; what lies behind it may be overwritten.
func Decode(_, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	var d decoder
	d.B, d.index = value, -1
	if len(value) > MaxBytes {
		d.failAt("message", fmt.Sprintf("%d bytes, at most %d", len(value), MaxBytes))
		return dst, d.err
	}
	out := dst
	i := jsontext.Blanks(value, 0)
	switch {
	case i < len(value) && value[i] == '{':
		var r *rating.Reading
		out, r = extend(out)
		i = d.reading(i, 0, r)
	case i < len(value) && value[i] == '[':
		i, out = d.array(i, out)
	default:
		i = d.Syntax(i, "neither an object nor an array")
	}
	if i >= 0 {
		if i = jsontext.Blanks(value, i); i < len(value) {
			d.Syntax(i, "something follows the message")
		}
	}
	if d.err == nil && d.Fault != "" {
		d.failAt(fmt.Sprintf("byte %d", d.FaultAt), d.Fault)
	}
	if d.err != nil {
		return dst, d.err
	}
	return out, nil
}

// extend adds one reading to dst that says nothing (J1).
func extend(dst []rating.Reading) ([]rating.Reading, *rating.Reading) {
	n := len(dst)
	if n < cap(dst) {
		dst = dst[:n+1]
	} else {
		dst = append(dst, rating.Reading{})
	}
	r := &dst[n]
	*r = rating.Reading{
		AtMs: rating.Unknown, RegisterMwh: rating.Unknown, PowerMicroW: rating.Unknown,
		CurrentNanoA: rating.Unknown, Seq: rating.Unknown,
	}
	return dst, r
}

// array reads the readings of the array at b[i].
func (d *decoder) array(i int, dst []rating.Reading) (next int, out []rating.Reading) {
	i++
	for first := true; ; first = false {
		j, more := d.Next(i, first)
		if !more {
			return j, dst
		}
		d.index++
		switch {
		case d.B[j] != '{':
			return d.failAt("", "not an object"), dst
		case d.index == MaxReadings:
			return d.failAt("", fmt.Sprintf("more than %d readings", MaxReadings)), dst
		}
		var r *rating.Reading
		dst, r = extend(dst)
		if i = d.reading(j, 1, r); i < 0 {
			return -1, dst
		}
	}
}

// reading reads the object at b[i], which is inside of depth arrays, into r, which says nothing yet.
func (d *decoder) reading(i, depth int, r *rating.Reading) (next int) {
	depth++
	var seen uint32
	i++
	for first := true; ; first = false {
		key, j, more := d.Member(i, first)
		if !more {
			if j >= 0 && seen == 0 {
				return d.failAt("", "no member of a reading is said: this is something else")
			}
			return j
		}
		f := fieldOf(key)
		if f == unknownField {
			if known := misspelt(key); known != "" {
				return d.failAt(fmt.Sprintf("%.60s", key), "is unknown; did you mean "+known+"?")
			}
			if i = d.Skip(j, depth); i < 0 {
				return -1
			}
			continue
		}
		bit := uint32(1) << f
		if f >= registerWh {
			bit = 1 << registerMwh
		}
		if seen&bit != 0 {
			return d.twice(f)
		}
		switch f {
		case version, connector, atMs, registerMwh, powerUW, currentNA, seq, resolutionMwh:
			v, k, said := d.integer(j, depth, f)
			if k < 0 || said && !d.set(f, r, v) {
				return -1
			}
			i = k
			if !said {
				continue
			}
		default:
			s, k := d.Scalar(j, depth)
			if k < 0 {
				return -1
			}
			i = k
			if s.Kind == jsontext.Absent {
				continue
			}
			if !d.word(f, r, s) {
				return -1
			}
		}
		seen |= bit
	}
}

// integer reads the whole number at b[i], a JSON number or its text as a string: a JSON library that reads numbers
// as float64 keeps only the latter exact. said is false for null.
func (d *decoder) integer(i, depth int, f field) (v int64, next int, said bool) {
	b := d.B
	j := i
	if b[j] == '-' {
		j++
	}
	from := j
	var u uint64
	for j < len(b) && b[j]-'0' <= 9 && j-from < 18 { // what any int64 has room for
		u = u*10 + uint64(b[j]-'0')
		j++
	}
	if j > from && j < len(b) && (b[from] != '0' || j == from+1) && (b[j] == ',' || b[j] == '}') {
		v = int64(u)
		if from > i {
			v = -v
		}
		return v, j, true
	}
	s, next := d.Scalar(i, depth)
	if next < 0 || s.Kind == jsontext.Absent {
		return 0, next, false
	}
	v, ok := int64(0), false
	if s.Kind != jsontext.Other {
		v, ok = whole(s.Text)
	}
	if !ok {
		return 0, d.notWhole(f, s), false
	}
	return v, next, true
}

// whole reads a whole number within int64, the smallest one excepted: it means Unknown.
func whole(text []byte) (v int64, ok bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	if len(text) == 0 || len(text) > 19 || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	u := uint64(0)
	for _, c := range text {
		if c-'0' > 9 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if u > 1<<63-1 {
		return 0, false
	}
	if negative {
		return -int64(u), true
	}
	return int64(u), true
}

// set takes a whole number into r.
func (d *decoder) set(f field, r *rating.Reading, v int64) bool {
	low, high := int64(0), int64(1<<63-1)
	switch f {
	case version:
		if v != Version {
			return d.fail(f, fmt.Sprintf("%d; this program reads version %d", v, Version)) >= 0
		}
		return true
	case connector:
		high = 1<<31 - 1
		r.Connector = int32(v)
	case atMs:
		high = MaxAtMs
		r.AtMs = v
	case registerMwh:
		low = -high
		r.RegisterMwh = v
	case powerUW:
		low = -high
		r.PowerMicroW = v
	case currentNA:
		low = -high
		r.CurrentNanoA = v
	case seq:
		r.Seq = v
	case resolutionMwh:
		r.ResolutionMwh = v
	}
	if v < low || v > high {
		return d.fail(f, fmt.Sprintf("%d is out of range: %d to %d", v, low, high)) >= 0
	}
	return true
}

// word takes a text, a word of an enumeration, or a register as a decimal into r.
func (d *decoder) word(f field, r *rating.Reading, s jsontext.Scalar) bool {
	if f == registerWh || f == registerKWh {
		return d.decimal(f, r, s)
	}
	if s.Kind != jsontext.String {
		return d.fail(f, "not a string") >= 0
	}
	ok := true
	switch f {
	case chargePoint:
		r.ChargePoint = s.Text
		return d.text(f, s.Text, MaxChargePoint)
	case transaction:
		r.Transaction = s.Text
		return d.text(f, s.Text, MaxTransaction)
	case messageID:
		r.MessageID = s.Text
		return d.text(f, s.Text, MaxMessageID)
	case token:
		r.Token = s.Text
		return d.text(f, s.Text, MaxToken)
	case state:
		r.State, ok = stateOf(s.Text)
	case kind:
		r.Kind, ok = kindOf(s.Text)
	case context:
		r.Context, ok = contextOf(s.Text)
	}
	if !ok {
		return d.fail(f, fmt.Sprintf("%.60q is none of its words", s.Text)) >= 0
	}
	return true
}

// text checks a text of at most limit bytes.
func (d *decoder) text(f field, text []byte, limit int) bool {
	switch {
	case len(text) > limit:
		return d.fail(f, fmt.Sprintf("%d bytes, at most %d", len(text), limit)) >= 0
	case !utf8.Valid(text):
		return d.fail(f, "not UTF-8") >= 0
	}
	return true
}

// decimal takes a register in Wh or kWh that is a whole number of mWh, a JSON number or its text as a string.
func (d *decoder) decimal(f field, r *rating.Reading, s jsontext.Scalar) bool {
	if s.Kind == jsontext.Other {
		return d.notWhole(f, s) >= 0
	}
	decimals := 3
	if f == registerKWh {
		decimals = 6
	}
	v, ok := scaled(s.Text, decimals)
	if !ok {
		return d.fail(f, fmt.Sprintf("%.60q is not a decimal number that is a whole number of mWh", s.Text)) >= 0
	}
	r.RegisterMwh = v
	return true
}

// scaled is the decimal number text times 10^decimals, if that is whole and within int64. It has no exponent.
func scaled(text []byte, decimals int) (v int64, ok bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	if len(text) == 0 || text[0]-'0' > 9 || text[0] == '0' && len(text) > 1 && text[1] != '.' {
		return 0, false
	}
	const most = (1<<63 - 1) / 10
	u, left, point := uint64(0), decimals, false
	for i, c := range text {
		switch {
		case c == '.' && !point && i < len(text)-1:
			point = true
		case c-'0' > 9:
			return 0, false
		case point && left == 0:
			if c != '0' {
				return 0, false
			}
		default:
			if u > most {
				return 0, false
			}
			if u = u*10 + uint64(c-'0'); point {
				left--
			}
		}
	}
	for ; left > 0; left-- {
		if u > most {
			return 0, false
		}
		u *= 10
	}
	if u > 1<<63-1 {
		return 0, false
	}
	if negative {
		return -int64(u), true
	}
	return int64(u), true
}

func (d *decoder) notWhole(f field, s jsontext.Scalar) int {
	if s.Kind == jsontext.Other {
		return d.fail(f, "not a number")
	}
	return d.fail(f, fmt.Sprintf("%.60q is not a whole number of 64 bits", s.Text))
}

func (d *decoder) twice(f field) int {
	if f == registerMwh || f >= registerWh {
		return d.failAt("register", "said twice: one of register_mwh, register_wh and register_kwh")
	}
	return d.fail(f, "said twice")
}

// fail notes a fault of a member and returns -1.
func (d *decoder) fail(f field, what string) int { return d.failAt(fieldName(f), what) }

// failAt notes the first fault, with the reading, and returns -1.
func (d *decoder) failAt(path, what string) int {
	if d.err == nil {
		if d.index >= 0 {
			if path != "" {
				path = "." + path
			}
			path = fmt.Sprintf("[%d]%s", d.index, path)
		}
		if path == "" {
			path = "message"
		}
		d.err = fmt.Errorf("json: %s: %s", path, what)
	}
	return -1
}
