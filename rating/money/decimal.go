package money

import (
	"errors"
	"math/big"
	"strings"
)

// What is wrong with a decimal text.
var (
	ErrSyntax    = errors.New("not a decimal number")
	ErrPrecision = errors.New("too many fraction digits")
	ErrRange     = errors.New("number out of range")
)

// maxDigits bounds the text of a decimal: far more than an int64 holds, little enough to read fast.
const maxDigits = 200

// ParseDecimal reads a decimal text exactly: value * 10^decimals as an integer. Sign, fraction and exponent
// (JSON's number grammar, and a leading + or zeros) are understood; zeros beyond the wanted decimals lose
// nothing. Errors: ErrSyntax, ErrPrecision, ErrRange.
func ParseDecimal(text string, decimals int) (int64, error) {
	v, rest, err := parse(text, decimals)
	if err != nil {
		return 0, err
	}
	if rest {
		return 0, ErrPrecision
	}
	return v, nil
}

// ParseRounded is ParseDecimal for measured values: fraction digits beyond the wanted ones are rounded half up
// (M2). Errors: ErrSyntax, ErrRange.
func ParseRounded(text string, decimals int) (int64, error) {
	n, scale, err := digits(text)
	if err != nil {
		return 0, err
	}
	d := big.NewInt(1)
	if scale > decimals {
		d = pow10(scale - decimals)
	} else {
		n.Mul(n, pow10(decimals-scale))
	}
	q := RoundBig(n, d)
	if !q.IsInt64() {
		return 0, ErrRange
	}
	return q.Int64(), nil
}

// parse reads text at the wanted scale; rest says that fraction digits other than zero lie beyond it.
func parse(text string, decimals int) (v int64, rest bool, err error) {
	n, scale, err := digits(text)
	if err != nil {
		return 0, false, err
	}
	r := new(big.Int)
	if scale > decimals {
		n.QuoRem(n, pow10(scale-decimals), r)
	} else {
		n.Mul(n, pow10(decimals-scale))
	}
	if !n.IsInt64() {
		return 0, false, ErrRange
	}
	return n.Int64(), r.Sign() != 0, nil
}

// digits reads text as n / 10^scale, scale >= 0.
func digits(text string) (n *big.Int, scale int, err error) {
	if len(text) > maxDigits {
		return nil, 0, ErrRange
	}
	mantissa, exp := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if exp, err = exponent(text[i+1:]); err != nil {
			return nil, 0, err
		}
		mantissa = text[:i]
	}
	neg := strings.HasPrefix(mantissa, "-")
	if neg || strings.HasPrefix(mantissa, "+") {
		mantissa = mantissa[1:]
	}
	whole, fraction, point := strings.Cut(mantissa, ".")
	if whole == "" || (point && fraction == "") || !allDigits(whole) || !allDigits(fraction) {
		return nil, 0, ErrSyntax
	}
	n, _ = new(big.Int).SetString(whole+fraction, 10)
	if neg {
		n.Neg(n)
	}
	if scale = len(fraction) - exp; scale < 0 {
		n.Mul(n, pow10(-scale))
		scale = 0
	}
	return n, scale, nil
}

// exponent reads what stands behind the e of a number. Beyond maxDigits nothing could fit.
func exponent(text string) (int, error) {
	neg := strings.HasPrefix(text, "-")
	if neg || strings.HasPrefix(text, "+") {
		text = text[1:]
	}
	if text == "" || !allDigits(text) {
		return 0, ErrSyntax
	}
	e := 0
	for i := range len(text) {
		if e = e*10 + int(text[i]-'0'); e > maxDigits {
			return 0, ErrRange
		}
	}
	if neg {
		e = -e
	}
	return e, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// AppendDecimal appends v / 10^decimals with exactly that many fraction digits to dst, which it returns grown.
func AppendDecimal(dst []byte, v int64, decimals int) []byte {
	u := uint64(v)
	if v < 0 {
		dst = append(dst, '-')
		u = -u
	}
	var buf [20]byte // the longest uint64
	at := len(buf)
	for ; u > 0; u /= 10 {
		at--
		buf[at] = byte('0' + u%10)
	}
	whole := len(buf) - at - decimals
	if whole <= 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, buf[at:at+whole]...)
		at += whole
	}
	if decimals == 0 {
		return dst
	}
	dst = append(dst, '.')
	for ; whole < 0; whole++ {
		dst = append(dst, '0')
	}
	return append(dst, buf[at:]...)
}

// FormatDecimal is v / 10^decimals as text with exactly that many fraction digits.
func FormatDecimal(v int64, decimals int) string {
	return string(AppendDecimal(nil, v, decimals))
}

// FormatBig is FormatDecimal for integers of any size.
func FormatBig(v *big.Int, decimals int) string {
	text := new(big.Int).Abs(v).String()
	if pad := decimals + 1 - len(text); pad > 0 {
		text = strings.Repeat("0", pad) + text
	}
	if cut := len(text) - decimals; decimals > 0 {
		text = text[:cut] + "." + text[cut:]
	}
	if v.Sign() < 0 {
		text = "-" + text
	}
	return text
}

// Big is x as a big integer.
func (x Int128) Big() *big.Int {
	b := new(big.Int).Lsh(big.NewInt(x.Hi), 64)
	return b.Add(b, new(big.Int).SetUint64(x.Lo))
}
