// Package ocpi reads and writes the OCPI objects that pricing needs: Tariffs of OCPI 2.1.1, 2.2.1 and 2.3.0,
// Locations, and the session and vector files of `wattline price`.
//
// It owns the way from bytes to rating.Tariff, rating.Location and rating.Point, and says every fault with its
// path (`tariffs.t1.elements[2].restrictions.start_time: "25:00" is not a time of day`), not only the first.
// It does not price anything, knows no file names and reads no file itself.
//
// Invariants:
//
//   - O1, exact: a number is read from its decimal text and is never a float. What does not lie on the grid of
//     EXACTNESS section 1 (docs/ARCHITECTURE.md) is a fault, never bent. Only a meter register is rounded.
//   - O2, one tree: JSON and YAML become the same tree of nodes before anything looks at them, so both have the
//     same rules; a key given twice is a fault in both.
//   - O3, no silence: an unknown field inside `restrictions` is a fault, because ignoring it would widen the
//     element; an unknown field elsewhere is a warning.
//   - O4, round trip: parsing what AppendTariffJSON wrote gives the same rating.Tariff.
//   - O5: a result that has a fault is never handed out: the pointer is nil.
package ocpi
