package jsontext

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how many arrays and objects may be inside of each other.
const MaxDepth = 32

// Scanner walks the bytes of one message by index: a method takes the index at which something begins and returns
// the index after it, or -1 after it has noted the fault. It allocates only for escapes and faults. A scanner
// that is a part of a decoder on the stack stays there.
type Scanner struct {
	B       []byte // the message; the caller's, texts point into it
	FaultAt int    // where the first fault is, bytes from the beginning
	Fault   string // what it is; "" for none
}

// Syntax notes that the bytes at i are not what they must be, if nothing was noted before, and returns -1.
func (s *Scanner) Syntax(i int, what string) int {
	if s.Fault == "" {
		if i < len(s.B) {
			what = fmt.Sprintf("%s, found %.1q", what, s.B[i:])
		}
		s.FaultAt, s.Fault = i, what
	}
	return -1
}

// Blanks returns the index of the first byte from i on that is not JSON white space.
func Blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// StringEnd returns the index of the byte from i on that ends a run of plain characters: a quote, a backslash
// or a control character. It is len(b) if there is none.
func StringEnd(b []byte, i int) int {
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

// Str reads the string whose quote is b[i]. The text points into b, or is new if it has escapes.
func (s *Scanner) Str(i int) (text []byte, next int) {
	b := s.B
	i++
	end := StringEnd(b, i)
	if end < len(b) && b[end] == '"' {
		return b[i:end:end], end + 1
	}
	return s.strEscaped(i, end)
}

// strEscaped reads the string that begins at b[i] and has something else than plain characters at b[end].
func (s *Scanner) strEscaped(i, end int) (text []byte, next int) {
	b := s.B
	for {
		text = append(text, b[i:end]...)
		if end >= len(b) {
			return nil, s.Syntax(end, "the string does not end")
		}
		switch {
		case b[end] == '"':
			return text, end + 1
		case b[end] != '\\':
			return nil, s.Syntax(end, "control character in a string")
		}
		r, n := escape(b[end:])
		if n == 0 {
			return nil, s.Syntax(end, "unknown escape in a string")
		}
		text = utf8.AppendRune(text, r)
		i = end + n
		end = StringEnd(b, i)
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

// Number reads the JSON number at b[i].
func (s *Scanner) Number(i int) (next int) {
	b := s.B
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
		return s.Syntax(i, "no value")
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return s.Syntax(i, "no digit after the point")
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return s.Syntax(i, "no digit in the exponent")
		}
	}
	return i
}

// literal reads true, false or null.
func (s *Scanner) literal(i int, word string) (next int) {
	if len(s.B)-i < len(word) || string(s.B[i:i+len(word)]) != word {
		return s.Syntax(i, "no value")
	}
	return i + len(word)
}

// Member goes to the next member of an object: i is after its '{' (first) or after the member before. It
// returns the key and the index of the value. At the end of the object more is false and next is after its '}'.
func (s *Scanner) Member(i int, first bool) (key []byte, next int, more bool) {
	b := s.B
	if !first && len(b)-i > 2 && b[i] == ',' && b[i+1] == '"' {
		i++ // what machines write: no blanks
	} else if i, more = s.memberBlanks(i, first); !more {
		return nil, i, false
	}
	if end := StringEnd(b, i+1); len(b)-end > 2 && b[end] == '"' {
		key, i = b[i+1:end:end], end+1
	} else if key, i = s.Str(i); i < 0 {
		return nil, -1, false
	}
	if len(b)-i > 1 && b[i] == ':' && b[i+1] > ' ' {
		return key, i + 1, true
	}
	i = Blanks(b, i)
	if i >= len(b) || b[i] != ':' {
		return nil, s.Syntax(i, "':' expected"), false
	}
	i = Blanks(b, i+1)
	if i >= len(b) {
		return nil, s.Syntax(i, "no value"), false
	}
	return key, i, true
}

// memberBlanks goes to the quote of the next key, whatever is before it, or after the '}'.
func (s *Scanner) memberBlanks(i int, first bool) (next int, more bool) {
	b := s.B
	i = Blanks(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1, false
	}
	if !first {
		if i >= len(b) || b[i] != ',' {
			return s.Syntax(i, "',' or '}' expected"), false
		}
		i = Blanks(b, i+1)
	}
	if i >= len(b) || b[i] != '"' {
		return s.Syntax(i, "a key expected"), false
	}
	return i, true
}

// Next goes to the next element of an array, as member does for objects.
func (s *Scanner) Next(i int, first bool) (next int, more bool) {
	b := s.B
	i = Blanks(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1, false
	}
	if !first {
		if i >= len(b) || b[i] != ',' {
			return s.Syntax(i, "',' or ']' expected"), false
		}
		i = Blanks(b, i+1)
	}
	if i >= len(b) {
		return s.Syntax(i, "no value"), false
	}
	return i, true
}

// Skip goes over the value at b[i], which is inside of depth arrays and objects.
func (s *Scanner) Skip(i, depth int) (next int) {
	c := s.B[i]
	if c != '{' && c != '[' {
		_, i = s.Scalar(i, depth)
		return i
	}
	if depth >= MaxDepth {
		return s.Syntax(i, "nested more than "+strconv.Itoa(MaxDepth)+" deep")
	}
	i++
	for first := true; ; first = false {
		var more bool
		if c == '{' {
			_, i, more = s.Member(i, first)
		} else {
			i, more = s.Next(i, first)
		}
		if !more {
			return i
		}
		if i = s.Skip(i, depth+1); i < 0 {
			return i
		}
	}
}

// Kind is what a value is to a decoder.
type Kind uint8

// The kinds. A decoder of readings asks for strings and numbers only.
const (
	Absent Kind = iota // null, or not there
	String
	Number
	Other // true, false, an object or an array
)

// Scalar is a string or a number as text, or what the other values are to us.
type Scalar struct {
	Kind Kind
	Text []byte
}

// Scalar reads the value at b[i], which is inside of depth arrays and objects.
func (s *Scanner) Scalar(i, depth int) (Scalar, int) {
	b := s.B
	switch b[i] {
	case '"':
		if end := StringEnd(b, i+1); end < len(b) && b[end] == '"' {
			return Scalar{String, b[i+1 : end : end]}, end + 1
		}
		text, next := s.Str(i)
		return Scalar{String, text}, next
	case 'n':
		return Scalar{}, s.literal(i, "null")
	case 't':
		return Scalar{Kind: Other}, s.literal(i, "true")
	case 'f':
		return Scalar{Kind: Other}, s.literal(i, "false")
	case '{', '[':
		return Scalar{Kind: Other}, s.Skip(i, depth)
	}
	next := s.Number(i)
	if next < 0 {
		return Scalar{}, next
	}
	return Scalar{Number, s.B[i:next:next]}, next
}
