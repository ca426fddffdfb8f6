package money

import (
	"math/big"
	"math/bits"
)

// RoundQuotient is floor(n/d + 1/2): THE rounding (M2). d must be positive.
func RoundQuotient(n Int128, d int64) Int128 {
	q, r := n.DivModInt64(d)
	if roundsUp(uint64(r), uint64(d)) {
		q = q.Add(Int128{Lo: 1})
	}
	return q
}

// RoundBig is floor(n/d + 1/2) for integers of any size. d must be positive. It is for settlement at an asked
// number of decimals, never for the hot path.
func RoundBig(n, d *big.Int) *big.Int {
	q, r := new(big.Int).DivMod(n, d, new(big.Int)) // Euclidean: for d > 0 the same as floor
	if r.Lsh(r, 1).Cmp(d) >= 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

// MulDivRound is floor(a*b/d + 1/2), exact in between. b must be at most d, which must be positive: then the
// result is at most a and fits.
func MulDivRound(a, b, d uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, r := bits.Div64(hi, lo, d)
	if roundsUp(r, d) {
		q++
	}
	return q
}

// MulDivCeil is ceil(a*b/d), exact in between. The quotient must fit 64 bits.
func MulDivCeil(a, b, d uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, r := bits.Div64(hi, lo, d)
	if r != 0 {
		q++
	}
	return q
}

// RoundFraction is floor(f/d + 1/2) for f in [0, 8*d): sums of a few fractions that are below 1 each. d is
// too wide for a division, but the quotient is tiny. 16*d must fit 127 bits.
func RoundFraction(f, d Int128) int64 {
	n := int64(0)
	twice := d.Add(d)
	for f = f.Add(f).Add(d); f.Cmp(twice) >= 0; n++ {
		f = f.Sub(twice)
	}
	return n
}

// roundsUp says whether the remainder r of a division by d is half of d or more.
func roundsUp(r, d uint64) bool { return r >= d-r }
