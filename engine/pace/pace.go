// Package pace owns how often an engine makes blocks and snapshots: what an insert costs ClickHouse and what a replay
// costs the engine, against how old blocks and snapshots may get. It knows no partition and asks no clock; package
// engine does what it says. Nothing of a row depends on it: where a block ends is recorded, not computed again.
package pace

import "time"

// busyShare is how many blocks busy partitions make together for one of thin ones, as long as that no more than doubles
// their age. An insert costs ClickHouse the same with 70 rows as with 7,000.
const busyShare = 4

// Ages says at which age a partition's blocks are closed, given how many others there are. P names a partition. Not
// safe for concurrent use.
type Ages[P comparable] struct {
	// Age is that of a busy partition, Max what thin ones stretch to, PerSecond how many blocks all thin ones make together.
	Age, Max  time.Duration
	PerSecond int

	thin map[P]bool
}

// Of notes whether p is thin, and returns the age of its next block. parts is how many partitions there are.
func (a *Ages[P]) Of(p P, thin bool, parts int) time.Duration {
	if !thin {
		a.Forget(p)
		age := time.Duration(parts-len(a.thin)) * time.Second / time.Duration(busyShare*a.PerSecond)
		return min(max(age, a.Age), 2*a.Age)
	}
	if a.thin == nil {
		a.thin = make(map[P]bool)
	}
	a.thin[p] = true
	age := time.Duration(len(a.thin)) * time.Second / time.Duration(a.PerSecond)
	return min(max(age, a.Age), a.Max)
}

// Forget is told of a partition that is gone.
func (a *Ages[P]) Forget(p P) { delete(a.thin, p) }

// Cost estimates how long rating takes where nothing else runs. The time that passed says too much: with more
// partitions than cores most of it is waiting for one, and snapshots would be taken many times too often. The cheapest
// batch of late was hardly interrupted. The zero Cost knows nothing yet.
type Cost struct{ picos int64 } // a reading; 0: not known

// Of is the estimate for n readings that took ns of time, ns.
func (r *Cost) Of(n, ns int64) int64 {
	const enough = 1_000 // readings of a batch, for its time to mean something
	if n >= enough {
		each := ns * 1_000 / n
		if r.picos == 0 || each < r.picos {
			r.picos = each
		} else {
			r.picos += r.picos >> 7 // follows a load that got dearer
		}
	}
	if r.picos == 0 {
		return ns
	}
	return min(ns, n*r.picos/1_000)
}
