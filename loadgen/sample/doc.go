// Package sample makes the data set that docs/ANALYSTS.md asks its questions of: five days of a small charging network,
// rated by the engine's own shard, with everything in it that an analyst has to know.
//
// It owns: which network, which days, what changes in the reference log meanwhile, and the sessions that go wrong on
// purpose (scenes.go), with what is to come of each. It does NOT own how anything is rated (engine), who charges when
// (loadgen), nor where the rows go: they are handed to the caller block by block.
//
// Invariants:
//
//   - E1 the same release writes the same rows: no clock, no chance but the network's seed.
//   - E2 every session that has ended costs what rating/oracle says by what its meter measured, to the last digit, in its
//     newest version and as the sum of its rows. Make fails otherwise.
package sample
