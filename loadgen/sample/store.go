package sample

import (
	"context"
	"errors"
	"fmt"

	"github.com/wattline/wattline/engine"
)

// ErrThere is wrapped when a store has the sample already, or a part of it.
var ErrThere = errors.New("the sample is there already")

// Store is where rows go: connectors/clickhouse.
type Store interface {
	Insert(ctx context.Context, in *engine.Insert) error
	LastBlock(ctx context.Context, p engine.Partition) (row engine.BlockRow, ok bool, err error)
}

// Write makes the sample in a store: rows first, then the block's own, each insert once. A Write that was broken off is
// not gone on with: the database is to be dropped. Errors: ErrThere, before anything is written; those of Make and to.
func Write(ctx context.Context, to Store) (Summary, error) {
	for i := range int32(Partitions) {
		switch _, there, err := to.LastBlock(ctx, engine.Partition{Topic: Topic, Number: i}); {
		case err != nil:
			return Summary{}, fmt.Errorf("write the sample: %w", err)
		case there:
			return Summary{}, fmt.Errorf("write the sample: %w", ErrThere)
		}
	}
	return Make(ctx, func(b *engine.Block) error {
		for _, in := range inserts(b) {
			if err := to.Insert(ctx, in); err != nil {
				return err
			}
		}
		return nil
	})
}

// inserts are those of a block as the engine has them; the block's own row is the last.
func inserts(b *engine.Block) (list []*engine.Insert) {
	add := func(in engine.Insert) {
		in.Partition, in.First = b.Row.Partition, b.Row.First
		in.Token = fmt.Sprintf("wl1/%s/%d/%d-%d/%s/%d", in.Partition.Topic, in.Partition.Number, in.First, b.Row.Last, in.Table, in.Month)
		in.QueryID = "wl-sample-" + in.Token
		list = append(list, &in)
	}
	for i := range b.Charges {
		if c := &b.Charges[i]; len(c.Position) > 0 {
			add(engine.Insert{Table: engine.TableCharges, Month: c.Month, Charges: c})
		}
	}
	for i := range b.Sessions {
		if s := &b.Sessions[i]; len(s.Version) > 0 {
			add(engine.Insert{Table: engine.TableSessions, Month: s.Month, Sessions: s})
		}
	}
	add(engine.Insert{Table: engine.TableBlocks, Block: &b.Row})
	return list
}
