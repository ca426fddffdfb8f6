package engine

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wattline/wattline/engine/ends"
	"github.com/wattline/wattline/engine/outbox"
)

// planTTL is how old a plan may be when an insert of it is tried: after it the plan is committed again, which a
// newer owner of the partition refuses (I5). It is far below the time for which ClickHouse keeps tokens.
const planTTL = 10 * time.Minute

// settler makes the rows, messages and snapshots of blocks durable: ARCHITECTURE section 4, points 3 to 6. It has no
// state but its ends; every block is settled by a goroutine of its own, and every snapshot.
type settler struct {
	cfg      *Config
	sink     Sink
	producer Producer
	clock    Clock
	log      *slog.Logger
	store    *ends.End // is told how inserts go
	// fence commits the plan again: it fails when the partition is not ours any longer.
	fence func(context.Context) error
	// lastID is that of the snapshot before, and not below the beginning of this life: ids grow although clocks step
	// back, else the sweep would take our own newest for what an engine left behind.
	lastID uint64
	gate   *outbox.Gate // of the partition's running prices
}

// settle makes b durable: rejects, CDRs, rows, the block's row. recovered says that an earlier attempt may have left
// anything behind.
func (w *settler) settle(ctx context.Context, b *Block, recovered bool) error {
	planned := w.clock.Now()
	if len(b.Rejects) > 0 {
		if err := w.produceRejects(ctx, b); err != nil {
			return err
		}
	}
	if b.Row.Last < b.Row.First {
		return nil
	}
	if err := w.tell(ctx, b); err != nil {
		return err
	}
	for _, in := range b.inserts() {
		if err := w.insert(ctx, in, recovered, &planned); err != nil {
			return err
		}
	}
	return nil
}

func (w *settler) produceRejects(ctx context.Context, b *Block) error {
	return w.deliver(ctx, w.cfg.RejectsTopic, 0, b.Rejects)
}

// inserts lists the inserts of a block in their order; the block's own row is the last.
func (b *Block) inserts() []*Insert {
	var list []*Insert
	add := func(t Table, month int32) *Insert {
		in := &Insert{Partition: b.Row.Partition, First: b.Row.First, Table: t, Month: month}
		in.Token = fmt.Sprintf("wl1/%s/%d/%d-%d/%s/%d", b.Row.Partition.Topic, b.Row.Partition.Number, b.Row.First, b.Row.Last, t, month)
		list = append(list, in)
		return in
	}
	for i := range b.Charges {
		if len(b.Charges[i].Position) > 0 {
			add(TableCharges, b.Charges[i].Month).Charges = &b.Charges[i]
		}
	}
	for i := range b.Sessions {
		if len(b.Sessions[i].Version) > 0 {
			add(TableSessions, b.Sessions[i].Month).Sessions = &b.Sessions[i]
		}
	}
	add(TableBlocks, 0).Block = &b.Row
	return list
}

// want is what a read-back of the insert must say.
func (in *Insert) want() Sums {
	switch {
	case in.Charges != nil:
		return in.Charges.Sums()
	case in.Sessions != nil:
		return in.Sessions.Sums()
	}
	return Sums{Rows: 1}
}

// insert runs one insert until its rows are known to be there, once. ClickHouse notes a token before the part
// is in place, so an OK to a retry proves nothing: after anything but a clean first OK the rows are read back
// (EMBEDDED-FACTS 11). The same token is tried again until ClickHouse says OK; only an OK without rows, a token
// that was noted in vain, moves on to the next token.
func (w *settler) insert(ctx context.Context, in *Insert, recovered bool, planned *time.Time) error {
	token, prefix := in.Token, queryPrefix(in.Token)
	vain := 0
	wait := ends.NewBackoff(w.cfg.InsertBackoffMax)
	call := w.store.Begin()
	defer call.Done()
	for attempt := 1; ; attempt++ {
		if err := w.freshen(ctx, planned); err != nil {
			return err
		}
		call.Again()
		if attempt > 1 || recovered {
			there, err := w.there(ctx, in, prefix)
			if err != nil && isHalt(err) {
				return err
			}
			if there {
				return nil
			}
			if err != nil {
				call.Failed(err)
				if err := wait.Sleep(ctx, w.clock); err != nil {
					return err
				}
				continue
			}
		}
		if err := w.freshen(ctx, planned); err != nil { // the read-back may have taken long, too
			return err
		}
		in.Token, in.QueryID = token, prefix+strconv.Itoa(attempt)+"-"+strconv.FormatInt(w.clock.Now().UnixNano(), 36)
		if vain > 0 {
			in.Token = token + "#" + strconv.Itoa(vain)
		}
		err := w.sink.Insert(ctx, in)
		in.Token = token
		switch {
		case err == nil && attempt == 1 && !recovered:
			return nil
		case err == nil:
			there, rerr := w.there(ctx, in, prefix)
			if there || rerr != nil && isHalt(rerr) {
				return rerr
			}
			if rerr != nil {
				call.Failed(rerr)
			} else {
				vain++
				w.log.Warn("token was noted without rows, inserting under the next", "token", in.Token, "next", vain)
				if vain == 1 {
					continue // no reason to wait: the next token is another
				}
			}
		default:
			call.Failed(err)
		}
		if err := wait.Sleep(ctx, w.clock); err != nil {
			return err
		}
	}
}

// freshen commits the plan again if it is old (I5).
func (w *settler) freshen(ctx context.Context, planned *time.Time) error {
	if w.clock.Now().Sub(*planned) <= planTTL {
		return nil
	}
	if err := w.fence(ctx); err != nil {
		return err
	}
	*planned = w.clock.Now()
	return nil
}

// queryPrefix begins the query id of every attempt under a token, in any process.
func queryPrefix(token string) string {
	return "wl-" + strconv.FormatUint(xxhash.Sum64String(token), 16) + "-"
}

// there says whether the rows of in are in the table: all of them, or none. Anything else halts.
func (w *settler) there(ctx context.Context, in *Insert, prefix string) (bool, error) {
	if err := w.sink.Quiesce(ctx, prefix); err != nil {
		return false, err
	}
	got, err := w.sink.ReadBack(ctx, in.Partition, in.First, in.Table, in.Month)
	if err != nil {
		return false, err
	}
	want := in.want()
	if in.Table == TableBlocks {
		got = Sums{Rows: got.Rows}
	}
	switch got {
	case want:
		return true, nil
	case Sums{}:
		return false, nil
	}
	return false, &Halt{
		Reason: "block-differs", Partition: in.Partition,
		Detail: fmt.Sprintf("table %s month %d holds %+v of block %d, this engine made %+v", in.Table, in.Month, got, in.First, want),
		Do:     "run `wattline verify` and see docs/runbook/block-differs.md; nothing was changed",
	}
}
