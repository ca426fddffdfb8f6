package sim

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/rating"
)

// store is ClickHouse as it really is: a token is noted before the part is in place, a query goes on though its
// client is gone, and an OK to a known token says nothing about rows.
type store struct {
	tokens  map[string]bool
	parts   map[place][]*part // in order of arrival
	running []*query
	down    bool // refuses everything
	full    bool // notes tokens, has no room for rows
	slow    time.Duration
}

// place is where rows of a block are.
type place struct {
	p     engine.Partition
	first int64
	table engine.Table
	month int32
}

// part is what one insert left.
type part struct {
	sums     engine.Sums
	charges  []charge
	sessions []version
	block    engine.BlockRow
}

// charge is a row of charges.
type charge struct {
	month       int32
	position    int64
	line        uint16
	id          [16]byte
	chargePoint string
	connector   int32
	location    string
	tariff      string
	currency    string
	tier        string
	charge      rating.Charge
}

// version is a row of sessions.
type version struct {
	month                                 int32
	version                               int64
	id                                    [16]byte
	chargePoint                           string
	connector                             int32
	transaction                           string
	location, tariff                      string
	tariffFrom                            int64
	currency, zone, contract, tier        string
	driver                                rating.Pseudonym
	status                                engine.SessionStatus
	startMs, lastMs, startMwh, lastMwh    int64
	total                                 rating.Total
	accruedExcl, accruedIncl, firstOffset int64
	flags                                 engine.SessionFlags
	readings                              uint32
	heldReason                            string
}

// query is an insert that runs in the store though nobody waits for it.
type query struct {
	proc  *proc // who sent it
	id    string
	token string
	at    place
	part  *part
	noted bool      // the token is; the rows come next
	from  time.Time // it goes on
}

func newStore() store {
	return store{tokens: map[string]bool{}, parts: map[place][]*part{}}
}

// chargesOf copies rows out of an engine's columns.
func chargesOf(r *engine.ChargeRows) []charge {
	out := make([]charge, len(r.Position))
	for i := range out {
		out[i] = charge{
			r.Month, r.Position[i], r.Line[i], r.SessionID[i], r.ChargePoint[i], r.Connector[i], r.Location[i], r.Tariff[i], r.Currency[i], r.Tier[i], r.Charge[i],
		}
	}
	return out
}

// versionsOf copies rows out of an engine's columns; transaction ids lie in memory that the engine uses again.
func versionsOf(r *engine.SessionRows) []version {
	out := make([]version, len(r.Version))
	for i := range out {
		out[i] = version{
			month: r.Month, version: r.Version[i], id: r.SessionID[i], chargePoint: r.ChargePoint[i], connector: r.Connector[i],
			transaction: strings.Clone(r.Transaction[i]), location: r.Location[i], tariff: r.Tariff[i], tariffFrom: r.TariffFrom[i],
			currency: r.Currency[i], zone: r.Zone[i], status: r.Status[i], startMs: r.StartMs[i], lastMs: r.LastMs[i],
			startMwh: r.StartMwh[i], lastMwh: r.LastMwh[i], total: r.Total[i], accruedExcl: r.AccruedExcl[i],
			accruedIncl: r.AccruedIncl[i], firstOffset: r.FirstOffset[i], flags: r.Flags[i], readings: r.Readings[i],
			heldReason: r.HeldReason[i], driver: r.Driver(i),
			contract: strings.Clone(r.Contract[i]), tier: r.Tier[i],
		}
	}
	return out
}

// Insert implements engine.Sink.
func (p *proc) Insert(ctx context.Context, in *engine.Insert) error {
	w := p.w
	q := &query{proc: p, id: in.QueryID, token: in.Token, at: place{in.Partition, in.First, in.Table, in.Month}, part: &part{}}
	switch {
	case in.Charges != nil:
		q.part.charges, q.part.sums = chargesOf(in.Charges), in.Charges.Sums()
	case in.Sessions != nil:
		q.part.sessions, q.part.sums = versionsOf(in.Sessions), in.Sessions.Sums()
	default:
		q.part.block, q.part.sums = *in.Block, engine.Sums{Rows: 1}
	}
	w.mu.Lock()
	if !p.dead {
		w.checkInsert(p, q)
	}
	e := &effect{
		proc: p, op: "insert", key: q.token + " " + q.id, part: in.Partition, lands: true,
		spoil: []FaultKind{InsertRefused, InsertLostAck, InsertVain, InsertLate, InsertDelayed},
	}
	if d := w.store.slow; d > 0 && !w.calm {
		e.from = time.Now().Add(d)
	}
	w.mu.Unlock()
	e.do = func(f FaultKind) error { return w.store.insert(p, q, f) }
	return w.call(ctx, e)
}

func (s *store) insert(p *proc, q *query, f FaultKind) error {
	w := p.w
	broken := fmt.Errorf("insert %s: %w", q.token, errInjected)
	switch {
	case s.down && !w.calm:
		return broken
	case s.full && !w.calm:
		s.tokens[q.token] = true
		return broken
	}
	switch f {
	case InsertRefused:
		return broken
	case InsertVain:
		s.tokens[q.token] = true
		return broken
	case InsertDelayed: // no quiesce can see it
		w.pending = append(w.pending, &effect{op: "delayed insert", key: q.token + " " + q.id, lands: true, gone: true, proc: p, do: func(FaultKind) error {
			s.put(w, q)
			return nil
		}})
		return broken
	case InsertLate:
		q.from = w.lately(2 * time.Second)
		s.running = append(s.running, q)
		return broken
	}
	s.put(w, q)
	if f == InsertLostAck {
		return broken
	}
	return nil
}

// put runs a query to its end.
func (s *store) put(w *world, q *query) {
	if !q.noted && s.tokens[q.token] {
		return
	}
	s.tokens[q.token] = true
	q.noted = true
	w.checkRows(q)
	s.parts[q.at] = append(s.parts[q.at], q.part)
	if q.at.table == engine.TableBlocks {
		w.counts.Blocks++
	}
	w.counts.Rows += q.part.sums.Rows
}

// goOn takes a query that nobody waits for a step further: token first, rows later.
func (s *store) goOn(w *world, q *query) string {
	if !q.noted {
		if s.tokens[q.token] {
			s.forget(q)
			return "its token is known"
		}
		s.tokens[q.token], q.noted, q.from = true, true, w.lately(5*time.Second)
		return "its token is noted"
	}
	s.put(w, q)
	s.forget(q)
	return "its rows are in place"
}

func (s *store) forget(q *query) {
	s.running = slices.DeleteFunc(s.running, func(o *query) bool { return o == q })
}

// Quiesce implements engine.Sink.
func (p *proc) Quiesce(ctx context.Context, prefix string) error {
	w := p.w
	return w.call(ctx, &effect{
		proc: p, op: "quiesce", key: prefix, spoil: []FaultKind{QuiesceFails},
		do: func(f FaultKind) error {
			if f == QuiesceFails || w.store.down && !w.calm {
				return fmt.Errorf("quiesce %s: %w", prefix, errInjected)
			}
			for _, q := range slices.Clone(w.store.running) {
				if !strings.HasPrefix(q.id, prefix) {
					continue
				}
				if w.rnd.IntN(2) == 0 { // it was quicker than the kill
					w.store.put(w, q)
				}
				w.store.forget(q)
			}
			return nil
		},
	})
}

// ReadBack implements engine.Sink.
func (p *proc) ReadBack(ctx context.Context, part engine.Partition, first int64, t engine.Table, month int32) (sums engine.Sums, err error) {
	w := p.w
	err = w.call(ctx, &effect{
		proc: p, op: "read back", key: fmt.Sprintf("%s %d %s %d", part, first, t, month), part: part, spoil: []FaultKind{ReadBackFails},
		do: func(f FaultKind) error {
			if f == ReadBackFails || w.store.down && !w.calm {
				return fmt.Errorf("read back %s: %w", part, errInjected)
			}
			for _, x := range w.store.parts[place{part, first, t, month}] {
				sums = plus(sums, x.sums)
			}
			return nil
		},
	})
	return sums, err
}

func plus(a, b engine.Sums) engine.Sums {
	return engine.Sums{
		Rows: a.Rows + b.Rows, EnergyMwh: a.EnergyMwh + b.EnergyMwh, DurationMs: a.DurationMs + b.DurationMs,
		ExclMicros: a.ExclMicros + b.ExclMicros, InclMicros: a.InclMicros + b.InclMicros, Versions: a.Versions + b.Versions,
	}
}

// LastBlock implements engine.Ledger.
func (p *proc) LastBlock(ctx context.Context, part engine.Partition) (row engine.BlockRow, ok bool, err error) {
	w := p.w
	err = w.call(ctx, &effect{
		proc: p, op: "last block", key: part.String(), part: part, spoil: []FaultKind{LedgerFails},
		do: func(f FaultKind) error {
			if f == LedgerFails || w.store.down && !w.calm {
				return fmt.Errorf("last block of %s: %w", part, errInjected)
			}
			if all := w.store.blocks(part); len(all) > 0 {
				row, ok = all[len(all)-1], true
			}
			return nil
		},
	})
	return row, ok, err
}

// Blocks implements engine.Ledger.
func (p *proc) Blocks(ctx context.Context, part engine.Partition) iter.Seq2[engine.BlockRow, error] {
	w := p.w
	return func(yield func(engine.BlockRow, error) bool) {
		var all []engine.BlockRow
		var broken error
		err := w.call(ctx, &effect{
			proc: p, op: "blocks", key: part.String(), part: part, spoil: []FaultKind{LedgerFails},
			do: func(f FaultKind) error {
				if w.store.down && !w.calm {
					return fmt.Errorf("blocks of %s: %w", part, errInjected)
				}
				all = w.store.blocks(part)
				if f == LedgerFails {
					all, broken = all[:len(all)/2], fmt.Errorf("blocks of %s: %w", part, errInjected)
				}
				return nil
			},
		})
		if err != nil {
			yield(engine.BlockRow{}, err)
			return
		}
		for _, row := range all {
			if !yield(row, nil) {
				return
			}
		}
		if broken != nil {
			yield(engine.BlockRow{}, broken)
		}
	}
}

// blocks returns the block rows of p, in order of offset.
func (s *store) blocks(p engine.Partition) []engine.BlockRow {
	var out []engine.BlockRow
	for at, parts := range s.parts {
		if at.p == p && at.table == engine.TableBlocks {
			for _, x := range parts {
				out = append(out, x.block)
			}
		}
	}
	slices.SortFunc(out, func(a, b engine.BlockRow) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), strings.Compare(a.EngineID, b.EngineID))
	})
	return out
}

// months returns the places of a block's table, in order of month.
func (s *store) months(p engine.Partition, first int64, t engine.Table) []place {
	var out []place
	for at := range s.parts {
		if at.p == p && at.first == first && at.table == t {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b place) int { return cmp.Compare(a.month, b.month) })
	return out
}
