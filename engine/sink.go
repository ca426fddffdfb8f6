package engine

import (
	"context"
	"iter"

	"github.com/wattline/wattline/rating"
)

// Table is a table of the ledger that a block writes to.
type Table uint8

// The tables in the order in which a block inserts into them.
const (
	TableCharges Table = iota
	TableSessions
	TableBlocks
)

func (t Table) String() string { return [...]string{"charges", "sessions", "blocks"}[t] }

// SessionStatus is the life of a session in its versions.
type SessionStatus uint8

// The statuses. Provisional: closed by the watermark, because its readings stopped coming.
const (
	StatusReserved SessionStatus = iota + 1
	StatusActive
	StatusCompleted
	StatusProvisional
	StatusHeld        // charger or tariff unknown: priced when they come
	StatusUnpriceable // held with more readings than are kept
)

// SessionFlags say what was seen in a session's readings. The bits are final: docs/formats/flags.md.
type SessionFlags uint32

// The flags of a session.
const (
	FlagDuplicate       SessionFlags = 1 << iota // a message came more than once
	FlagDisorder                                 // a reading came late and could not be settled: amendment needed
	FlagLate                                     // messages came much later than they were measured (offline replay)
	FlagGlitch                                   // a single register value below its neighbours was dropped
	FlagReset                                    // the register restarted: the gap carries no energy
	FlagBelowStart                               // the end register was below the start: nothing billed below zero
	FlagStopUnknown                              // the Stop had no register (-1): the last value is the end
	FlagNoStart                                  // opened by a meter reading: no Start was seen
	FlagNoStop                                   // closed by the next Start or by the watermark
	FlagAfterEnd                                 // a reading measured after the Stop was not billed
	FlagUnit                                     // the register's unit is in conflict with the connector's power
	FlagImpossible                               // more energy than the connector can deliver
	FlagPhaseSum                                 // the register is a sum over phases
	FlagClock                                    // the charge point's clock is off from the record's time
	FlagResolution                               // a value below the last one within the register's resolution
	FlagBadTime                                  // a time was unusable and replaced or rejected
	FlagWrongPartition                           // came through a partition that its key does not map to
	FlagHeld                                     // was held for an unknown charger or tariff
	FlagTrimmed                                  // held readings beyond the limit were given up
	FlagSessionRegister                          // no Start was seen, and the register evidently counts from the session's start
	FlagSigned                                   // messages of the session have signed meter values
	FlagLateToken                                // the driver's token came when the session was being priced without it

	// flagUnitGuessed is internal until the session ends: a register came without unit and measurand.
	flagUnitGuessed SessionFlags = 1 << 31
)

// ChargeRows are the rows of table charges of one month of one block, column by column. All slices have the
// same length; the sink may not keep them after Insert returned.
type ChargeRows struct {
	Month int32 // yyyymm of FromMs, UTC
	// of the block: Block.Partition and Block.First say topic, partition, block_first
	Position    []int64  // source position: offset x 65,536 + index in the message
	Line        []uint16 // order of the rows of one position and session
	SessionID   [][16]byte
	ChargePoint []string // shared strings: interned by the shard, valid for ever
	Connector   []int32
	Location    []string
	Tariff      []string // country_code*party_id*id
	Currency    []string
	Tier        []string // of the driver's contract; empty: none
	Charge      []rating.Charge
}

// SessionRows are versions of sessions of one month (of their first known start), column by column.
type SessionRows struct {
	Month       int32
	Version     []int64 // source position of the message that made this version
	SessionID   [][16]byte
	ChargePoint []string
	Connector   []int32
	Transaction []string
	Location    []string
	Tariff      []string
	TariffFrom  []int64 // reference offset of the tariff version that prices the session
	Currency    []string
	Zone        []string
	Pseudonym   [][16]byte // of the driver's token
	TokenKey    []uint32   // id of the key that made it; 0: there is no token
	Contract    []string   // id of the driver's contract; empty: none
	Tier        []string
	Status      []SessionStatus
	StartMs     []int64
	LastMs      []int64 // the last reading, or the end
	StartMwh    []int64 // first and last register value
	LastMwh     []int64
	Total       []rating.Total // price if ended at LastMs; final when the status says so
	AccruedExcl []int64        // the sum of the session's rows of charges so far, micros
	AccruedIncl []int64
	Flags       []SessionFlags
	Readings    []uint32 // messages that had an effect
	HeldReason  []string // empty unless held
	FirstOffset []int64  // offset of the session's first message
}

// Driver is the pseudonym of the token of row i.
func (r *SessionRows) Driver(i int) rating.Pseudonym {
	return rating.Pseudonym{KeyID: r.TokenKey[i], Value: r.Pseudonym[i]}
}

// Sums are what a block put into one table: compared with what the table says.
type Sums struct {
	Rows       int64
	EnergyMwh  int64
	DurationMs int64
	ExclMicros int64 // known ones only
	InclMicros int64
	Versions   int64 // sum of version (sessions) or position (charges), wrapping
}

// BlockRow is the row of table blocks: the proof that a block is whole.
type BlockRow struct {
	Partition     Partition
	First, Last   int64 // offsets, inclusive
	Readings      int64
	Rejects       int64
	Charges       Sums
	Sessions      Sums
	BookOffset    int64
	RatingVersion int32
	Checksum      uint64 // of all rows' bytes in order (docs/formats/block.md)
	WatermarkMs   int64  // greatest record timestamp up to Last
	EngineID      string // instance id of the engine that inserted it (not part of the checksum)
}

// Insert is one insert: rows of one table and month of one block. Exactly one of the row fields is set.
type Insert struct {
	Partition Partition
	First     int64 // block_first
	Table     Table
	Month     int32  // 0 for blocks
	Token     string // insert_deduplication_token
	QueryID   string // unique for every attempt; begins with the token's hash so that Quiesce finds all attempts
	Charges   *ChargeRows
	Sessions  *SessionRows
	Block     *BlockRow
}

// Sink makes rows durable in ClickHouse. It is told what to do step by step: the protocol of tokens, read-back
// and retries is the engine's (docs/ARCHITECTURE.md, "Effectively once").
type Sink interface {
	// Insert runs one attempt. After an error the rows may be there, may come later, or may never come.
	Insert(ctx context.Context, in *Insert) error
	// Quiesce returns once no query whose id begins with prefix runs any more (KILL QUERY ... SYNC).
	Quiesce(ctx context.Context, prefix string) error
	// ReadBack returns the sums of the rows that table and month hold of the block (for blocks: Rows only).
	ReadBack(ctx context.Context, p Partition, first int64, t Table, month int32) (Sums, error)
}

// Ledger answers what ClickHouse already has of a partition.
type Ledger interface {
	// LastBlock returns the newest block of p, ok false when there is none.
	LastBlock(ctx context.Context, p Partition) (row BlockRow, ok bool, err error)
	// Blocks yields the blocks of p in order of First. An error is the last thing it yields.
	Blocks(ctx context.Context, p Partition) iter.Seq2[BlockRow, error]
}

// flagName is the text of a flag; ClickHouse has the same.
func flagName(bit int) string {
	return [...]string{
		"duplicate", "disorder", "late", "glitch", "reset", "below_start", "stop_unknown", "no_start", "no_stop", "after_end",
		"unit", "impossible", "phase_sum", "clock", "resolution", "bad_time", "wrong_partition", "held", "trimmed",
		"session_register", "signed", "late_token",
	}[bit]
}

// Names lists the flags that are set, in order of their bits.
func (f SessionFlags) Names() []string {
	names := []string{}
	for bit := range 22 {
		if f&(1<<bit) != 0 {
			names = append(names, flagName(bit))
		}
	}
	return names
}
