package money

import "math/bits"

// Int128 is a signed 128-bit integer in two's complement. The zero value is 0.
//
// Operations wrap around outside -2^127 ... 2^127-1; rating.Compile bounds prices so that no session can get
// there (see rating.MaxPriceNano).
type Int128 struct {
	Hi int64
	Lo uint64
}

// FromInt64 widens x.
func FromInt64(x int64) Int128 { return Int128{Hi: x >> 63, Lo: uint64(x)} }

// Mul64 is the exact product of two int64.
func Mul64(a, b int64) Int128 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	// The unsigned product counts a negative factor as 2^64 more than it is: take that back.
	hi -= uint64(a>>63)&uint64(b) + uint64(b>>63)&uint64(a)
	return Int128{Hi: int64(hi), Lo: lo}
}

// Add is x + y.
func (x Int128) Add(y Int128) Int128 {
	lo, carry := bits.Add64(x.Lo, y.Lo, 0)
	hi, _ := bits.Add64(uint64(x.Hi), uint64(y.Hi), carry)
	return Int128{Hi: int64(hi), Lo: lo}
}

// Sub is x - y.
func (x Int128) Sub(y Int128) Int128 {
	lo, borrow := bits.Sub64(x.Lo, y.Lo, 0)
	hi, _ := bits.Sub64(uint64(x.Hi), uint64(y.Hi), borrow)
	return Int128{Hi: int64(hi), Lo: lo}
}

// Neg is -x.
func (x Int128) Neg() Int128 { return Int128{}.Sub(x) }

// Sign is -1, 0 or 1.
func (x Int128) Sign() int {
	switch {
	case x.Hi < 0:
		return -1
	case x.Hi == 0 && x.Lo == 0:
		return 0
	}
	return 1
}

// IsZero reports whether x is 0.
func (x Int128) IsZero() bool { return x.Hi == 0 && x.Lo == 0 }

// Cmp is -1 if x < y, 0 if they are equal, 1 if x > y.
func (x Int128) Cmp(y Int128) int {
	switch {
	case x == y:
		return 0
	case x.Hi < y.Hi || (x.Hi == y.Hi && x.Lo < y.Lo):
		return -1
	}
	return 1
}

// MulInt64 is x * m. It is exact while the product fits 128 bits.
func (x Int128) MulInt64(m int64) Int128 {
	hi, lo := bits.Mul64(x.Lo, uint64(m))
	hi += uint64(x.Hi) * uint64(m)
	if m < 0 {
		hi -= x.Lo
	}
	return Int128{Hi: int64(hi), Lo: lo}
}

// DivModInt64 is floor(x / d) and the remainder in [0, d). d must be positive.
func (x Int128) DivModInt64(d int64) (q Int128, r int64) {
	u := x
	if x.Hi < 0 {
		u = x.Neg()
	}
	qhi, rem := uint64(0), uint64(u.Hi)
	if rem >= uint64(d) {
		qhi, rem = bits.Div64(0, rem, uint64(d))
	}
	qlo, rem := bits.Div64(rem, u.Lo, uint64(d))
	q = Int128{Hi: int64(qhi), Lo: qlo}
	if x.Hi < 0 {
		q = q.Neg()
		if rem != 0 { // floor, not truncation
			q = q.Sub(Int128{Lo: 1})
			rem = uint64(d) - rem
		}
	}
	return q, int64(rem)
}

// Int64 narrows x, held at the ends of [-limit, limit]; ok is false if it had to be held.
func (x Int128) Int64(limit int64) (v int64, ok bool) {
	switch {
	case x.Cmp(FromInt64(limit)) > 0:
		return limit, false
	case x.Cmp(FromInt64(-limit)) < 0:
		return -limit, false
	}
	return int64(x.Lo), true
}
