package clickhouse

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/secret"
)

// Whatever a database is called, no alias in a query stands for it, and a keyword is a name.
func TestDatabaseNames(t *testing.T) {
	for _, name := range []string{"n", "t", "s", "k", "v", "id", "side", "count", "excl", "incl", "select", "from", "charges"} {
		cfg := testConfig(t)
		cfg.Database = name
		s := open(t, cfg)
		if err := s.Migrate(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		charges := makeCharges(30, 1, 1)
		mustInsert(t, s, insertOf(1, charges))
		for b, err := range s.BlockSums(t.Context(), testPartition) {
			if err != nil || b.Charges != charges.Sums() {
				t.Errorf("%s: sums %+v, %v", name, b, err)
			}
		}
		if sums, err := s.ReadBack(t.Context(), testPartition, 1, engine.TableCharges, insertOf(1, charges).Month); err != nil || sums != charges.Sums() {
			t.Errorf("%s: read back %+v, %v", name, sums, err)
		}
		if equal, detail, err := s.ProjectionsEqual(t.Context()); !equal || err != nil {
			t.Errorf("%s: projections: %s, %v", name, detail, err)
		}
		// The test's rows have no versions: they differ, or a block is unfinished, but the query is one.
		if _, _, err := s.AccruedEqual(t.Context()); err != nil && !errors.Is(err, ErrChanging) {
			t.Errorf("%s: accrued: %v", name, err)
		}
		if err := s.exec(t.Context(), "DROP DATABASE "+cfg.database()); err != nil {
			t.Error(err)
		}
	}
}

// A port that speaks the other protocol is told as that.
func TestOtherProtocol(t *testing.T) {
	const hint = "is clickhouse.protocol right?"
	f := func(cfg Config, want bool) {
		t.Helper()
		cfg.DialTimeout = time.Second
		_, err := Open(t.Context(), cfg)
		if errors.Is(err, ErrProtocol) != want {
			t.Errorf("given up for good: wanted %v, got %v", want, err)
		}
		if err == nil || strings.Contains(err.Error(), hint) != want || strings.Contains(err.Error(), "hello") {
			t.Errorf("hint wanted: %v, got %v", want, err)
		}
	}
	cfg := testConfig(t)
	cfg.Protocol = Native
	f(cfg, true)
	cfg = testConfig(t)
	cfg.Password = secret.New("wrong")
	f(cfg, false)

	// What port 9000 of a server answers to HTTP.
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\nPort 9000 is for clickhouse-client program\r\nYou must use port 8123 for HTTP.\r\n"))
			_ = c.Close()
		}
	}()
	f(Config{Addrs: []string{l.Addr().String()}}, true)
	_ = l.Close()
	f(Config{Addrs: []string{l.Addr().String()}}, false)
}
