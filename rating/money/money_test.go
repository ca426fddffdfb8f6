package money

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// seeded gives a random source whose seed the test prints when it fails.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// randInt64 has every length of number, and the ends.
func randInt64(r *rand.Rand) int64 {
	switch r.IntN(10) {
	case 0:
		return -1 << 63
	case 1:
		return 1<<63 - 1
	case 2:
		return int64(r.IntN(5)) - 2
	}
	return int64(r.Uint64()) >> r.IntN(64)
}

func randInt128(r *rand.Rand) Int128 { return Int128{Hi: randInt64(r), Lo: uint64(randInt64(r))} }

// wrap is v as an Int128 would hold it.
func wrap(v *big.Int) *big.Int {
	mod := new(big.Int).Lsh(big.NewInt(1), 128)
	v = new(big.Int).Mod(v, mod)
	if v.Bit(127) == 1 {
		v.Sub(v, mod)
	}
	return v
}

func TestInt128(t *testing.T) {
	r := seeded(t)
	eq := func(what string, got Int128, want *big.Int) {
		t.Helper()
		if got.Big().Cmp(wrap(want)) != 0 {
			t.Fatalf("%s is %s, want %s", what, got.Big(), wrap(want))
		}
	}
	for range 200_000 {
		x, y, a, b := randInt128(r), randInt128(r), randInt64(r), randInt64(r)
		bx, by, ba, bb := x.Big(), y.Big(), big.NewInt(a), big.NewInt(b)
		eq("from", FromInt64(a), ba)
		eq("product", Mul64(a, b), new(big.Int).Mul(ba, bb))
		eq("sum", x.Add(y), new(big.Int).Add(bx, by))
		eq("difference", x.Sub(y), new(big.Int).Sub(bx, by))
		eq("negative", x.Neg(), new(big.Int).Neg(bx))
		eq("multiple", x.MulInt64(a), new(big.Int).Mul(bx, ba))
		if x.Cmp(y) != bx.Cmp(by) || x.Cmp(x) != 0 || x.Sign() != bx.Sign() || x.IsZero() != (bx.Sign() == 0) {
			t.Fatalf("%s against %s", bx, by)
		}
		if d := a &^ (-1 << 63); d > 0 {
			q, rem := x.DivModInt64(d)
			bq, br := new(big.Int).DivMod(bx, big.NewInt(d), new(big.Int))
			eq("quotient", q, bq)
			eq("remainder", FromInt64(rem), br)
			// floor(n/d + 1/2) = floor((2n + d) / 2d)
			twice := new(big.Int).Lsh(bx, 1)
			want := new(big.Int).Div(twice.Add(twice, big.NewInt(d)), new(big.Int).Lsh(big.NewInt(d), 1))
			eq("rounded", RoundQuotient(x, d), want)
			if got := RoundBig(bx, big.NewInt(d)); got.Cmp(want) != 0 {
				t.Fatalf("RoundBig is %s, want %s", got, want)
			}
		}
	}
}

func TestInt64(t *testing.T) {
	f := func(x Int128, limit, want int64, wantOK bool) {
		t.Helper()
		if got, ok := x.Int64(limit); got != want || ok != wantOK {
			t.Errorf("%s held to %d is %d, %v", x.Big(), limit, got, ok)
		}
	}
	f(FromInt64(5), 5, 5, true)
	f(FromInt64(6), 5, 5, false)
	f(FromInt64(-5), 5, -5, true)
	f(FromInt64(-6), 5, -5, false)
	f(Int128{Hi: 1}, 1<<62, 1<<62, false)
	f(Int128{Hi: -2}, 1<<62, -1<<62, false)
}

func TestMulDiv(t *testing.T) {
	r := seeded(t)
	for range 100_000 {
		d := uint64(randInt64(r)) >> 1
		if d == 0 {
			continue
		}
		a, b := uint64(randInt64(r))>>1, r.Uint64N(d+1)
		bd := new(big.Int).SetUint64(d)
		n := new(big.Int).Mul(new(big.Int).SetUint64(a), new(big.Int).SetUint64(b))
		if got, want := MulDivRound(a, b, d), RoundBig(n, bd); got != want.Uint64() {
			t.Fatalf("round %d*%d/%d is %d, want %s", a, b, d, got, want)
		}
		q, rem := new(big.Int).DivMod(n, bd, new(big.Int))
		want := q.Uint64()
		if rem.Sign() > 0 {
			want++
		}
		if got := MulDivCeil(a, b, d); got != want {
			t.Fatalf("ceil %d*%d/%d is %d, want %d", a, b, d, got, want)
		}
	}
}

func TestRoundFraction(t *testing.T) {
	d := Int128{Hi: 7, Lo: 9}
	f := func(n Int128, want int64) {
		t.Helper()
		if got := RoundFraction(n, d); got != want {
			t.Errorf("%s/%s is %d, want %d", n.Big(), d.Big(), got, want)
		}
	}
	odd := Int128{Hi: 3, Lo: 1<<63 + 4} // (d-1)/2
	f(Int128{}, 0)
	f(odd, 0)
	f(odd.Add(Int128{Lo: 1}), 1)
	f(d, 1)
	f(d.Add(odd), 1)
	f(d.MulInt64(4), 4)
	f(d.MulInt64(3).Add(odd).Add(Int128{Lo: 1}), 4)
}

func TestParseDecimal(t *testing.T) {
	f := func(text string, decimals int, want int64, wantErr error) {
		t.Helper()
		if got, err := ParseDecimal(text, decimals); got != want || !errors.Is(err, wantErr) {
			t.Errorf("ParseDecimal(%q, %d) is %d, %v", text, decimals, got, err)
		}
	}
	f("0", 9, 0, nil)
	f("0.25", 9, 250_000_000, nil)
	f("-0.25", 2, -25, nil)
	f("+3", 0, 3, nil)
	f("007.50", 1, 75, nil)
	f("1.10000000000000000000000000000", 1, 11, nil)
	f("1e3", 0, 1000, nil)
	f("1.5E+2", 0, 150, nil)
	f("25e-2", 2, 25, nil)
	f("9223372036854775807", 0, 1<<63-1, nil)
	f("-9223372036854775808", 0, -1<<63, nil)
	f("9223372036854775808", 0, 0, ErrRange)
	f("1e201", 0, 0, ErrRange)
	f("1e99999999999999999999", 0, 0, ErrRange)
	f("0.0000000001", 9, 0, ErrPrecision)
	f("1e-1", 0, 0, ErrPrecision)
	for _, bad := range []string{"", ".", "1.", ".5", "-", "--1", "1e", "1e+", "1e1.5", "0x1", "1 ", "1,5", "NaN", "Inf", "1_0", "٣"} {
		f(bad, 9, 0, ErrSyntax)
	}
}

func TestParseRounded(t *testing.T) {
	f := func(text string, decimals int, want int64) {
		t.Helper()
		if got, err := ParseRounded(text, decimals); got != want || err != nil {
			t.Errorf("ParseRounded(%q, %d) is %d, %v", text, decimals, got, err)
		}
	}
	f("1.4999", 0, 1)
	f("1.5", 0, 2)
	f("-1.5", 0, -1) // a tie goes toward +infinity
	f("-1.50001", 0, -2)
	f("0.0005", 3, 1)
	f("12.5e3", 0, 12_500)
	if _, err := ParseRounded("9223372036854775807.5", 0); !errors.Is(err, ErrRange) {
		t.Errorf("error %v", err)
	}
}

func TestFormatDecimal(t *testing.T) {
	f := func(v int64, decimals int, want string) {
		t.Helper()
		if got := FormatDecimal(v, decimals); got != want {
			t.Errorf("FormatDecimal(%d, %d) is %q, want %q", v, decimals, got, want)
		}
		if got := FormatBig(big.NewInt(v), decimals); got != want {
			t.Errorf("FormatBig(%d, %d) is %q, want %q", v, decimals, got, want)
		}
	}
	f(0, 0, "0")
	f(0, 3, "0.000")
	f(5, 3, "0.005")
	f(-5, 3, "-0.005")
	f(12345, 3, "12.345")
	f(12345, 0, "12345")
	f(999, 3, "0.999")
	f(1000, 3, "1.000")
	f(-1<<63, 6, "-9223372036854.775808")
	f(1<<63-1, 25, "0.0000009223372036854775807")
}

// FuzzParseDecimal: what is read is written back as the same number, and agrees with math/big's own reader.
func FuzzParseDecimal(f *testing.F) {
	for _, seed := range []string{"0", "-0.25", "1e3", "12.3456789", "9e18", "1.0000000000", "1e-9", "-", "00.1E-02"} {
		f.Add(seed, 9)
	}
	f.Fuzz(func(t *testing.T, text string, decimals int) {
		decimals &= 15
		v, err := ParseDecimal(text, decimals)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q was read as %d", text, v)
		}
		if got, _ := new(big.Rat).SetString(FormatDecimal(v, decimals)); got.Cmp(want) != 0 {
			t.Fatalf("%q was read as %d of %d decimals", text, v, decimals)
		}
		if r, err := ParseRounded(text, decimals); r != v || err != nil {
			t.Fatalf("%q rounded is %d, %v", text, r, err)
		}
	})
}

// FuzzRound holds the three roundings against each other.
func FuzzRound(f *testing.F) {
	f.Add(int64(-1), uint64(1)<<63, int64(3))
	f.Fuzz(func(t *testing.T, hi int64, lo uint64, d int64) {
		if d <= 0 {
			return
		}
		x := Int128{Hi: hi, Lo: lo}
		want := RoundBig(x.Big(), big.NewInt(d))
		if got := RoundQuotient(x, d).Big(); got.Cmp(wrap(want)) != 0 {
			t.Fatalf("%s/%d is %s, want %s", x.Big(), d, got, want)
		}
	})
}

func BenchmarkRoundQuotient(b *testing.B) {
	x := Int128{Hi: 12345, Lo: 67890}
	for b.Loop() {
		x.Lo++
		RoundQuotient(x, 18_000_000_000)
	}
}
