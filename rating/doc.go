// Package rating prices charging sessions: the vocabulary (Reading, Tariff, Charge, Library) and the fast
// pricer (Compile, Plan, State).
//
// A Plan is a tariff compiled for one time zone. A State is what a session carries from one reading to the
// next. Between two instants at which an answer of the tariff can change, Advance only notes the newest
// reading: what lies between two cuts is the difference of two registers and two times, and money is made of
// it when a row closes.
//
// It owns: what the price is. It does NOT own: where tariffs and readings come from (rating/ocpi, connectors),
// which readings are trusted (engine), what happens to amounts (billing). It does no I/O, starts no
// goroutine, takes no lock, asks no clock, walks no map and uses no float: same readings in, same charges
// out, on any machine.
//
// Invariants:
//
//	R1  Conservation: the energies of a session's usage rows sum to its last register minus its first
//	    non-reservation register, the durations to its length, and all amounts to its Total, exactly.
//	R2  Prefix: the price of a session now is the price of a session that ended at its last Point.
//	R3  A cut where no answer of the tariff changes can not be seen in a total (EXACTNESS section 2).
//	R4  The register is only ever interpolated between two Points, never from an interpolated one.
//	R5  A slice length changes rows, never totals.
//	R6  Amounts are rounded once: rows are differences of the rounded running total.
//	R7  Advance does not allocate while out has room.
//	R8  NextMs >= LastMs and NextMwh >= LastMwh; equal means that the tariff must be asked again.
//
// "EXACTNESS section N" in comments is the arithmetic contract in docs/EXACTNESS.md.
package rating
