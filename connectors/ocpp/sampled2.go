package ocpp

import (
	"fmt"

	"github.com/wattline/wattline/connectors/jsontext"
)

// maxMultiplier bounds the exponent of a unit of OCPP 2.x, 10^n.
const maxMultiplier = 18

// Members of a sampledValue of OCPP 2.x that 1.6 does not have, behind those that it has.
const (
	fieldUnitOfMeasure uint16 = 1 << (iota + 8)
	fieldSigned
)

func sampledField2(key []byte) uint16 {
	switch string(key) {
	case "unitOfMeasure":
		return fieldUnitOfMeasure
	case "signedMeterValue":
		return fieldSigned
	case "format", "unit":
		return 0 // of 1.6
	}
	return uint16(sampledField(key))
}

// sampledValue2 is sampledValue for OCPP 2.x: the value is a number, the unit an object with a multiplier, and a
// signed value stands beside the plain one.
func (d *decoder) sampledValue2(i, depth int) (next int) {
	v := sampled{slot: total, rank: rankOutlet}
	var seen uint16
	i++
	for first := true; ; first = false {
		key, j, more := d.Member(i, first)
		if !more {
			next = j
			break
		}
		bit := sampledField2(key)
		if seen&bit != 0 {
			return d.fail(string(key), "said twice")
		}
		seen |= bit
		switch bit {
		case 0:
			i = d.Skip(j, depth+1)
		case fieldUnitOfMeasure:
			var unit, multiplier jsontext.Scalar
			unit, multiplier, i = d.pair(j, depth+1, "unitOfMeasure", "unit", "multiplier")
			if i >= 0 && !d.setUnit(&v, unit, multiplier) {
				return -1
			}
		case fieldSigned:
			v.hasSigned = d.B[j] == '{'
			i = d.Skip(j, depth+1)
		default:
			var s jsontext.Scalar
			if s, i = d.Scalar(j, depth+1); i >= 0 {
				v.set(uint8(bit), s)
			}
		}
		if i < 0 {
			return -1
		}
	}
	if next < 0 || !d.add(&v) {
		return -1
	}
	return next
}

// setUnit takes unit and multiplier. A multiplier that can not be read makes the unit unknown, which refuses an energy.
func (d *decoder) setUnit(v *sampled, unit, multiplier jsontext.Scalar) bool {
	v.set(fieldUnit, unit)
	if multiplier.Kind == jsontext.Absent {
		return true
	}
	text := multiplier.Text
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	n, ok := 0, multiplier.Kind == jsontext.Number && len(text) > 0 && len(text) <= 2
	for _, c := range text {
		ok = ok && c-'0' <= 9
		n = n*10 + int(c-'0')
	}
	if !ok || n > maxMultiplier {
		return d.fail("unitOfMeasure.multiplier", fmt.Sprintf("%.60q is not a whole number from -%d to %d", multiplier.Text, maxMultiplier, maxMultiplier)) >= 0
	}
	if negative {
		n = -n
	}
	v.multiplier = n
	return true
}
