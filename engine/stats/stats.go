package stats

import "sync/atomic"

// Shard are counters of one partition that others may read at any time. They start at zero with the
// process; what must survive is in the rows.
type Shard struct {
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
	Prices     atomic.Int64 // of running sessions
	RateNs     atomic.Int64 // time spent rating
	StallNs    atomic.Int64 // time that the shard spent on snapshots
	StallMaxNs atomic.Int64 // the longest piece of it
	// At its start, this life of the partition took: the snapshot before the newest, or no snapshot but all readings.
	FallbackBefore, FallbackLedger atomic.Int64

	Touched int64 // of the shard's goroutine alone: keeps the first pass's loads
}

// Figures are the values of a Shard at one moment; counters are of this process's life.
type Figures struct {
	Records, Readings, Rejects, Opened, Ended, Outside int64
	EnergyMwh, InclMicros                              int64
	Live, Held                                         int64
	Position, Committed, End                           int64 // End: of the log when last asked; -1 unknown
	WatermarkMs, DurableMs                             int64
	Blocks, Rows, Snapshots, RateNs                    int64
	CDRs, NoCDRs, Prices                               int64 // made durable; sessions that can have none; told of running sessions
	StallNs, StallMaxNs                                int64 // that the shard spent on snapshots, and the longest piece
	FallbackBefore, FallbackLedger                     int64 // 1: made from the snapshot before, from no snapshot
}

// Unknown are the figures of a partition that has none.
func Unknown() Figures { return Figures{End: -1} }

// Figures returns the values of now.
func (s *Shard) Figures() Figures {
	return Figures{
		Records: s.Records.Load(), Readings: s.Readings.Load(), Rejects: s.Rejects.Load(),
		Opened: s.Opened.Load(), Ended: s.Ended.Load(), Outside: s.Outside.Load(),
		EnergyMwh: s.EnergyMwh.Load(), InclMicros: s.InclMicros.Load(), Live: s.Live.Load(), Held: s.Held.Load(),
		Position: s.Position.Load(), Committed: s.Committed.Load(), End: s.End.Load(),
		WatermarkMs: s.Watermark.Load(), DurableMs: s.DurableMs.Load(),
		Blocks: s.Blocks.Load(), Rows: s.Rows.Load(), Snapshots: s.Snapshots.Load(), RateNs: s.RateNs.Load(),
		CDRs: s.CDRs.Load(), NoCDRs: s.NoCDRs.Load(), Prices: s.Prices.Load(),
		StallNs: s.StallNs.Load(), StallMaxNs: s.StallMaxNs.Load(),
		FallbackBefore: s.FallbackBefore.Load(), FallbackLedger: s.FallbackLedger.Load(),
	}
}
