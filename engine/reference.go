package engine

import (
	"bytes"
	"context"
	"fmt"
	"runtime"

	"github.com/wattline/wattline/engine/book"
	"github.com/wattline/wattline/engine/slab"
)

// What the reference log says, in memory: package engine/book.
type (
	// HashKey keys the hash that is a session's identity.
	HashKey = book.HashKey
	// ReferenceRecord is one decoded record of the reference log.
	ReferenceRecord = book.Record
	// Tokens makes pseudonyms of drivers' tokens.
	Tokens = book.Tokens
)

// DecodeReference reads a record of the reference log (docs/formats/reference.md). It keeps nothing of key and value, and
// is safe for concurrent use.
type DecodeReference func(key, value []byte) (ReferenceRecord, error)

// Reference is the reference log in memory, shared by all shards of an engine. Safe for concurrent use; it is
// asked when sessions begin, never per reading.
type Reference struct {
	*book.Book
	decode    DecodeReference
	following chan struct{} // room for one Follow at a time: a record is put once. A channel, so that who waits can be told to stop
}

// NewReference returns an empty Reference. tokens may be nil where no log names keys of pseudonyms.
func NewReference(decode DecodeReference, tokens Tokens) *Reference {
	return &Reference{Book: book.New(tokens), decode: decode, following: make(chan struct{}, 1)}
}

// Follow reads the log from where it stands to its end. Call it again for what came since.
func (r *Reference) Follow(ctx context.Context, log LogReader, topic string) error {
	select {
	case r.following <- struct{}{}:
	default:
		select {
		case r.following <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { <-r.following }()
	from := r.Next()
	// A start reads all of it: on every core, but put in order.
	ahead := slab.Ahead[Record, decoded]{Work: r.read, Take: r.put, Most: 4 * runtime.GOMAXPROCS(0)}
	next, err := log.ReadLog(ctx, topic, 0, from, func(rec Record) error {
		rec.Key, rec.Value = bytes.Clone(rec.Key), bytes.Clone(rec.Value) // nil stays nil: withdrawn
		return ahead.Give(rec)
	})
	if err == nil {
		err = ahead.Rest()
	}
	if err != nil {
		return fmt.Errorf("read reference log %s from offset %d: %w", topic, from, err)
	}
	r.SkipTo(next)
	return nil
}

// decoded is what a record of the log says.
type decoded struct {
	ReferenceRecord
	offset int64
	err    error
}

func (r *Reference) read(rec Record) decoded {
	ref, err := r.decode(rec.Key, rec.Value)
	return decoded{ref, rec.Offset, err}
}

func (r *Reference) put(ref decoded) error {
	if ref.err != nil {
		return &Halt{
			Reason: "reference-unreadable", Partition: Partition{Number: 0},
			Detail: fmt.Sprintf("record %d of the reference log: %v", ref.offset, ref.err),
			Do:     "run a release that can read it; the log is never edited",
		}
	}
	if id, lacks := r.Lacks(&ref.ReferenceRecord); lacks {
		return &Halt{
			Reason: "token-key-missing", Partition: Partition{Number: 0},
			Detail: fmt.Sprintf("from record %d of the reference log on, pseudonyms of drivers' tokens are made with key %d, which the keyset here does not have", ref.offset, id),
			Do:     "give this engine the keyset file of the others (tokens.keyset_file); it is read again by itself",
		}
	}
	r.Put(ref.offset, &ref.ReferenceRecord)
	return nil
}
