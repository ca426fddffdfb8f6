package config

import (
	"errors"
	"fmt"
	"time"
)

const minuteMs = 60_000

// Config is what an Engine can be told. The zero value of a field means its default.
type Config struct {
	// EngineID is the static instance id in the consumer group, unique among the running engines. Required.
	EngineID string
	// ReferenceTopic is the reference log. Default wattline.reference.
	ReferenceTopic string
	// StateTopic holds the snapshots; it has as many partitions as the readings topic, or more. Default
	// wattline.state.
	StateTopic string
	// RejectsTopic gets what can not be used. Default wattline.rejects.
	RejectsTopic string
	// CDRsTopic gets the CDRs of final sessions; it has as many partitions as the readings topic, or more. Default
	// wattline.cdrs.
	CDRsTopic string
	// PricesTopic gets the prices of running sessions; it has as many partitions as the readings topic, or more. Default
	// wattline.prices.
	PricesTopic string
	// NoPrices leaves PricesTopic alone.
	NoPrices bool

	// Partitioners are those of the readings topics, by topic. Default none: nothing is checked.
	Partitioners map[string]Partitioner

	// SliceMs is the length of the clock-aligned slices that rows are cut at, ms; it divides a day. 0: 15
	// minutes. -1: no slices, a row a charging period. Shorter slices make more rows: each costs ClickHouse
	// about a microsecond.
	SliceMs int64
	// SessionTimeoutMs is after how much time of the watermark without a message a session is closed
	// provisionally, ms. Default 1 h.
	SessionTimeoutMs int64

	// BlockRows closes a block when it has that many rows. Default 100,000, more is memory.
	BlockRows int
	// BlockOffsets closes a block when its range is that long. Default 4,000,000.
	BlockOffsets int64
	// BlockAge closes a block of a busy partition at that age, later while two blocks before it are not durable yet, and
	// at twice that where there are many. Default 1 s: how fresh ClickHouse is, against one insert a table and block.
	BlockAge time.Duration
	// BlockAgeMax is the age to which blocks of thin partitions stretch. Default 30 s.
	BlockAgeMax time.Duration
	// BlocksPerSecond is how many blocks all thin partitions of this engine make together, and a quarter of what busy
	// ones make unless the age would more than double. Default 2.
	BlocksPerSecond int

	// SnapshotReplay takes a snapshot once replaying the readings since the last one would take longer than
	// this. Default 2 s.
	SnapshotReplay time.Duration
	// SnapshotAge takes a snapshot of a partition that has readings when its last one is that old, however
	// little there is to replay: the log is deleted behind the snapshot. Default 10 min; far below the topic's
	// retention.
	SnapshotAge time.Duration
	// SnapshotChunk is the size of a snapshot's messages, bytes. Default 512 KiB; below the topic's
	// max.message.bytes.
	SnapshotChunk int

	// BookEvery is the least time between two changes of a shard's book, unless a session is held. Default 60 s.
	BookEvery time.Duration
	// ReferencePoll is how often the reference log is asked for news. Default 1 s.
	ReferencePoll time.Duration
	// StopTimeout bounds a clean stop. Default 4 s; what is not durable by then is left as after a crash.
	StopTimeout time.Duration
	// InsertBackoffMax bounds the wait between two attempts of an insert. Default 10 s.
	InsertBackoffMax time.Duration
}

// WithDefaults returns c with defaults where it is zero.
func (c Config) WithDefaults() Config {
	text := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	dur := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	text(&c.ReferenceTopic, "wattline.reference")
	text(&c.StateTopic, "wattline.state")
	text(&c.RejectsTopic, "wattline.rejects")
	text(&c.CDRsTopic, "wattline.cdrs")
	text(&c.PricesTopic, "wattline.prices")
	if c.SliceMs == 0 {
		c.SliceMs = 15 * minuteMs
	}
	if c.SessionTimeoutMs == 0 {
		c.SessionTimeoutMs = 60 * minuteMs
	}
	if c.BlockRows == 0 {
		c.BlockRows = 100_000
	}
	if c.BlockOffsets == 0 {
		c.BlockOffsets = 4_000_000
	}
	if c.SnapshotChunk == 0 {
		c.SnapshotChunk = 512 << 10
	}
	if c.BlocksPerSecond == 0 {
		c.BlocksPerSecond = 2
	}
	dur(&c.BlockAge, time.Second)
	dur(&c.BlockAgeMax, 30*time.Second)
	dur(&c.SnapshotReplay, 2*time.Second)
	dur(&c.SnapshotAge, 10*time.Minute)
	dur(&c.BookEvery, time.Minute)
	dur(&c.ReferencePoll, time.Second)
	dur(&c.StopTimeout, 4*time.Second)
	dur(&c.InsertBackoffMax, 10*time.Second)
	return c
}

// Validate returns every fault of c, joined, each with the field's name.
func (c Config) Validate() error {
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	const dayMs = 24 * 60 * minuteMs
	bad(c.EngineID != "", "EngineID is empty: give each engine a name of its own")
	bad(c.SliceMs == -1 || c.SliceMs > 0 && dayMs%c.SliceMs == 0, "SliceMs %d does not divide a day", c.SliceMs)
	bad(c.SessionTimeoutMs >= minuteMs, "SessionTimeoutMs %d is below a minute", c.SessionTimeoutMs)
	bad(c.BlockRows >= 100, "BlockRows %d is below 100", c.BlockRows)
	bad(c.BlockOffsets >= 100, "BlockOffsets %d is below 100", c.BlockOffsets)
	bad(c.BlockAge >= 10*time.Millisecond, "BlockAge %v is below 10 ms", c.BlockAge)
	bad(c.BlockAgeMax >= c.BlockAge, "BlockAgeMax %v is below BlockAge %v", c.BlockAgeMax, c.BlockAge)
	bad(c.BlocksPerSecond > 0, "BlocksPerSecond %d is not positive", c.BlocksPerSecond)
	bad(c.SnapshotChunk >= 4096 && c.SnapshotChunk <= 8<<20, "SnapshotChunk %d is not between 4 KiB and 8 MiB", c.SnapshotChunk)
	for topic, p := range c.Partitioners {
		err := p.validate()
		bad(err == nil, "Partitioners of %s: %v", topic, err)
	}
	return errors.Join(faults...)
}

// RatedSliceMs is SliceMs as the pricer takes it: 0 for none.
func (c *Config) RatedSliceMs() int64 { return max(c.SliceMs, 0) }

// MaxGapMs is how far a reading may lie after the session's last one: a month, or less where the slices between
// the two would make more rows than a source position has lines.
func (c *Config) MaxGapMs() int64 {
	const monthMs, slices = 31 * 24 * 60 * minuteMs, 16_000
	if c.SliceMs > 0 {
		return min(monthMs, slices*c.SliceMs)
	}
	return monthMs
}
