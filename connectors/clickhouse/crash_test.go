package clickhouse

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
)

// A store that is killed in the middle of inserts has each of them whole or not at all, and a retry by read-back and a
// token of its own puts it there once. The same token is not enough: ClickHouse notes it before the part is in place,
// so a kill in between leaves a token whose retry says OK and writes nothing.
func TestKilledStore(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	charges := makeCharges(20_000, 0, 1)
	want := charges.Sums()
	vain := 0
	for round := range 4 {
		cfg, kill := startChild(t, dir)
		s := open(t, cfg)
		if err := s.Migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		first := func(i int) int64 { return int64(round*1000 + i) }
		const inserts = 6
		var wg sync.WaitGroup
		acked := make([]bool, inserts)
		for i := range inserts {
			wg.Go(func() { acked[i] = s.Insert(context.Background(), insertOf(first(i), charges)) == nil })
		}
		time.Sleep(time.Duration(r.IntN(250)) * time.Millisecond)
		kill()
		wg.Wait()

		cfg, kill = startChild(t, dir)
		s = open(t, cfg)
		for i := range inserts {
			in := insertOf(first(i), charges)
			got := readBack(t, s, in)
			if got != want && (got != engine.Sums{} || acked[i]) {
				t.Errorf("round %d insert %d (acknowledged %v): %+v is neither all nor nothing", round, i, acked[i], got)
			}
			if got == want {
				continue
			}
			mustInsert(t, s, in)
			if got = readBack(t, s, in); got == (engine.Sums{}) {
				vain++
				in.Token += "#1"
				mustInsert(t, s, in)
				got = readBack(t, s, in)
			}
			if got != want {
				t.Errorf("round %d insert %d after the retry: %+v, want %+v", round, i, got, want)
			}
		}
		if equal, detail, err := s.ProjectionsEqual(t.Context()); !equal || err != nil {
			t.Errorf("round %d: projections: %s %v", round, detail, err)
		}
		kill()
	}
	t.Logf("%d tokens were noted without rows", vain)
}
