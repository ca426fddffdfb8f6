package verify

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/wattline/wattline/engine/snapshot"
)

// sessionChecks are the questions about the sessions of one partition.
type sessionChecks struct {
	*blockChecks
	start   int64 // of the log
	pricer  *pricer
	subject map[[16]byte]*subject // the sample
	limit   uint64                // the sample is the sessions whose rank is at or below it
}

// subject is a session that is priced again.
type subject struct {
	Session
	lives []*life
}

// life is a trace, priced.
type life struct {
	trace
	total  amount // settled: if it ended at its last reading
	whole  quantities
	closed amount // of a running session: what its rows must cost
	now    amount // of a running session: settled at the newest version
	err    error  // of total and whole
	cerr   error  // of closed
	nerr   error  // of now
}

// rank orders sessions for the sample: a mix of id and seed, so that the same seed chooses the same ones whether
// it is the ledger or the topic that has them.
func rank(id [16]byte, seed uint64) uint64 {
	x := binary.LittleEndian.Uint64(id[:8]) ^ seed
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27 ^ binary.LittleEndian.Uint64(id[8:])) * 0x94d049bb133111eb
	return x ^ x>>31
}

// greatest is a heap whose root is the session of the greatest rank: the next one to leave a sample.
type greatest []ranked

type ranked struct {
	rank uint64
	s    Session
}

func (g greatest) Len() int           { return len(g) }
func (g greatest) Less(i, j int) bool { return g[i].rank > g[j].rank }
func (g greatest) Swap(i, j int)      { g[i], g[j] = g[j], g[i] }

// Push is heap.Interface's.
func (g *greatest) Push(x any) { *g = append(*g, x.(ranked)) }

// Pop is heap.Interface's.
func (g *greatest) Pop() any {
	last := (*g)[len(*g)-1]
	*g = (*g)[:len(*g)-1]
	return last
}

// read goes through all sessions of the ledger, and chooses the sample.
func (s *sessionChecks) read(ctx context.Context) error {
	var kept greatest
	for x, err := range s.ends.Rows.Sessions(ctx, s.p, s.last().First) {
		if err != nil {
			return err
		}
		s.report.Sessions++
		s.accrued(&x)
		if s.cfg.All {
			kept = append(kept, ranked{s: x})
			continue
		}
		if heap.Push(&kept, ranked{rank(x.ID, s.cfg.Seed), x}); len(kept) > s.cfg.Sample {
			heap.Pop(&kept)
		}
	}
	s.limit = ^uint64(0)
	if !s.cfg.All && len(kept) == s.cfg.Sample {
		s.limit = kept[0].rank
	}
	s.subject = make(map[[16]byte]*subject, len(kept))
	for i := range kept {
		s.subject[kept[i].s.ID] = &subject{Session: kept[i].s}
	}
	return nil
}

func (s *sessionChecks) chosen(id [16]byte) bool { return rank(id, s.cfg.Seed) <= s.limit }

// movedOn says that the newest version is of a block that came after the run began.
func (s *sessionChecks) movedOn(x *Session) bool {
	return x.Version.There && x.Version.BlockFirst > s.last().First
}

// accrued compares what the newest version says of the rows with the rows.
func (s *sessionChecks) accrued(x *Session) {
	if s.movedOn(x) {
		return
	}
	if !x.Version.There {
		s.of(CheckSession, x.ID, x.Version.BlockFirst, fmt.Sprintf("%d rows in charges, no version in sessions", x.Rows.Rows), "a version with every row")
		return
	}
	if x.Version.AccruedExcl != x.Rows.ExclMicros || x.Version.AccruedIncl != x.Rows.InclMicros {
		s.of(CheckAccrued, x.ID, x.Version.BlockFirst, fmt.Sprintf("rows of excl %d, incl %d micros", x.Rows.ExclMicros, x.Rows.InclMicros),
			fmt.Sprintf("excl %d, incl %d as its newest version says", x.Version.AccruedExcl, x.Version.AccruedIncl))
	}
}

// of notes a finding about a session.
func (s *sessionChecks) of(c Check, id [16]byte, block int64, found, want string) {
	text := idText(id)
	table, order := "charges", "position, line"
	if c == CheckPrice || c == CheckSession {
		table, order = "sessions", "version"
	}
	s.run.found(c, s.p, block, text, found, want,
		fmt.Sprintf("SELECT * FROM %s.%s WHERE session_id = '%s' ORDER BY %s", s.cfg.Database, table, text, order))
}

func idText(id [16]byte) string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// judgeAll compares every subject with its lives, in order of id.
func (s *sessionChecks) judgeAll(partial bool) {
	for _, id := range slices.SortedFunc(maps.Keys(s.subject), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }) {
		x := s.subject[id]
		if reason := s.unfit(x, partial); reason != "" {
			s.report.Skipped[reason]++
			continue
		}
		s.judge(x)
	}
}

// unfit says why a session can not be judged; "" if it can.
func (s *sessionChecks) unfit(x *subject, partial bool) string {
	v := &x.Version
	switch {
	case s.movedOn(&x.Session):
		return "sessions that went on while the run did"
	case !v.There && partial:
		return "sessions of which the topic has only the end"
	case v.There && v.FirstOffset < s.start:
		return "sessions whose first messages are gone from the topic"
	case v.There && s.foreign(v.FirstOffset, v.Position>>16):
		return "sessions of another rating version"
	}
	return ""
}

// judge compares a session with what the topic makes of it.
func (s *sessionChecks) judge(x *subject) {
	v := &x.Version
	switch {
	case !v.There && x.Rows.Rows > 0:
		return // told already
	case !v.There:
		s.of(CheckSession, x.ID, -1, "no such session in the ledger", fmt.Sprintf("one, begun at offset %d", x.lives[0].firstOffset))
		return
	case len(x.lives) == 0:
		s.of(CheckSession, x.ID, v.BlockFirst, "a session that no message of the topic makes", "messages from offset "+fmt.Sprint(v.FirstOffset))
		return
	}
	l := x.lives[len(x.lives)-1]
	if v.Position < l.position || v.Position > l.position && !l.provisional {
		s.of(CheckSession, x.ID, v.BlockFirst, fmt.Sprintf("newest version %d", v.Position), fmt.Sprintf("%d, which the topic makes", l.position))
		return
	}
	if !l.priced {
		s.report.Held++
		if x.Rows != (RowSums{}) || v.InclMicros != 0 || v.TariffFrom >= 0 {
			s.of(CheckAmount, x.ID, v.BlockFirst, fmt.Sprintf("%d rows of incl %d micros, tariff %q", x.Rows.Rows, x.Rows.InclMicros, v.Tariff), "none: nothing prices it")
		}
		return
	}
	if want := planText(l.plan); want != fmt.Sprintf("%s@%d in %s", v.Tariff, v.TariffFrom, v.Zone) {
		s.of(CheckSession, x.ID, v.BlockFirst, fmt.Sprintf("tariff %s@%d in %s", v.Tariff, v.TariffFrom, v.Zone), want)
	}
	s.amounts(x, l)
}

func planText(p snapshot.Plan) string {
	return fmt.Sprintf("%s*%s*%s@%d in %s", p.CountryCode, p.PartyID, p.ID, p.Offset, p.Zone)
}

// amounts compares quantities and money.
func (s *sessionChecks) amounts(x *subject, last *life) {
	var before amount
	var whole quantities
	for _, l := range x.lives {
		if l.err != nil {
			s.of(CheckReference, x.ID, x.Version.BlockFirst, l.err.Error(), "readings and a tariff that the oracle can price")
			return
		}
		if l.priced && l != last {
			before, whole = before.plus(l.total), whole.plus(l.whole, 1)
		}
	}
	rows := amount{x.Rows.ExclMicros, x.Rows.InclMicros, x.Rows.ExclUnknown}
	has := x.Rows.quantities()
	now := amount{x.Version.ExclMicros, x.Version.InclMicros, x.Version.ExclUnknown}
	expired := x.Rows.Expiry > 0
	if !last.ended {
		s.report.Running++
		s.running(x, last, before, rows, now, expired)
		return
	}
	s.report.Ended++
	whole = whole.plus(last.whole, 1)
	if expired { // the FLAT of a reservation that expired is taken back and billed anew, as rows of another kind
		has.flats = whole.flats
	}
	if has != whole {
		s.of(CheckQuantity, x.ID, x.Version.BlockFirst, has.String(), whole.String()+" by the readings")
	}
	if want := before.plus(last.total).hiddenBy(rows, expired); !rows.same(want) {
		s.of(CheckAmount, x.ID, x.Version.BlockFirst, "rows of "+rows.String(), want.String()+" by the oracle")
	}
	if want := last.total.hiddenBy(now, expired); !now.same(want) {
		s.of(CheckPrice, x.ID, x.Version.BlockFirst, "a final price of "+now.String(), want.String()+" by the oracle")
	}
}

// hiddenBy is a for a session whose reservation expired: a price without tax that was unknown when the reservation
// ran stays unknown, though its rows were taken back.
func (a amount) hiddenBy(rows amount, expired bool) amount {
	a.exclUnknown = a.exclUnknown || expired && rows.exclUnknown
	return a
}

// running compares a session that has not ended.
func (s *sessionChecks) running(x *subject, l *life, before, rows, now amount, expired bool) {
	block := x.Version.BlockFirst
	if x.Rows.Settled > 0 && len(x.lives) == 1 {
		s.of(CheckAmount, x.ID, block, fmt.Sprintf("%d settlement rows", x.Rows.Settled), "none before the end")
	}
	switch want := before.plus(l.closed).hiddenBy(rows, expired); {
	case l.cerr != nil:
		s.of(CheckQuantity, x.ID, block, l.cerr.Error(), "rows of a first part of the readings")
	case !rows.same(want):
		s.of(CheckAmount, x.ID, block, "rows so far of "+rows.String(), want.String()+" by the oracle")
	}
	switch want := l.now.hiddenBy(now, expired); {
	case l.nerr != nil:
		s.of(CheckPrice, x.ID, block, l.nerr.Error(), "a price of a prefix of the readings")
	case !now.same(want):
		s.of(CheckPrice, x.ID, block, "a running price of "+now.String(), want.String()+" by the oracle")
	}
}

func (r *RowSums) quantities() quantities {
	return quantities{flats: r.Flats, energyMwh: r.EnergyMwh, timeMs: r.TimeMs, parkingMs: r.ParkingMs}
}
