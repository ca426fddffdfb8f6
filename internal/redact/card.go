package redact

import (
	"crypto/sha256"
	"encoding/hex"
)

// CardNumber says whether text holds what may be the number of a payment card: 13 to 19 digits with a valid Luhn check
// digit that begin as a card scheme's numbers do, in one piece or in groups as cards print them, and with neither a
// letter, a digit nor a point beside them.
//
// A tenth of all long numbers have a valid check digit, so the schemes' beginnings matter: times in milli-, micro- or
// nanoseconds since 1970 begin with 1 or 20 until 2040, dates with 20, and the great 64-bit numbers that central systems
// count down from with 9; no card does. UUIDs have no group of 13 digits.
func CardNumber[T ~string | ~[]byte](text T) bool {
	for i := 0; i < len(text); {
		if !word(text[i]) {
			i++
			continue
		}
		from := i
		for i < len(text) && (word(text[i]) || joins(text, i)) {
			i++
		}
		if i-from >= MinCard && card(text[from:i]) {
			return true
		}
	}
	return false
}

// MessageID returns id, or what stands for it where it may be a card number: "card-" and 32 bits of its SHA-256, too few to
// find the number by, and enough to pair a request of one charge point with its answer. id is not kept nor changed.
func MessageID(id []byte) []byte {
	if !CardNumber(id) {
		return id
	}
	sum := sha256.Sum256(id)
	return hex.AppendEncode([]byte("card-"), sum[:4])
}

// MinCard and maxCard are how many digits a card number has.
const MinCard, maxCard = 13, 19

func digit(c byte) bool { return c-'0' < 10 }

// word says whether c may belong to a longer number or name.
func word(c byte) bool { return digit(c) || c|0x20-'a' < 26 || c == '.' || c == '_' }

// joins says whether the byte at i separates two groups of digits.
func joins[T ~string | ~[]byte](text T, i int) bool {
	return (text[i] == ' ' || text[i] == '-') && i > 0 && digit(text[i-1]) && i+1 < len(text) && digit(text[i+1])
}

// card looks at words that digits join: at each, and at all in a row that are grouped as on a card.
func card[T ~string | ~[]byte](text T) bool {
	groups := make([]group, 0, 16)
	for i := 0; i < len(text); {
		g := group{from: i, digits: true}
		for i < len(text) && word(text[i]) {
			g.digits = g.digits && digit(text[i])
			i++
		}
		g.to = i
		i++ // what separates
		groups = append(groups, g)
	}
	for i, g := range groups {
		if g.digits && valid(text[g.from:g.to]) {
			return true
		}
		for _, sizes := range [][]int{{4, 4, 4, 4}, {4, 6, 5}, {4, 4, 4, 4, 3}, {4, 6, 4}} {
			if to, ok := grouped(groups[i:], sizes); ok && valid(text[g.from:to]) {
				return true
			}
		}
	}
	return false
}

// group is a word of a text.
type group struct {
	from, to int
	digits   bool
}

// grouped says whether groups begin with digits of these sizes, and where the last of them ends.
func grouped(groups []group, sizes []int) (to int, ok bool) {
	if len(groups) < len(sizes) {
		return 0, false
	}
	for i, n := range sizes {
		if g := groups[i]; !g.digits || g.to-g.from != n {
			return 0, false
		}
	}
	return groups[len(sizes)-1].to, true
}

// valid says whether the digits of text, which has separators at most beside them, are a scheme's number.
func valid[T ~string | ~[]byte](text T) bool {
	var digits [maxCard]byte
	n := 0
	for i := range len(text) {
		if !digit(text[i]) {
			continue
		}
		if n == maxCard {
			return false
		}
		digits[n] = text[i]
		n++
	}
	return n >= MinCard && scheme(digits[:n]) && Luhn(digits[:n])
}

// scheme says whether a number of that length begins as one of Visa, Mastercard, American Express, Diners Club, JCB,
// Discover, UnionPay or Maestro (ISO/IEC 7812 and the schemes' own lists).
func scheme(d []byte) bool {
	n := len(d)
	two := int(d[0]-'0')*10 + int(d[1]-'0')
	four := two*100 + int(d[2]-'0')*10 + int(d[3]-'0')
	switch {
	case d[0] == '4':
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720:
		return n == 16
	case two == 34, two == 37:
		return n == 15
	case two == 36, two == 38, two == 39, four >= 3000 && four <= 3059:
		return n == 14 || n >= 16
	case four >= 3528 && four <= 3589, d[0] == '6', two == 50, two >= 56 && two <= 58:
		return n >= 16
	}
	return false
}

// Luhn says whether the last of the decimal digits is the check digit of ISO/IEC 7812-1, annex B.
func Luhn[T ~string | ~[]byte](digits T) bool {
	sum := 0
	for i := range len(digits) {
		v := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}
