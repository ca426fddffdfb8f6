package engine

import "sync/atomic"

// shardStats are counters of one partition that others may read at any time. They start at zero with the
// process; what must survive is in the rows.
type shardStats struct {
	Records    atomic.Int64
	Readings   atomic.Int64
	Rejects    atomic.Int64
	Opened     atomic.Int64
	Ended      atomic.Int64
	Outside    atomic.Int64 // messages of no session: after an end, between sessions
	EnergyMwh  atomic.Int64 // of rows made
	InclMicros atomic.Int64 // of rows made, all currencies together: a rate for people, no amount
	Live       atomic.Int64
	Held       atomic.Int64
	Position   atomic.Int64 // next offset to be rated
	Committed  atomic.Int64
	End        atomic.Int64 // of the log when last asked
	Watermark  atomic.Int64 // ms since 1970 UTC
	DurableMs  atomic.Int64 // watermark of the newest durable block
	Blocks     atomic.Int64
	Rows       atomic.Int64
	Snapshots  atomic.Int64
	CDRs       atomic.Int64
	NoCDRs     atomic.Int64
	RateNs     atomic.Int64 // time spent rating
	StallNs    atomic.Int64 // time that the shard spent on snapshots
	StallMaxNs atomic.Int64 // the longest piece of it
	// At its start, this life of the partition took: the snapshot before the newest, or no snapshot but all readings.
	FallbackBefore, FallbackLedger atomic.Int64

	touched int64 // of the shard's goroutine alone: keeps the first pass's loads
}

// fellBack notes what a recovery made the state from.
func (s *shardStats) fellBack(to loaded) {
	switch to {
	case fromBefore:
		s.FallbackBefore.Store(1)
	case fromLedger:
		s.FallbackLedger.Store(1)
	}
}
