// Package sim runs real engines in a made-up world and is as unkind to them as reality, only reproducibly: one seed
// makes the network, the faults and the order of everything, and the same seed does the same again.
//
// It owns a Kafka (logs, consumer group, snapshots), a ClickHouse (rows, tokens that are noted before the rows are in
// place, queries that nobody waits for any more) and a clock, all in memory, and the checks of what engines did to
// them. It does not own the engines: they are engine.New(...).Run, unchanged.
//
// Every call of an engine is an effect that waits in the world. The scheduler (world.go) waits until no goroutine can
// go on, picks one thing that may happen (an effect, a batch, a query of the store, a step of the clock), decides
// whether it fails, lets it through, and waits again. So there is never a race that the seed has not decided. It
// needs a testing/synctest bubble; Run takes its Wait, so that no program links package testing.
//
// Invariants:
//
//	W1  One thing at a time: between two steps every goroutine of the bubble is blocked for good.
//	W2  What may happen next is a sorted list; the seed alone picks from it. No map order, no arrival order.
//	W3  A fault is data (Fault), not a coin tossed in passing: a failing run can be repeated with fewer of them.
//	W4  What the engines must have made is told by the log alone: by engine.Replayer over the same book changes, by
//	    package rating/oracle for the sessions that nothing was done to, and by the checks of check.go.
package sim
