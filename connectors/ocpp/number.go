package ocpp

import (
	"fmt"

	"github.com/wattline/wattline/connectors/jsontext"
)

// trim cuts blanks off both ends: chargers pad numbers.
func trim(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

const (
	// maxQuantity bounds a quantity in its smallest unit, so that the sum of three phases is an int64. In mWh it
	// is two million TWh.
	maxQuantity = 1 << 61
	// maxExponent bounds the exponent of a decimal.
	maxExponent = 18
)

// decimalOf reads the decimal number that s is, as text or as a JSON number.
func decimalOf(s jsontext.Scalar, scale int) (v int64, decimals int, ok bool) {
	if s.Kind != jsontext.String && s.Kind != jsontext.Number {
		return 0, 0, false
	}
	return decimal(s.Text, scale)
}

// notNumber notes that a member is no number that decimal can read.
func (d *decoder) notNumber(field string, s jsontext.Scalar) int {
	switch s.Kind {
	case jsontext.Absent:
		return d.fail(field, "missing")
	case jsontext.Other:
		return d.fail(field, "not a number")
	}
	return d.fail(field, fmt.Sprintf("%.60q is not a number, or out of range", s.Text))
}

// decimal reads a decimal number and returns it times 10^scale, rounded half up (away from 0), and how many
// decimals it has as written: that is the step in which it counts. An exponent moves the point; decimals is
// never below 0. No binary fraction is involved: 0.1 is 0.1.
func decimal(b []byte, scale int) (v int64, decimals int, ok bool) {
	b = trim(b)
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	digits, point, n := 0, -1, 0
	for ; n < len(b); n++ {
		if b[n]-'0' <= 9 {
			digits++
		} else if b[n] != '.' || point >= 0 {
			break
		} else {
			point = n
		}
	}
	if digits == 0 {
		return 0, 0, false
	}
	if point >= 0 {
		decimals = n - point - 1
	}
	if n < len(b) {
		exponent, ok := parseExponent(b[n:])
		if !ok {
			return 0, 0, false
		}
		decimals -= exponent
	}
	u, ok := scaled(b[:n], digits, digits-decimals+scale)
	if !ok {
		return 0, 0, false
	}
	v = int64(u)
	if negative {
		v = -v
	}
	return v, max(decimals, 0), true
}

// scaled returns the first keep digits of b as a number, rounded by the digit after them. keep may be more than
// the digits that there are (zeros follow) or less than 0.
func scaled(b []byte, digits, keep int) (u uint64, ok bool) {
	k := 0
	for _, c := range b {
		if c == '.' {
			continue
		}
		if k >= keep {
			if k == keep && c >= '5' {
				u++
			}
			break
		}
		if u > maxQuantity/10 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
		k++
	}
	for ; digits < keep && u != 0; digits++ {
		if u > maxQuantity/10 {
			return 0, false
		}
		u *= 10
	}
	return u, u <= maxQuantity
}

// parseExponent reads "e5", "E-3".
func parseExponent(b []byte) (e int, ok bool) {
	if b[0] != 'e' && b[0] != 'E' {
		return 0, false
	}
	b = b[1:]
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false
		}
		if e = e*10 + int(c-'0'); e > maxExponent {
			return 0, false
		}
	}
	if negative {
		e = -e
	}
	return e, true
}

// coarseness is the power of ten that a value in a unit of 10^scale smallest units counts in if it is written
// with so many decimals; 0 is exact. 10^18 mWh is the coarsest: an int64 has no room for more.
func coarseness(scale, decimals int) uint8 { return uint8(min(max(scale-decimals, 0), 18)) }

// step is the step in mWh of a register of a coarseness; 0 is exact to the mWh.
func step(coarseness uint8) int64 {
	if coarseness == 0 {
		return 0
	}
	s := int64(1)
	for range coarseness {
		s *= 10
	}
	return s
}
