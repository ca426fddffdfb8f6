package clickhouse

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/wattline/wattline/engine"
)

// cpu is what this process has used, user and system.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkInsert: what does a row cost the engine's process, and how many a second does the store take, by block
// size? The store is a process of its own.
func BenchmarkInsert(b *testing.B) {
	for _, compression := range []string{"lz4", "none"} {
		for _, rows := range []int{1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("charges/%s/%d", compression, rows), func(b *testing.B) {
				cfg, _ := startChild(b, b.TempDir())
				cfg.Compression = compression
				s := open(b, cfg)
				if err := s.Migrate(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
				charges := makeCharges(rows, 0, 1)
				mustInsert(b, s, insertOf(-1, charges))
				b.ReportAllocs()
				before := cpu(b)
				for i := 0; b.Loop(); i++ {
					in := insertOf(int64(i), charges)
					in.Partition = engine.Partition{Topic: "t", Number: int32(i % 16)}
					mustInsert(b, s, in)
				}
				n := float64(b.N * rows)
				b.ReportMetric(float64(cpu(b)-before)/n, "client-cpu-ns/row")
				b.ReportMetric(n/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// tenMillion fills charges with 10 M rows of sites sites over 30 days, in ClickHouse itself.
func tenMillion(b *testing.B, s *Store, sites int) {
	sql := fmt.Sprintf(`INSERT INTO %s (topic, partition, block_first, position, session_id, charge_point, connector, location, tariff, currency,
			dimension, period, period_start, from_time, to_time, energy_mwh, duration_ms, excl_micros, incl_micros, price_nano, vat_bp)
		SELECT 'readings', session %% 16, intDiv(number, 100000) * 4000000, number * 65536,
			reinterpretAsUUID(sipHash128(session)),
			concat('CP', toString(session %% 20000)), 1, concat('NL*WTL*SITE', toString(cityHash64(session) %% %d)), concat('NL*WTL*T', toString(session %% 20)), 'EUR',
			1 + number %% 3, number %% 8, from_t, from_t, from_t + 900, if(number %% 3 = 0, cityHash64(number) %% 5000000, 0), if(number %% 3 = 0, 0, 900000),
			cityHash64(number) %% 3000000 AS ex, intDiv(ex * 121, 100), 250000000, 2100
		FROM (SELECT number, intDiv(number, 3472) AS slot, intDiv(number %% 3472, 3) AS i, intDiv(slot + i %% 8, 8) * 2000 + i AS session,
			toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + slot * 900 + (i %% 900) AS from_t FROM numbers(10000000) WHERE slot < 2880)`, s.table("charges"), sites)
	if err := s.conn.Exec(b.Context(), sql); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSiteHour: how long do the sums by site and hour over 10 M rows take? Parts are as the inserts left them,
// then as merges leave them.
func BenchmarkSiteHour(b *testing.B) {
	for _, sites := range []int{100, 1000} {
		s := newStore(b)
		tenMillion(b, s, sites)
		for _, merged := range []bool{false, true} {
			if merged {
				if err := s.conn.Exec(b.Context(), "OPTIMIZE TABLE "+s.table("charges")+" FINAL"); err != nil {
					b.Fatal(err)
				}
			}
			for _, q := range [][2]string{
				{"all", "SELECT location, toStartOfHour(from_time) AS hour, sum(incl_micros), sum(energy_mwh) FROM %s GROUP BY location, hour FORMAT Null"},
				{"base", "SELECT location, toStartOfHour(from_time) AS hour, sum(incl_micros), sum(energy_mwh) FROM %s GROUP BY location, hour FORMAT Null SETTINGS optimize_use_projections = 0"},
				{"kinds", "SELECT location, toStartOfHour(from_time) AS hour, dimension, kind, sum(incl_micros), sum(energy_mwh) FROM %s GROUP BY location, hour, dimension, kind FORMAT Null"},
				{"day", "SELECT location, toStartOfHour(from_time) AS hour, sum(incl_micros), sum(energy_mwh) FROM %s WHERE toStartOfHour(from_time) >= '2026-11-10 00:00:00' AND toStartOfHour(from_time) < '2026-11-11 00:00:00' GROUP BY location, hour FORMAT Null"},
				{"site", "SELECT sum(incl_micros) FROM %s WHERE location = 'NL*WTL*SITE77' AND from_time >= '2026-11-10' AND from_time < '2026-11-11' FORMAT Null"},
				{"session", "SELECT sum(incl_micros) FROM %s WHERE session_id = reinterpretAsUUID(sipHash128(toUInt64(200123))) FORMAT Null"},
			} {
				b.Run(fmt.Sprintf("%s/sites=%d/merged=%v", q[0], sites, merged), func(b *testing.B) {
					for b.Loop() {
						if err := s.conn.Exec(b.Context(), fmt.Sprintf(q[1], s.table("charges"))); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
