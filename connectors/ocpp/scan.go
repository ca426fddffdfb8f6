package ocpp

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// The JSON scanner. It walks bytes by index: a function takes the index at which something begins and returns
// the index after it, or -1 after it has noted the fault in d.err. It allocates only for escapes and faults.

// blanks returns the index of the first byte from i on that is not JSON white space.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// stringEnd returns the index of the byte from i on that ends a run of plain characters: a quote, a backslash
// or a control character. It is len(b) if there is none.
func stringEnd(b []byte, i int) int {
	s := b[i:]
	for len(s) >= 8 {
		// Eight bytes at a time: the top bit of each byte of stop says that it is one of the three. With bit 1
		// flipped the quote (0x22) is the next after the control characters, so one comparison finds them all.
		// A borrow can set bits above the first such byte only, and the first is all that counts.
		x := binary.LittleEndian.Uint64(s)
		low := x ^ 0x02*ones
		slash := x ^ '\\'*ones
		stop := ((low-0x21*ones) & ^low | (slash-ones) & ^slash) & tops
		if stop != 0 {
			return len(b) - len(s) + bits.TrailingZeros64(stop)>>3
		}
		s = s[8:]
	}
	for len(s) > 0 && s[0] != '"' && s[0] != '\\' && s[0] >= 0x20 {
		s = s[1:]
	}
	return len(b) - len(s)
}

// str reads the string whose quote is b[i]. The text points into b, or is new if it has escapes.
func (d *decoder) str(i int) (text []byte, next int) {
	b := d.b
	i++
	end := stringEnd(b, i)
	if end < len(b) && b[end] == '"' {
		return b[i:end:end], end + 1
	}
	return d.strEscaped(i, end)
}

// strEscaped reads the string that begins at b[i] and has something else than plain characters at b[end].
func (d *decoder) strEscaped(i, end int) (text []byte, next int) {
	b := d.b
	for {
		text = append(text, b[i:end]...)
		if end >= len(b) {
			return nil, d.syntax(end, "the string does not end")
		}
		switch {
		case b[end] == '"':
			return text, end + 1
		case b[end] != '\\':
			return nil, d.syntax(end, "control character in a string")
		}
		r, n := escape(b[end:])
		if n == 0 {
			return nil, d.syntax(end, "unknown escape in a string")
		}
		text = utf8.AppendRune(text, r)
		i = end + n
		end = stringEnd(b, i)
	}
}

// escape reads the escape at b[0], a backslash, and returns its character and length, 0 if it is none. Half a
// surrogate pair is U+FFFD, as in encoding/json.
func escape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := hex4(b[6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return r, 6
}

// hex4 reads \uXXXX at b[0].
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	r := rune(0)
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number reads the JSON number at b[i].
func (d *decoder) number(i int) (next int) {
	b := d.b
	digits := func() bool {
		from := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case !digits():
		return d.syntax(i, "no value")
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return d.syntax(i, "no digit after the point")
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return d.syntax(i, "no digit in the exponent")
		}
	}
	return i
}

// literal reads true, false or null.
func (d *decoder) literal(i int, word string) (next int) {
	if len(d.b)-i < len(word) || string(d.b[i:i+len(word)]) != word {
		return d.syntax(i, "no value")
	}
	return i + len(word)
}

// member goes to the next member of an object: i is after its '{' (first) or after the member before. It
// returns the key and the index of the value. At the end of the object more is false and next is after its '}'.
func (d *decoder) member(i int, first bool) (key []byte, next int, more bool) {
	b := d.b
	if !first && len(b)-i > 2 && b[i] == ',' && b[i+1] == '"' {
		i++ // what machines write: no blanks
	} else if i, more = d.memberBlanks(i, first); !more {
		return nil, i, false
	}
	if end := stringEnd(b, i+1); len(b)-end > 2 && b[end] == '"' {
		key, i = b[i+1:end:end], end+1
	} else if key, i = d.str(i); i < 0 {
		return nil, -1, false
	}
	if len(b)-i > 1 && b[i] == ':' && b[i+1] > ' ' {
		return key, i + 1, true
	}
	i = blanks(b, i)
	if i >= len(b) || b[i] != ':' {
		return nil, d.syntax(i, "':' expected"), false
	}
	i = blanks(b, i+1)
	if i >= len(b) {
		return nil, d.syntax(i, "no value"), false
	}
	return key, i, true
}

// memberBlanks goes to the quote of the next key, whatever is before it, or after the '}'.
func (d *decoder) memberBlanks(i int, first bool) (next int, more bool) {
	b := d.b
	i = blanks(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1, false
	}
	if !first {
		if i >= len(b) || b[i] != ',' {
			return d.syntax(i, "',' or '}' expected"), false
		}
		i = blanks(b, i+1)
	}
	if i >= len(b) || b[i] != '"' {
		return d.syntax(i, "a key expected"), false
	}
	return i, true
}

// next goes to the next element of an array, as member does for objects.
func (d *decoder) next(i int, first bool) (next int, more bool) {
	b := d.b
	i = blanks(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1, false
	}
	if !first {
		if i >= len(b) || b[i] != ',' {
			return d.syntax(i, "',' or ']' expected"), false
		}
		i = blanks(b, i+1)
	}
	if i >= len(b) {
		return d.syntax(i, "no value"), false
	}
	return i, true
}

// skip goes over the value at b[i], which is inside of depth arrays and objects.
func (d *decoder) skip(i, depth int) (next int) {
	c := d.b[i]
	if c != '{' && c != '[' {
		_, i = d.scalar(i, depth)
		return i
	}
	if depth >= MaxDepth {
		return d.syntax(i, "nested more than "+strconv.Itoa(MaxDepth)+" deep")
	}
	i++
	for first := true; ; first = false {
		var more bool
		if c == '{' {
			_, i, more = d.member(i, first)
		} else {
			i, more = d.next(i, first)
		}
		if !more {
			return i
		}
		if i = d.skip(i, depth+1); i < 0 {
			return i
		}
	}
}

// scalarKind is what a value is.
type scalarKind uint8

const (
	isAbsent scalarKind = iota // null, or not there
	isString
	isNumber
	isOther // true, false, an object or an array
)

// scalar is a string or a number as text, or what the other values are to us.
type scalar struct {
	kind scalarKind
	text []byte
}

// scalar reads the value at b[i], which is inside of depth arrays and objects.
func (d *decoder) scalar(i, depth int) (scalar, int) {
	b := d.b
	switch b[i] {
	case '"':
		if end := stringEnd(b, i+1); end < len(b) && b[end] == '"' {
			return scalar{isString, b[i+1 : end : end]}, end + 1
		}
		text, next := d.str(i)
		return scalar{isString, text}, next
	case 'n':
		return scalar{}, d.literal(i, "null")
	case 't':
		return scalar{kind: isOther}, d.literal(i, "true")
	case 'f':
		return scalar{kind: isOther}, d.literal(i, "false")
	case '{', '[':
		return scalar{kind: isOther}, d.skip(i, depth)
	}
	next := d.number(i)
	if next < 0 {
		return scalar{}, next
	}
	return scalar{isNumber, d.b[i:next:next]}, next
}
