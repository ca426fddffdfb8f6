package reject

import (
	"strings"

	"github.com/wattline/wattline/internal/redact"
)

// leftOut stands for what a clear reason does not show.
const leftOut = "..."

// Clean makes a reason fit for the clear part (J2). of a decoder: what it quotes of the message is left out, and so are
// numbers of more than 6 digits. Of the engine: what may be the number of a payment card.
func Clean(reason string, ofDecoder bool) string {
	var b strings.Builder
	for i := 0; i < len(reason); {
		c := reason[i]
		switch {
		case c == '"' && ofDecoder:
			n := quoted(reason[i:])
			b.WriteString(`"` + leftOut + `"`)
			i += n
		case isDigit(c):
			n := digits(reason[i:])
			if run := reason[i : i+n]; ofDecoder && n > 6 || mayBeCard(run) {
				b.WriteString(leftOut)
			} else {
				b.WriteString(run)
			}
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// quoted is the length of the Go string that s begins with, up to its end where it has none: it was cut.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// digits is the length of the digits that s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// mayBeCard says whether digits can be the number of a payment card: 13 to 19 of them, the first 2 to 6, the last the
// check digit. Times in milliseconds begin with 1 until 2033.
func mayBeCard(d string) bool {
	return len(d) >= 13 && len(d) <= 19 && d[0] >= '2' && d[0] <= '6' && redact.Luhn(d)
}
