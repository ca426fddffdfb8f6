package verify

import (
	"context"
	"iter"

	"github.com/wattline/wattline/engine"
)

// Blocks is what the ledger says of blocks.
type Blocks interface {
	// Partitions lists the partitions that have a row in any table: one that lost its blocks is to be found.
	Partitions(ctx context.Context) ([]engine.Partition, error)
	// Blocks yields the rows of table blocks of p in order of First, doubled ones included. An error ends it.
	Blocks(ctx context.Context, p engine.Partition) iter.Seq2[engine.BlockRow, error]
	// Sums yields in order of First what tables charges and sessions got of p, block by block, with or without a block's
	// row.
	Sums(ctx context.Context, p engine.Partition) iter.Seq2[BlockSums, error]
}

// Rows is what the ledger says of rows.
type Rows interface {
	// Doubled yields the keys that more than one row of table charges of p has.
	Doubled(ctx context.Context, p engine.Partition) iter.Seq2[RowKey, error]
	// Sessions yields every session of p once, in any order: its newest version, and the sums of its rows in the
	// blocks that begin at or before offset upTo.
	Sessions(ctx context.Context, p engine.Partition, upTo int64) iter.Seq2[Session, error]
	// ProjectionsEqual compares every projection of table charges with its rows; detail says what differs.
	ProjectionsEqual(ctx context.Context) (equal bool, detail string, err error)
}

// Topic is the readings topic and the reference log.
type Topic interface {
	engine.LogReader
	// Partitions lists the partitions of the topics that the engines read: the ledger may have lost all of one. A
	// topic that does not exist has none.
	Partitions(ctx context.Context) ([]engine.Partition, error)
	// Bounds returns the first offset that p still has, the offset that its next record gets, and the offset that
	// the engines have committed: -1 if none.
	Bounds(ctx context.Context, p engine.Partition) (start, end, committed int64, err error)
}

// BlockSums is what a block brought.
type BlockSums struct {
	First    int64 // offset
	Charges  engine.Sums
	Sessions engine.Sums // all versions, also those that newer ones have replaced since
}

func (s *BlockSums) rows() int64 { return s.Charges.Rows + s.Sessions.Rows }

// RowKey names a row of table charges.
type RowKey struct {
	Session  [16]byte
	Position int64 // source position
	Line     uint16
	Times    int64 // how many rows have the key
	Block    int64 // first offset of the first block that has one
}

// Session is what the ledger says of a session.
type Session struct {
	ID      [16]byte
	Version Version
	Rows    RowSums
}

// Version is the newest version of a session in table sessions.
type Version struct {
	There       bool  // the session has a version at all
	Position    int64 // its source position
	BlockFirst  int64 // of the block that brought it
	FirstOffset int64 // of the session's first message
	Status      engine.SessionStatus
	Tariff      string // country_code*party_id*id; empty: not priced yet
	TariffFrom  int64  // reference offset of the tariff's version
	Zone        string
	LastMs      int64
	LastMwh     int64

	ExclMicros, InclMicros   int64 // price if it ended at LastMs
	ExclUnknown              bool
	AccruedExcl, AccruedIncl int64 // what the session's rows add up to, by the version's word
}

// RowSums is what the rows of a session in table charges add up to.
type RowSums struct {
	Rows        int64
	ExclMicros  int64 // known ones
	InclMicros  int64
	ExclUnknown bool  // a row does not know it
	Flats       int64 // FLAT rows of kind usage
	EnergyMwh   int64 // of ENERGY rows of kinds usage and expiry
	TimeMs      int64 // of TIME rows of these kinds
	ParkingMs   int64 // of PARKING_TIME rows of these kinds
	Expiry      int64 // rows of kind expiry
	Settled     int64 // rows of kinds step, min, max and rounding: there are none before the end
}

// Ends are what a run is connected to.
type Ends struct {
	Blocks    Blocks
	Rows      Rows
	Topic     Topic
	Decoders  engine.Decoders
	Reference engine.DecodeReference
	// Tokens makes the pseudonyms of the reference log; nil where it names no keys of them.
	Tokens engine.Tokens
}
