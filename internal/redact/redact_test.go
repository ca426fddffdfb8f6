package redact

import (
	"strconv"
	"strings"
	"testing"
)

func TestCardNumber(t *testing.T) {
	f := func(want bool, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if CardNumber(text) != want || CardNumber([]byte(text)) != want {
				t.Errorf("CardNumber(%q) = %v", text, !want)
			}
		}
	}
	// The schemes' own test numbers.
	f(true, "4111111111111111", "4012888888881881", "4222222222222", "5555555555554444", "2223003122003222", "378282246310005",
		"371449635398431", "6011111111111117", "30569309025904", "38520000023237", "3530111333300000", "6200000000000005", "6759649826438453")
	// As people write them, and inside other text.
	f(true, "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005", "card:4111111111111111", `{"x":"4111111111111111"}`, "a 4111111111111111, b",
		"17 4111 1111 1111 1111 9", "4111111111111111-2", "1-4111111111111111")
	// Another check digit, length or beginning.
	f(false, "4111111111111112", "411111111111111", "1111111111111117", "9223372036854766666", "18446744073709551615", "")
	// What central systems use as ids: times, UUIDs, counters, names.
	f(false, "1772000000000", "1772000000000000", "1772000000000000000", "20260105071643", "1632332118", "318000003",
		"765ddfae-5291-bca8-291b-c83bdca1b294", "41111111-1111-4111-8111-111111111111", "WTL-BER-00190", "DE*WTL*E4111", "52.5200065999999971")
	f(false, "a4111111111111111", "4111111111111111b", "4.111111111111111", "4111_1111_1111_1111")
	// No time from 2010 to 2040 is one, whatever its unit.
	for ms := int64(1_262_304_000_000); ms < 2_208_988_800_000; ms += 86_399_999 {
		for _, unit := range []int64{1, 1000, 1_000_000} {
			if text := strconv.FormatInt(ms*unit, 10); CardNumber(text) {
				t.Fatalf("a time is taken for a card: %s", text)
			}
		}
	}
}

func TestMessageID(t *testing.T) {
	if got := string(MessageID([]byte("6993504c"))); got != "6993504c" {
		t.Error(got)
	}
	if a, b := string(MessageID([]byte("4111111111111111"))), string(MessageID([]byte("5555555555554444"))); a != "card-9bbef194" || a == b {
		t.Error(a, b)
	}
}

// FuzzCardNumber: whatever is around a card number, it is found; what is taken for one has the digits of one.
func FuzzCardNumber(f *testing.F) {
	for _, s := range []string{"", "4", " ", "-", "17 ", "card:", "4111-", "\xff\x00", "9223372036854766666"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, number := range []string{"4111111111111111", "3782 822463 10005"} {
			if text := before + "\n" + number + "\n" + after; !CardNumber(text) || !CardNumber([]byte(text)) {
				t.Errorf("not found in %q", text)
			}
		}
		if !CardNumber(before) {
			return
		}
		digits := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, before)
		found := false
		for n := MinCard; n <= maxCard; n++ {
			for i := 0; i+n <= len(digits); i++ {
				sum := 0
				for k := range n {
					v := int(digits[i+n-1-k]-'0') * (1 + k%2)
					sum += v/10 + v%10
				}
				found = found || sum%10 == 0
			}
		}
		if !found {
			t.Errorf("%q has no number with a check digit", before)
		}
	})
}
