package clickhouse

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wattline/wattline/connectors/clickhouse/embedded"
	"github.com/wattline/wattline/engine"
	"github.com/wattline/wattline/internal/parts"
	"github.com/wattline/wattline/internal/secret"
	"github.com/wattline/wattline/rating"
)

// The engine takes one data directory a process, so the tests share a server; each has a database of its own.
var shared struct {
	sync.Once
	srv *embedded.Server
	dir string
	err error
	n   atomic.Int64
}

// childEnv names the data directory of a store that runs in a process of its own: this binary, started again.
const childEnv = "WATTLINE_CLICKHOUSE_CHILD_DIR"

// tlsEnv names the certificate and key, with a comma between them, with which the child speaks TLS.
const tlsEnv = "WATTLINE_CLICKHOUSE_CHILD_TLS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(childMain(dir))
	}
	code := m.Run()
	if shared.srv != nil {
		if err := shared.srv.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// childMain serves dir until standard input ends, and prints address and password.
func childMain(dir string) int {
	cert, key, _ := strings.Cut(os.Getenv(tlsEnv), ",")
	srv, err := embedded.Start(context.Background(), embedded.Config{
		LibraryPath: os.Getenv("WATTLINE_LIBCHDB"), DataDir: dir, Addr: "127.0.0.1:0", TLS: cert != "", CertFile: cert, KeyFile: key,
	})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println(srv.Addr(), srv.Password())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := srv.Close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startChild starts a store in dir in a process of its own. kill ends it at once, as kill -9 does; else it ends with
// the test.
func startChild(t testing.TB, dir string, env ...string) (cfg Config, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+dir, "WATTLINE_LIBCHDB="+library(t)), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	t.Cleanup(func() {
		if _ = in.Close(); !killed {
			_ = cmd.Wait()
		}
	})
	var addr, password string
	if _, err := fmt.Fscanln(out, &addr, &password); err != nil || addr == "error" {
		t.Fatalf("store in a process of its own: %s %s: %v", addr, password, err)
	}
	return Config{Addrs: []string{addr}, Password: secret.New(password)}, func() {
		killed = true
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// library finds libchdb, downloading it if need be: without the real engine these tests mean nothing.
func library(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("WATTLINE_LIBCHDB"); p != "" {
		return p
	}
	p, err := parts.Libchdb(t.Context(), parts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func server(t testing.TB) *embedded.Server {
	t.Helper()
	shared.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "wattline-clickhouse-"); shared.err != nil {
			return
		}
		shared.srv, shared.err = embedded.Start(context.Background(), embedded.Config{
			LibraryPath: library(t), DataDir: shared.dir, Addr: "127.0.0.1:0",
		})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.srv
}

func testConfig(t testing.TB) Config {
	srv := server(t)
	return Config{
		Addrs: []string{srv.Addr()}, Password: secret.New(srv.Password()),
		Database: "t" + strconv.FormatInt(shared.n.Add(1), 10) + "_" + strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(t.Name())),
	}
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newStore opens a fresh, migrated database.
func newStore(t testing.TB) *Store {
	t.Helper()
	s := open(t, testConfig(t))
	if err := s.Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	testPartition = engine.Partition{Topic: "wattline.readings", Number: 3}
	november      = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
)

func sessionID(i int) (id [16]byte) {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	for j := range id {
		id[j] = byte(r.Uint32())
	}
	return id
}

// makeCharges makes n rows of November 2026 as a block would: three rows a session and slice.
func makeCharges(n, firstPosition int, seed uint64) *engine.ChargeRows {
	r := rand.New(rand.NewPCG(seed, 1))
	rows := &engine.ChargeRows{Month: 202611}
	for i := range n {
		session := (i / 3) % 5000
		from := november + int64(i/15000)*900_000 + int64(session)*100
		dim := rating.Dimension(1 + i%3)
		c := rating.Charge{
			PeriodStartMs: from - 5000, FromMs: from, ToMs: from + 900_000, PriceNano: 350_000_000, Period: uint32(i / 15000),
			VAT: 2100, Element: int16(i % 3), Dimension: dim, HasDimension: true, Split: rating.SplitClock,
			ExclMicros: r.Int64N(5_000_000) - 100_000, Interpolated: i%3 == 0,
		}
		c.InclMicros = c.ExclMicros * 121 / 100
		if dim == rating.Energy {
			c.EnergyMwh = r.Int64N(5_000_000)
		} else {
			c.DurationMs = 900_000
		}
		switch i % 1000 {
		case 17:
			c.ExclUnknown = true
		case 18:
			c.HasDimension, c.Kind, c.Element, c.Component, c.VAT = false, rating.ChargeRounding, rating.NoElement, -1, rating.NoVAT
		}
		rows.Position = append(rows.Position, int64(firstPosition+i/3)<<16)
		rows.Line = append(rows.Line, uint16(i%3))
		rows.SessionID = append(rows.SessionID, sessionID(session))
		rows.ChargePoint = append(rows.ChargePoint, "NL-WTL-"+strconv.Itoa(session/2))
		rows.Connector = append(rows.Connector, int32(1+session%2))
		rows.Location = append(rows.Location, "NL*WTL*SITE"+strconv.Itoa(session%100))
		rows.Tariff = append(rows.Tariff, "NL*WTL*T"+strconv.Itoa(session%7))
		rows.Currency = append(rows.Currency, "EUR")
		rows.Tier = append(rows.Tier, tiers[session%len(tiers)])
		rows.Charge = append(rows.Charge, c)
	}
	return rows
}

// tiers of drivers in rows of the tests; the first has no token.
var tiers = [...]string{"", "member", "fleet"}

// makeSessions makes a version of each of n sessions.
func makeSessions(n, offset int) *engine.SessionRows {
	rows := &engine.SessionRows{Month: 202611}
	for i := range n {
		rows.Version = append(rows.Version, int64(offset+i)<<16)
		rows.SessionID = append(rows.SessionID, sessionID(i))
		rows.ChargePoint = append(rows.ChargePoint, "NL-WTL-"+strconv.Itoa(i/2))
		rows.Connector = append(rows.Connector, int32(1+i%2))
		rows.Transaction = append(rows.Transaction, "tx-"+strconv.Itoa(i))
		rows.Location = append(rows.Location, "NL*WTL*SITE"+strconv.Itoa(i%100))
		rows.Tariff = append(rows.Tariff, "NL*WTL*T"+strconv.Itoa(i%7))
		rows.TariffFrom = append(rows.TariffFrom, 40+int64(i%7))
		rows.Currency = append(rows.Currency, "EUR")
		rows.Zone = append(rows.Zone, "Europe/Amsterdam")
		rows.Tier, rows.TokenKey = append(rows.Tier, tiers[i%len(tiers)]), append(rows.TokenKey, uint32(i%len(tiers)))
		rows.Pseudonym, rows.Contract = append(rows.Pseudonym, sessionID(i)), append(rows.Contract, "NL-WTL-C"+strconv.Itoa(i))
		rows.Status = append(rows.Status, engine.StatusActive)
		rows.StartMs = append(rows.StartMs, november+int64(i)*1000)
		rows.LastMs = append(rows.LastMs, november+int64(i)*1000+int64(offset))
		rows.StartMwh = append(rows.StartMwh, int64(i)*1000)
		rows.LastMwh = append(rows.LastMwh, int64(i+offset)*1000)
		rows.Total = append(rows.Total, rating.Total{
			ExclMicros: int64(offset), InclMicros: int64(offset) * 2, ExclUnknown: i%10 == 3, EnergyMwh: int64(offset) * 1000,
			ChargingMs: int64(offset), ParkingMs: 7, ReservationMs: 11,
		})
		rows.AccruedExcl = append(rows.AccruedExcl, int64(offset))
		rows.AccruedIncl = append(rows.AccruedIncl, int64(offset)*2)
		rows.Flags = append(rows.Flags, engine.FlagDuplicate|engine.FlagGlitch)
		rows.Readings = append(rows.Readings, 12)
		rows.HeldReason = append(rows.HeldReason, "")
		rows.FirstOffset = append(rows.FirstOffset, int64(i))
	}
	return rows
}

// insertOf names an insert of rows as the engine does.
func insertOf(first int64, rows any) *engine.Insert {
	in := &engine.Insert{Partition: testPartition, First: first}
	switch r := rows.(type) {
	case *engine.ChargeRows:
		in.Table, in.Charges, in.Month = engine.TableCharges, r, r.Month
	case *engine.SessionRows:
		in.Table, in.Sessions, in.Month = engine.TableSessions, r, r.Month
	case *engine.BlockRow:
		in.Table, in.Block = engine.TableBlocks, r
	}
	in.Token = fmt.Sprintf("wl1/%s/%d/%d/%s/%d", in.Partition.Topic, in.Partition.Number, first, in.Table, in.Month)
	in.QueryID = fmt.Sprintf("wl-%x-%d", first, rand.Uint64())
	return in
}

func mustInsert(t testing.TB, s *Store, in *engine.Insert) {
	t.Helper()
	if err := s.Insert(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func readBack(t testing.TB, s *Store, in *engine.Insert) engine.Sums {
	t.Helper()
	sums, err := s.ReadBack(t.Context(), in.Partition, in.First, in.Table, in.Month)
	if err != nil {
		t.Fatal(err)
	}
	return sums
}
