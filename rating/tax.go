package rating

import (
	"math/big"

	"github.com/wattline/wattline/rating/money"
)

// taxes turns costs per VAT rate into the price without and with tax (EXACTNESS 4.2).
//
// One side of the price is the plain sum of the costs. The other is the sum of cost * mul / k over the rates,
// where mul / k is (1 + vat/100) or its reciprocal. Both are rounded from exact fractions.
type taxes struct {
	n        int                // rates in use; costs beyond are 0
	included bool               // the plain sum is the price with tax
	same     bool               // no rate changes anything: both sides are the plain sum
	rates    [MaxVATRates]int32 // hundredths of a percent, or NoVAT
	mul      [MaxVATRates]int64
	k        [MaxVATRates]int64
	weight   [MaxVATRates]int64 // what brings the fraction of a rate to the common denominator
	den      money.Int128       // the common denominator, times unitsPerMicro
}

// costs is what a session has cost so far, per VAT rate, in cost units.
type costs [MaxVATRates]money.Int128

// newTaxes is the taxes of a tariff with these different rates.
func newTaxes(included TaxIncluded, rates []int32) taxes {
	t := taxes{included: included == TaxIncludedYes, same: true}
	if included == TaxIncludedNA {
		rates = []int32{NoVAT}
	}
	t.n = max(1, len(rates))
	t.rates[0] = NoVAT
	copy(t.rates[:], rates)
	for v := range t.n {
		factor := int64(VATScale)
		if t.rates[v] > 0 {
			factor += int64(t.rates[v])
			t.same = false
		}
		t.mul[v], t.k[v], t.weight[v] = factor, VATScale, 1
		if t.included {
			t.mul[v], t.k[v] = VATScale, factor
		}
	}
	if !t.included { // every k is the same
		t.den = money.FromInt64(VATScale).MulInt64(unitsPerMicro)
		return t
	}
	t.den = money.FromInt64(unitsPerMicro)
	for v := range t.n {
		t.den = t.den.MulInt64(t.k[v])
		for w := range t.n {
			if w != v {
				t.weight[v] *= t.k[w] // three factors below 2^20 at most
			}
		}
	}
	return t
}

// index is the place of a component's VAT in rates.
func (t *taxes) index(vat int32) uint8 {
	for v := range t.n {
		if t.rates[v] == vat {
			return uint8(v)
		}
	}
	return 0 // tax_included N/A: every rate is none
}

// micros is the price in 1e-6 currency units, each side rounded once. An amount that does not fit is held at
// +-maxAmount and fits is false.
func (t *taxes) micros(c *costs) (excl, incl int64, fits bool) {
	sum := c[0]
	for v := 1; v < t.n; v++ {
		sum = sum.Add(c[v])
	}
	plain, fits := money.RoundQuotient(sum, unitsPerMicro).Int64(maxAmount)
	if t.same {
		return plain, plain, fits
	}
	other, otherFits := t.otherMicros(c).Int64(maxAmount)
	fits = fits && otherFits
	if t.included {
		return other, plain, fits
	}
	return plain, other, fits
}

// otherMicros is the side that is not the plain sum. Whole parts are split off first, so that everything
// stays inside 128 bits.
func (t *taxes) otherMicros(c *costs) money.Int128 {
	var whole, fraction money.Int128
	for v := range t.n {
		if c[v].IsZero() {
			continue
		}
		d := t.k[v] * unitsPerMicro
		q, r := c[v].DivModInt64(d)
		q2, r2 := money.Mul64(r, t.mul[v]).DivModInt64(d)
		whole = whole.Add(q.MulInt64(t.mul[v])).Add(q2)
		fraction = fraction.Add(money.Mul64(r2, t.weight[v]))
	}
	return whole.Add(money.FromInt64(money.RoundFraction(fraction, t.den)))
}

// exact is both sides as fractions of a currency unit.
func (t *taxes) exact(c *costs) (excl, incl fraction) {
	unit := new(big.Int).Mul(big.NewInt(PriceScale), big.NewInt(unitsPerNano))
	plain := fraction{new(big.Int), unit}
	other := fraction{new(big.Int), new(big.Int).Set(unit)}
	for v := range t.n {
		other.den.Mul(other.den, big.NewInt(t.k[v]))
	}
	for v := range t.n {
		cost := c[v].Big()
		plain.num.Add(plain.num, cost)
		for w := range t.n {
			if w != v {
				cost.Mul(cost, big.NewInt(t.k[w]))
			}
		}
		other.num.Add(other.num, cost.Mul(cost, big.NewInt(t.mul[v])))
	}
	if t.included {
		return other, plain
	}
	return plain, other
}

// fraction is num/den, den positive.
type fraction struct{ num, den *big.Int }

// limited raises f to low, then lowers it to high (1e-9 currency units; Unknown is none): EXACTNESS 4.3.
func (f fraction) limited(low, high int64) fraction {
	nano := big.NewInt(PriceScale)
	left := new(big.Int).Mul(f.num, nano)
	if low != Unknown && left.Cmp(new(big.Int).Mul(big.NewInt(low), f.den)) < 0 {
		f = fraction{big.NewInt(low), nano}
		left.Mul(f.num, nano)
	}
	if high != Unknown && left.Cmp(new(big.Int).Mul(big.NewInt(high), f.den)) > 0 {
		f = fraction{big.NewInt(high), nano}
	}
	return f
}

// text is f rounded to decimals.
func (f fraction) text(decimals int) string {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
	return money.FormatBig(money.RoundBig(scale.Mul(scale, f.num), f.den), decimals)
}

// limitMicros is amount raised to low, then lowered to high. Rounding is monotone, so limiting the rounded
// amount by the rounded limits is rounding the limited amount.
func limitMicros(amount, low, high int64) (raised, limited int64) {
	raised = amount
	if low != Unknown {
		raised = max(raised, nanoToMicros(low))
	}
	limited = raised
	if high != Unknown {
		limited = min(limited, nanoToMicros(high))
	}
	return raised, limited
}

func nanoToMicros(nano int64) int64 {
	v, _ := money.RoundQuotient(money.FromInt64(nano), 1000).Int64(maxAmount)
	return v
}
