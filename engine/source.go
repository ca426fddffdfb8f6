package engine

import (
	"context"
	"errors"
	"fmt"
)

// Partition names one partition of a readings topic. A partition is a shard is one goroutine.
type Partition struct {
	Topic  string
	Number int32
}

func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Number) }

// Record is one Kafka record. Its slices point into the batch and are valid until the batch is released.
type Record struct {
	Offset      int64
	TimestampMs int64 // the record's timestamp (LogAppendTime where the topic has it), ms since 1970 UTC
	Key, Value  []byte
	ContentType []byte // header `content-type`; nil when the record has none
}

// Batch is the answer of one fetch for one partition, handed whole from the fetcher to the shard. The shard's
// goroutine is its only user. CRC, codec, control and aborted records are the connector's business: what Read
// gives are data records at or above the wanted offset, in order of offset.
type Batch interface {
	// Read fills dst with the next records and returns how many; 0 means that the batch is used up. An error
	// (bad CRC, unknown codec, decompression bomb: ErrUnreadable) stops the partition: nothing after it is readable.
	Read(dst []Record) (int, error)
	// NextOffset is where the partition stands once the batch is used up: also past records that were skipped.
	NextOffset() int64
	// Release gives the bytes back. Every Record read from the batch is dead from then on.
	Release()
}

// Feed is the stream of batches of one partition, in order of offset, without gap but what the log itself
// skips. The queue is bounded: while it is full the partition is left out of the fetches.
type Feed interface {
	// Batches is closed when the feed ended: after Close, or by an error.
	Batches() <-chan Batch
	// Err is why Batches was closed: nil after Close, a *Halt where going on would lose or double money
	// (offset below the log start or beyond its end, topic gone), else a connector's error. Only valid once
	// Batches is closed.
	Err() error
	// Close ends the feed and releases what is queued. Idempotent; does not wait for the broker.
	Close()
}

// Assignment is what one generation of the group gives to this engine: all its partitions, kept and new.
type Assignment struct {
	Generation int32
	Partitions []Partition
}

// Source is the consuming side of the group, one for an engine.
type Source interface {
	// Next blocks until the assignment changes and returns the new one (the first call: the first one). While
	// a rebalance runs the partitions of the last assignment go on; their commits wait. ErrFenced when another
	// member uses the same instance id.
	Next(ctx context.Context) (Assignment, error)
	// Open starts fetching p at offset from.
	Open(p Partition, from int64) (Feed, error)
	// Bounds asks the broker for the first offset that p still has and the offset that its next record gets.
	Bounds(ctx context.Context, p Partition) (start, end int64, err error)
}

// Commit is what Kafka keeps for a partition: the next offset to read, and our plan beside it.
type Commit struct {
	Offset   int64 // -1: nothing was ever committed
	Metadata string
}

// Errors of a Committer.
var (
	// ErrFenced says that another engine uses this engine's instance id. The whole engine stops.
	ErrFenced = errors.New("another engine uses this instance id")
	// ErrLost says that the partition belongs to another member by now. Everything of it is dropped.
	ErrLost = errors.New("partition is assigned to another engine")
)

// Committer stores offset and plan, fenced by the group's generation and the member.
type Committer interface {
	// Committed returns what the group has for p.
	Committed(ctx context.Context, p Partition) (Commit, error)
	// Commit stores c for p. During a rebalance it waits for the new generation; then it is stored if p is
	// still ours, else ErrLost. It retries what can be retried (coordinator moved, time-outs) until ctx ends.
	Commit(ctx context.Context, p Partition, c Commit) error
}

// Message is a record to be produced.
type Message struct {
	Key, Value  []byte // Value nil: a tombstone
	ContentType string // header `content-type`, none if empty
	TimestampMs int64  // ms since 1970 UTC, used as the record's timestamp
	Private     []byte // of a reject: what may leave sealed alone. A Producer that does not seal leaves it out

	source int64 // of a reject: the source position it is about
}

// Producer appends to topics.
type Producer interface {
	// Produce appends msgs in order to one partition with acks=all and returns the offset of the first. On an
	// error the messages may or may not be there: the caller repeats them, so every message says by its key or
	// content what it is.
	Produce(ctx context.Context, topic string, partition int32, msgs []Message) (int64, error)
}

// LogReader reads a topic that is a log or a store (reference, state), outside the group.
type LogReader interface {
	// ReadLog calls fn for every record of the partition from offset from up to the end that the partition had
	// when the call began, and returns the offset to go on at. fn may not keep the record's slices. A from
	// below the log start is an error for a log that is kept for ever.
	ReadLog(ctx context.Context, topic string, partition int32, from int64, fn func(Record) error) (int64, error)
}

// Halt is an error after which going on by itself would lose or double money. It stops the partition it names
// and tells the operator what was found, and what to do.
type Halt struct {
	Reason    string // short and stable, the name of its runbook page: "offset-below-log-start"
	Partition Partition
	Detail    string // what was found, with figures
	Do        string // what an operator does now
	Stack     []byte // of a panic, for the log
}

func (h *Halt) Error() string {
	return fmt.Sprintf("halted %s: %s: %s; what to do: %s", h.Partition, h.Reason, h.Detail, h.Do)
}
