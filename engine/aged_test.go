package engine

import "testing"

// TestAgedBlockWaits: while the store takes nothing, a block that has reached its age stays open and rating goes on.
// With a block closed at each age, the third would have stopped it.
func TestAgedBlockWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(32)
	var refs []ReferenceRecord
	publishBasics(w, &refs, "CP1")
	store := &downSink{world: w}
	s, cfg := newHanded(w), testConfig()
	cfg.BlockRows = 100_000
	e := w.engine(t, cfg, &refs)
	e.source, e.sink = s, store
	e.watch(Ends{Producer: w, Ledger: store, StoreProbe: store})
	stop := runHosted(t, e)
	s.assignments <- Assignment{Generation: 1, Partitions: []Partition{readings}}
	inTime(t, "the partition rates", func() bool { return e.Ready() == nil })
	store.set(full())
	rated := func() (n int64) {
		for _, st := range e.Stats() {
			n += st.Records
		}
		return n
	}
	for i := range 10 {
		sendSessions(w, readings, i, 1)
		inTime(t, "a session is rated", func() bool { return rated() == w.end(readings) })
		opened := e.clock.Now()
		inTime(t, "the age of a block passes", func() bool { return e.clock.Now().Sub(opened) > 2*cfg.BlockAge })
	}
	if at := w.committedUpTo(readings); at != 0 {
		t.Errorf("durable up to %d, though the store takes nothing", at)
	}
	store.set(nil)
	inTime(t, "all is durable", func() bool { return w.committedUpTo(readings) == w.end(readings) })
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.checkTiles(t, 32)
	if len(w.sessions) != 10 {
		t.Errorf("%d sessions, want 10", len(w.sessions))
	}
	if len(w.blocks) > 5 {
		t.Errorf("%d blocks: those that waited did not grow", len(w.blocks))
	}
}
