package chaos

import "testing"

// TestDecimals: the judge's own arithmetic.
func TestDecimals(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(decimal(0, 6), "0")
	f(decimal(1, 6), "0.000001")
	f(decimal(12_340_000, 6), "12.34")
	f(decimal(7_000_000, 6), "7")
	f(fourDecimals(1_234_549), "1.2345")
	f(fourDecimals(2_958_000), "2.9580")
	f(fixed(1_493_826), "1.493826")
	f(fixed(5), "0.000005")
}
