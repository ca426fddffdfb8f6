package clickhouse

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	for round := range 3 {
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

// C1: an insert that ClickHouse did and whose answer was lost is an error, and was sent once. Its rows are there.
func TestLostAnswer(t *testing.T) {
	cfg := testConfig(t)
	direct := open(t, cfg)
	if err := direct.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	backend := &url.URL{Scheme: "http", Host: cfg.Addrs[0]}
	var inserts atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pass := httputil.NewSingleHostReverseProxy(backend)
		if !strings.HasPrefix(r.URL.Query().Get("query"), "INSERT INTO") {
			pass.ServeHTTP(w, r)
			return
		}
		inserts.Add(1)
		pass.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}))
	defer proxy.Close()
	cfg.Addrs = []string{strings.TrimPrefix(proxy.URL, "http://")}
	s := open(t, cfg)
	for i := range int64(3) { // the later ones on connections that were used before
		in := insertOf(i, makeCharges(3000, 1, 1))
		err := s.Insert(t.Context(), in)
		if err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("a lost answer is transient, got %v", err)
		}
		if diff := cmp.Diff(in.Charges.Sums(), readBack(t, s, in)); diff != "" {
			t.Errorf("read-back (-want +got):\n%s", diff)
		}
		if n := inserts.Load(); n != i+1 {
			t.Errorf("%d inserts were sent for %d attempts", n, i+1)
		}
	}
}
