// Package replay makes readings of charging sessions that really happened: of a CSV with arrival, departure and energy of
// each, as the Adaptive Charging Network of Caltech's garage publishes them (docs/REPLAY.md).
//
// It owns: the file's format, what is made up between arrival and departure, the three garages with a tariff each at
// which every session is replayed, the names that stand for those of the file, pacing, and the truth. It does NOT own how
// a reading is written, how it gets to the broker (loadgen.Producer), nor what a price is (rating/oracle).
//
// Invariants:
//
//   - Y1 same file, same readings, at whatever speed and in however many partitions.
//   - Y2 first and last register of a session differ by the energy of the file, rounded half up to the milliwatt-hour;
//     start and stop are its arrival and departure, to the millisecond.
//   - Y3 no name of the file gets out: stations and sessions are numbered.
package replay
