// Package money is the integer arithmetic of prices: 128-bit integers, exact decimal texts, and the one
// rounding.
//
// It owns: Int128, the products and quotients that pricing needs, the reading and writing of decimals, and
// half-up rounding. It does NOT own: what an amount means (its currency and scale are the caller's), tax,
// price limits, or any other policy.
//
// Invariants:
//
//	M1  No float, anywhere: a decimal text is read digit by digit.
//	M2  Every rounding in the program is floor(x + 1/2): half up, a tie goes toward +infinity, also below
//	    zero. It stands in round.go and nowhere else.
//	M3  What does not fit is said: parsing returns an error, saturating functions return a flag, and
//	    Int128 documents the range within which its operations are exact.
package money
