package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/engine/snapshot"
	"github.com/wattline/wattline/rating"
)

// stretch is a range of offsets that is rated again with one book.
type stretch struct {
	first, last int64
	book        int64
	row         *engine.BlockRow // what it is compared with; nil: nothing
}

// stretches covers the offsets from the first block, or where the log begins by now, to the last block. Where blocks are missing the book
// before goes on, where they overlap the first one counts.
func (s *sessionChecks) stretches() (list []stretch, partial bool) {
	partial = s.start > s.blocks[0].First
	next, book := max(s.start, s.blocks[0].First), s.blocks[0].BookOffset
	if s.before { // the engines did begin earlier
		next = s.start
	}
	same := !partial && !s.broken // the state is what the engine's was, so blocks can be compared
	for i := range s.blocks {
		row := &s.blocks[i]
		if row.RatingVersion != rating.RatingVersion {
			same = false
		}
		if row.Last < next {
			continue
		}
		if row.First > next {
			list = append(list, stretch{first: next, last: row.First - 1, book: book})
			next = row.First
		}
		book = max(book, row.BookOffset)
		st := stretch{first: next, last: row.Last, book: book}
		if same {
			st.row = row
		} else {
			s.report.Skipped["blocks that can not be made again from the topic"]++
		}
		list = append(list, st)
		next = row.Last + 1
	}
	return list, partial
}

// errEnough ends the reading of the topic behind the last block.
var errEnough = errors.New("all blocks are read")

// replay reads the topic again, makes the blocks again, and has the chosen sessions priced by the oracle.
func (s *sessionChecks) replay(ctx context.Context) error {
	list, partial := s.stretches()
	if len(list) == 0 || s.short {
		s.report.Skipped["partitions whose messages are not in the topic"]++
		return nil
	}
	work := newPool(s.cfg.Workers)
	t := &tracer{chosen: s.chosen, live: map[snapshot.Key]*trace{}}
	t.ended = func(tr *trace) {
		l := s.addLife(tr)
		work.do(func() {
			l.total, l.whole, l.err = s.pricer.settled(l.plan, readings(l.events))
			l.events = nil
		})
	}
	var err error
	if t.r, err = engine.NewReplayer(s.p, s.cfg.Engine, s.ends.Decoders, s.ref, t); err != nil {
		work.wait()
		return err
	}
	err = s.rateAll(ctx, t.r, list)
	work.wait()
	if err != nil {
		return err
	}
	s.runningLives(t)
	s.judgeAll(partial)
	return nil
}

// rateAll rates the stretches and compares each with its block.
func (s *sessionChecks) rateAll(ctx context.Context, r *engine.Replayer, list []stretch) error {
	at, from, all := 0, list[0].first, list[len(list)-1].last+1-list[0].first
	r.Begin(list[0].first, list[0].book)
	turn := func() bool {
		s.compare(&list[at], r.End(list[at].last))
		if at++; at == len(list) {
			return false
		}
		r.Begin(list[at].first, list[at].book)
		return true
	}
	next, err := s.ends.Topic.ReadLog(ctx, s.p.Topic, s.p.Number, from, func(rec engine.Record) error {
		for rec.Offset > list[at].last {
			if !turn() {
				return errEnough
			}
		}
		r.Rate(rec)
		if s.report.Messages++; s.report.Messages&0x3fff == 0 {
			s.step(s.p, "topic", rec.Offset-from, all)
			return ctx.Err()
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the topic again from offset %d: %w", from, err)
	}
	for at < len(list) && list[at].last < next && turn() { // the log ends with offsets that are no messages
	}
	return nil
}

// compare holds the row of a block that was made again against the ledger's.
func (s *sessionChecks) compare(st *stretch, got engine.BlockRow) {
	if st.row == nil {
		return
	}
	s.report.Remade++
	want := *st.row
	got.EngineID = want.EngineID
	if got == want {
		return
	}
	found, made := rowsDiffer(&want, &got)
	s.found(CheckRemade, want.First, found, made+", which the topic makes (with another slice or session time-out than then, it makes other blocks)",
		s.look(want.First, want.Last))
}

// rowsDiffer says what of two rows is not the same.
func rowsDiffer(a, b *engine.BlockRow) (textA, textB string) {
	for _, f := range []func(*engine.BlockRow) string{
		func(r *engine.BlockRow) string { return fmt.Sprintf("%d readings", r.Readings) },
		func(r *engine.BlockRow) string { return fmt.Sprintf("%d rejects", r.Rejects) },
		func(r *engine.BlockRow) string { return "charges of " + sumsText(r.Charges, "positions") },
		func(r *engine.BlockRow) string { return "versions of " + sumsText(r.Sessions, "positions") },
		func(r *engine.BlockRow) string { return fmt.Sprintf("book %d", r.BookOffset) },
		func(r *engine.BlockRow) string { return fmt.Sprintf("rating version %d", r.RatingVersion) },
		func(r *engine.BlockRow) string { return fmt.Sprintf("watermark %d ms", r.WatermarkMs) },
		func(r *engine.BlockRow) string { return fmt.Sprintf("checksum %016x", r.Checksum) },
	} {
		if x, y := f(a), f(b); x != y {
			textA, textB = textA+", "+x, textB+", "+y
		}
	}
	return strings.TrimPrefix(textA, ", "), strings.TrimPrefix(textB, ", ")
}

// addLife adds a life to its session, which is made if the ledger does not have it.
func (s *sessionChecks) addLife(tr *trace) *life {
	x := s.subject[tr.id]
	if x == nil {
		x = &subject{Session: Session{ID: tr.id}}
		s.subject[tr.id] = x
	}
	l := &life{trace: *tr}
	x.lives = append(x.lives, l)
	return l
}

// runningLives adds the lives that have not ended, and those that ended without a price.
func (s *sessionChecks) runningLives(t *tracer) {
	work := newPool(s.cfg.Workers)
	t.r.Each(func(ss *snapshot.Session) {
		id := t.r.SessionUUID(ss)
		if !s.chosen(id) {
			return
		}
		if engine.SessionStatus(ss.Status) == engine.StatusProvisional {
			lives := s.subject[id].lives
			lives[len(lives)-1].position = ss.Version // flagged after its end, perhaps
			return
		}
		tr := t.of(ss)
		delete(t.live, ss.Key)
		tr.plan, tr.priced = t.r.Plan(ss)
		tr.position = ss.Version
		s.addLife(tr)
		x := s.subject[id]
		work.do(func() { s.runningLife(x) })
	})
	for _, tr := range t.live {
		s.addLife(tr)
	}
	work.wait()
}

// runningLife prices the last life of x, which runs. The lives before are priced.
func (s *sessionChecks) runningLife(x *subject) {
	l := x.lives[len(x.lives)-1]
	if !l.priced {
		return
	}
	rows := x.Rows.quantities()
	for _, before := range x.lives[:len(x.lives)-1] {
		rows = rows.plus(before.whole, -1)
	}
	rs := readings(l.events)
	if x.Rows.Expiry > 0 {
		rows.flats = 0
		if _, whole, err := s.pricer.settled(l.plan, rs); err == nil {
			rows.flats = whole.flats // re-priced as a whole, and closed
		}
	}
	switch {
	case len(rs) > 0:
		l.closed, l.cerr = s.pricer.closed(l.plan, rs, rows)
	case rows != quantities{}:
		l.cerr = fmt.Errorf("rows of %s", rows)
	}
	if at := upTo(l.events, &x.Version); len(at) > 0 {
		l.now, _, l.nerr = s.pricer.settled(l.plan, readings(at))
	} else if x.Version.LastMwh != 0 {
		l.nerr = fmt.Errorf("the newest version's last reading (%d ms, %d mWh) is not in the topic", x.Version.LastMs, x.Version.LastMwh)
	}
	l.events = nil
}

// upTo is the events up to the reading that the version calls its last.
func upTo(events []event, v *Version) []event {
	for i := len(events) - 1; i >= 0; i-- {
		e := &events[i]
		if e.position > v.Position {
			continue
		}
		if e.expired && e.reading.AtMs == v.LastMs || e.reading.HasRegister && e.reading.AtMs == v.LastMs && e.reading.RegisterMwh == v.LastMwh {
			return events[:i+1]
		}
	}
	return nil
}

// pool runs functions, at most so many at once.
type pool struct {
	sem chan struct{}
	wg  sync.WaitGroup
}

func newPool(n int) *pool { return &pool{sem: make(chan struct{}, n)} }

// do runs fn soon; it waits for a place.
func (p *pool) do(fn func()) {
	p.sem <- struct{}{}
	p.wg.Go(func() {
		defer func() { <-p.sem }()
		fn()
	})
}

func (p *pool) wait() { p.wg.Wait() }
