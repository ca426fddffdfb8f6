package ocpi

import (
	"math/big"
	"strconv"
	"strings"
)

// decimal is an exact number as a file wrote it: mantissa / 10^frac. frac may be negative ("1e3").
type decimal struct {
	mantissa *big.Int
	frac     int
}

// maxDecimalText and maxExponent bound the work that one number can cause; every number of the grid fits.
const (
	maxDecimalText = 80
	maxExponent    = 40
)

// parseDecimal reads an optional sign, digits with an optional fraction, and an optional exponent.
func parseDecimal(text string) (decimal, bool) {
	if len(text) > maxDecimalText {
		return decimal{}, false
	}
	body, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		e, err := strconv.Atoi(text[i+1:])
		if err != nil || e > maxExponent || e < -maxExponent {
			return decimal{}, false
		}
		body, exponent = text[:i], e
	}
	negative := strings.HasPrefix(body, "-")
	body = strings.TrimPrefix(strings.TrimPrefix(body, "-"), "+")
	if negative && strings.HasPrefix(text, "-+") {
		return decimal{}, false
	}
	whole, fraction, _ := strings.Cut(body, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" || strings.HasSuffix(body, ".") {
		return decimal{}, false
	}
	m, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return decimal{}, false
	}
	if negative {
		m.Neg(m)
	}
	return decimal{mantissa: m, frac: len(fraction) - exponent}, true
}

// fit says whether a decimal lies on a grid.
type fit uint8

const (
	fits fit = iota
	tooFine
	tooLarge
)

// scaled gives the number in units of 10^-digits, exactly.
func (d decimal) scaled(digits int) (int64, fit) {
	q, rest := d.divided(digits)
	if rest.Sign() != 0 {
		return 0, tooFine
	}
	if !q.IsInt64() || q.Int64() == -1<<63 {
		return 0, tooLarge
	}
	return q.Int64(), fits
}

// rounded gives the number in units of 10^-digits, half up toward +infinity (EXACTNESS 1: the register).
func (d decimal) rounded(digits int) (int64, fit) {
	half := decimal{mantissa: new(big.Int).Mul(d.mantissa, big.NewInt(2)), frac: d.frac}
	q, _ := half.divided(digits)
	q.Add(q, big.NewInt(1))
	q.Rsh(q, 1) // floor((floor(2x) + 1) / 2) = floor(x + 1/2); Rsh floors
	if !q.IsInt64() || q.Int64() == -1<<63 {
		return 0, tooLarge
	}
	return q.Int64(), fits
}

// divided gives floor(d * 10^digits) and what remains.
func (d decimal) divided(digits int) (quotient, rest *big.Int) {
	ten := big.NewInt(10)
	if up := digits - d.frac; up >= 0 {
		power := new(big.Int).Exp(ten, big.NewInt(int64(up)), nil)
		return power.Mul(power, d.mantissa), new(big.Int)
	}
	power := new(big.Int).Exp(ten, big.NewInt(int64(d.frac-digits)), nil)
	return new(big.Int).DivMod(d.mantissa, power, new(big.Int)) // Euclidean: floors, because power > 0
}

// decimalOf reads a number given as a number or as a decimal text.
func (r *reader) decimalOf(n *node) (decimal, bool) {
	digits := strings.TrimLeft(n.text, "+-")
	if n.loose && len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		r.fault(n, "%s is an octal number to some YAML readers: put it in quotes", n.what())
		return decimal{}, false
	}
	if n.kind == kindNumber || n.kind == kindText {
		if d, ok := parseDecimal(n.text); ok {
			return d, true
		}
	}
	r.fault(n, "%s is not a decimal number", n.what())
	return decimal{}, false
}

// fixed reads an exact number in units of 10^-digits; what says what such a number may be.
func (r *reader) fixed(n *node, digits int, what string) (int64, bool) {
	if v, ok := n.plain(); ok && digits == 0 {
		return v, true
	}
	d, ok := r.decimalOf(n)
	if !ok {
		return 0, false
	}
	v, f := d.scaled(digits)
	switch f {
	case tooFine:
		r.fault(n, "%s is finer than %s", n.what(), what)
		return 0, false
	case tooLarge:
		r.fault(n, "%s is too large", n.what())
		return 0, false
	}
	return v, true
}

// plain is the value of a whole number that is written as nothing but a few digits: most are, and a million connectors
// have one. ok is false for all others.
func (n *node) plain() (v int64, ok bool) {
	if n.kind != kindNumber || len(n.text) == 0 || len(n.text) > 15 || n.text[0] == '0' {
		return 0, false
	}
	for _, c := range []byte(n.text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

// positive is fixed for numbers that must not be negative.
func (r *reader) positive(n *node, digits int, what string) (int64, bool) {
	v, ok := r.fixed(n, digits, what)
	if ok && v < 0 {
		r.fault(n, "%s is negative", n.what())
		return 0, false
	}
	return v, ok
}

// appendDecimal writes v / 10^digits without trailing zeros. dst may be kept by the caller.
func appendDecimal(dst []byte, v int64, digits int) []byte {
	start := len(dst)
	dst = appendFixed(dst, v, digits)
	if digits == 0 {
		return dst
	}
	trimmed := strings.TrimRight(string(dst[start:]), "0")
	return append(dst[:start], strings.TrimSuffix(trimmed, ".")...)
}

// appendFixed writes v / 10^digits with exactly that many fraction digits. dst may be kept by the caller.
func appendFixed(dst []byte, v int64, digits int) []byte {
	return placePoint(dst, strconv.FormatInt(v, 10), digits)
}

// text is the number with exactly the fraction digits that it was written with; frac must not be negative.
func (d decimal) text() string {
	return string(placePoint(nil, d.mantissa.String(), d.frac))
}

// placePoint sets a decimal point into the text of a whole number.
func placePoint(dst []byte, whole string, digits int) []byte {
	if rest, negative := strings.CutPrefix(whole, "-"); negative {
		dst, whole = append(dst, '-'), rest
	}
	if len(whole) <= digits {
		whole = strings.Repeat("0", digits-len(whole)+1) + whole
	}
	dst = append(dst, whole[:len(whole)-digits]...)
	if digits > 0 {
		dst = append(append(dst, '.'), whole[len(whole)-digits:]...)
	}
	return dst
}
