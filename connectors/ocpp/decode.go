package ocpp

import (
	"fmt"
	"unicode/utf8"

	"github.com/wattline/wattline/connectors/jsontext"
	"github.com/wattline/wattline/rating"
)

// direction says who sent a frame.
type direction uint8

const (
	unsaid direction = iota
	fromCharger
	toCharger
)

// decoder is the state of one call of Decode. It never leaves the stack.
type decoder struct {
	jsontext.Scanner

	dst []rating.Reading
	n   int // the message's readings are dst[n:]
	err error

	two     bool // OCPP 2.x, not 1.6
	base    int  // how deep the frame is: 0 bare, 1 in an envelope
	charger []byte
	key     []byte
	dir     direction

	// Where in the message, for errors: the payload, and the list in it, "" outside of one.
	where   string
	list    string
	element int32
	sample  int32

	meter
}

// Decode appends the readings of one Kafka message to dst and returns the longer dst. The byte slices of the
// readings point into value, which the caller owns and must keep as it is for as long as it uses them, or are
// new where value has escapes. A frame that carries nothing for the engine gives no readings and no error. key
// names the charger in errors if the message does not; a reading then leaves ChargePoint empty.
//
// On an error dst is returned with its old length; what lies behind it may be overwritten.
func Decode(key, value []byte, dst []rating.Reading) ([]rating.Reading, error) {
	return decode(key, value, dst, false)
}

// decode is Decode for one of the two families of OCPP: two says that it is 2.x.
func decode(key, value []byte, dst []rating.Reading, two bool) ([]rating.Reading, error) {
	var d decoder // set field by field: a literal would be made elsewhere and copied
	d.B, d.dst, d.n, d.key, d.two = value, dst, len(dst), key, two
	if len(value) > MaxBytes {
		d.failAt("message", fmt.Sprintf("%d bytes, at most %d", len(value), MaxBytes))
		return dst, d.err
	}
	i := jsontext.Blanks(value, 0)
	switch {
	case i < len(value) && value[i] == '{':
		i = d.envelope(i)
	case i < len(value) && value[i] == '[':
		i = d.frame(i)
	default:
		i = d.Syntax(i, "neither an envelope nor a frame")
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
	flags := rating.ReadingFlags(0)
	if d.signed {
		flags = rating.ReadingSigned
	}
	for j := d.n; j < len(d.dst); j++ {
		d.dst[j].ChargePoint = d.charger
		d.dst[j].Flags |= flags
	}
	return d.dst, nil
}

// envelope reads {"charger", "direction", "frame"}. A frame that comes before the other two is read last.
func (d *decoder) envelope(i int) (next int) {
	i++
	d.base = 1
	var seen uint8
	later := -1
	for first := true; ; first = false {
		key, j, more := d.Member(i, first)
		if !more {
			next = j
			break
		}
		bit := uint8(0)
		switch string(key) {
		case "charger":
			bit = 1
		case "direction":
			bit = 2
		case "frame":
			bit = 4
		}
		if seen&bit != 0 {
			return d.failAt(string(key), "said twice")
		}
		seen |= bit
		switch {
		case bit == 1:
			i = d.readCharger(j)
		case bit == 2:
			i = d.readDirection(j)
		case bit == 4 && seen&3 == 3:
			i = d.frame(j)
		default:
			if bit == 4 {
				later = j
			}
			i = d.Skip(j, 1)
		}
		if i < 0 {
			return -1
		}
	}
	if next < 0 {
		return -1
	}
	if seen&4 == 0 {
		return d.failAt("frame", "missing")
	}
	if later >= 0 && d.frame(later) < 0 {
		return -1
	}
	return next
}

func (d *decoder) readCharger(i int) (next int) {
	s, next := d.Scalar(i, d.base)
	if next < 0 || s.Kind == jsontext.Absent {
		return next
	}
	if s.Kind != jsontext.String {
		return d.failAt("charger", "not a string")
	}
	if fault := textFault(s.Text, MaxChargePoint); fault != "" {
		return d.failAt("charger", fault)
	}
	d.charger = s.Text
	return next
}

func (d *decoder) readDirection(i int) (next int) {
	s, next := d.Scalar(i, d.base)
	if next < 0 {
		return -1
	}
	switch {
	case s.Kind == jsontext.Absent:
	case s.Kind == jsontext.String && string(s.Text) == "in":
		d.dir = fromCharger
	case s.Kind == jsontext.String && string(s.Text) == "out":
		d.dir = toCharger
	default:
		return d.failAt("direction", `neither "in" nor "out"`)
	}
	return next
}

// frame reads [2, id, action, payload], [3, id, payload] or [4, id, ...]. OCPP 2.1 also has 5 and 6, which carry
// nothing for the engine.
func (d *decoder) frame(i int) (next int) {
	if d.B[i] != '[' {
		return d.failAt("frame", "not an array")
	}
	i, more := d.Next(i+1, true)
	if !more {
		return d.missing(i, "frame[0]")
	}
	kind, i := d.Scalar(i, d.base+1)
	if i < 0 {
		return -1
	}
	last := byte('4')
	if d.two {
		last = '6'
	}
	if kind.Kind != jsontext.Number || len(kind.Text) != 1 || kind.Text[0] < '2' || kind.Text[0] > last {
		return d.failAt("frame[0]", fmt.Sprintf("not a message type: 2 to %c", last))
	}
	if i, more = d.Next(i, false); !more {
		return d.missing(i, "frame[1]")
	}
	id, i := d.Scalar(i, d.base+1)
	if i < 0 {
		return -1
	}
	if id.Kind != jsontext.String {
		return d.failAt("frame[1]", "not a string")
	}
	switch {
	case kind.Text[0] == '2':
		i = d.call(i, id.Text)
	case kind.Text[0] == '3' && !d.two:
		i = d.result(i, id.Text)
	}
	if i < 0 {
		return -1
	}
	for { // nothing that counts
		if i, more = d.Next(i, false); !more {
			return i
		}
		if i = d.Skip(i, d.base+1); i < 0 {
			return -1
		}
	}
}

// call reads action and payload of a request.
func (d *decoder) call(i int, id []byte) (next int) {
	i, more := d.Next(i, false)
	if !more {
		return d.missing(i, "frame[2]")
	}
	name, i := d.Scalar(i, d.base+1)
	if i < 0 {
		return -1
	}
	if name.Kind != jsontext.String {
		return d.failAt("frame[2]", "not a string")
	}
	a, a2 := fields(0), fields2(0)
	if d.two {
		a2 = actionOf2(name.Text)
	} else {
		a = actionOf(name.Text)
	}
	if a == 0 && a2 == 0 || d.dir == toCharger {
		return i
	}
	if i, more = d.Next(i, false); !more {
		return d.missing(i, "frame[3]")
	}
	if d.B[i] != '{' {
		return d.failAt("frame[3]", "not an object")
	}
	d.where = "frame[3]"
	if d.two {
		return d.payload2(i, a2)
	}
	return d.payload(i, a, id)
}

// result reads the answer to a StartTransaction: of all results of OCPP 1.6 only it has a transactionId.
func (d *decoder) result(i int, id []byte) (next int) {
	j, more := d.Next(i, false)
	if j < 0 {
		return -1
	}
	if !more {
		return i // the caller sees the end again
	}
	i = j
	if d.B[i] != '{' || d.dir == fromCharger {
		return d.Skip(i, d.base+1)
	}
	d.where = "frame[2]"
	return d.payload(i, actionAnswer, id)
}

// textFault says why an id can not be used as text, "" if it can.
func textFault(text []byte, limit int) string {
	switch {
	case len(text) > limit:
		return fmt.Sprintf("%d bytes, at most %d", len(text), limit)
	case !utf8.Valid(text):
		return "not UTF-8"
	}
	return ""
}

// messageID takes the id of a frame into r: it pairs a Start with its answer.
func (d *decoder) messageID(r *rating.Reading, id []byte) bool {
	if fault := textFault(id, MaxMessageID); fault != "" {
		d.failAt("frame[1]", fault)
		return false
	}
	r.MessageID = id
	return true
}

// emit appends a reading.
func (d *decoder) emit(r *rating.Reading) bool {
	if len(d.dst)-d.n >= MaxReadings {
		d.failAt(d.where, fmt.Sprintf("more than %d readings", MaxReadings))
		return false
	}
	d.dst = append(d.dst, *r)
	return true
}

// missing is what a fault at i, or the end of the frame, means for an element that must be there.
func (d *decoder) missing(i int, field string) int {
	if i < 0 {
		return -1
	}
	return d.failAt(field, "missing")
}

// failAt notes the first fault, with the charger, and returns -1.
func (d *decoder) failAt(path, what string) int {
	if d.err == nil {
		charger := d.charger
		if len(charger) == 0 {
			charger = d.key
		}
		d.err = fmt.Errorf("ocpp: charger %.60q: %s: %s", charger, path, what)
	}
	return -1
}

// fail notes a fault of a field of the payload and returns -1.
func (d *decoder) fail(field, what string) int {
	switch {
	case d.list == "":
		return d.failAt(d.where+"."+field, what)
	case d.sample < 0:
		return d.failAt(fmt.Sprintf("%s.%s[%d].%s", d.where, d.list, d.element, field), what)
	}
	return d.failAt(fmt.Sprintf("%s.%s[%d].sampledValue[%d].%s", d.where, d.list, d.element, d.sample, field), what)
}
