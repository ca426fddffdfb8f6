package invariant

import "fmt"

// Bug panics with "BUG: " and the formatted text. Say what was expected and what was found, with the values.
// It never returns; a caller that must return a value writes a bare return after it.
func Bug(format string, args ...any) {
	panic(fmt.Sprintf("BUG: "+format, args...)) //nolint:forbidigo // the one panic that the others go through
}

// Check panics with msg unless cond holds. It runs in every build, so cond must be cheap; it is for what
// would write wrong money if it went on. A message that is built from values costs even when cond holds:
// write `if !cond { invariant.Bug(...) }` for that, and put costly checks under `if invariant.Enabled`.
func Check(cond bool, msg string) {
	if !cond {
		fail(msg)
	}
}

// fail is apart so that Check is inlined.
//
//go:noinline
func fail(msg string) {
	panic("BUG: " + msg) //nolint:forbidigo // as Bug, without formatting
}

// Mangle writes over all of b, up to its capacity, when Enabled, and does nothing otherwise. The owner of a
// buffer calls it when it takes the buffer back: whoever still reads it then sees rubbish at once instead of
// the next batch's bytes some day. The caller must own all of b's capacity.
func Mangle(b []byte) {
	if !Enabled {
		return
	}
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0xDB // even where no bit pattern is invalid, a run of it is easily seen in a dump
	}
}
