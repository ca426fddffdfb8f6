package analytics_test

import (
	"testing"
)

// BenchmarkSessions: how long do questions to a million sessions of three months take, one in twenty live, each with
// three versions?
func BenchmarkSessions(b *testing.B) {
	s := newStore(b)
	for version := range 3 {
		err := s.conn.Exec(b.Context(), `INSERT INTO `+s.db+`.sessions
			(session_id, version, topic, partition, block_first, charge_point, connector, transaction, location, zone, tariff, currency, status, start_time, last_time,
			 energy_mwh, incl_micros, excl_micros)
			SELECT reinterpretAsUUID(sipHash128(number)), $1 * 1000000 + number, 'readings', number % 16, $1, concat('CP', toString(number % 20000)), 1, toString(number),
				concat('NL*WTL*SITE', toString(number % 1000)), 'Europe/Amsterdam', 'T', 'EUR', if($1 = 2 AND number % 20 != 0, 3, 2),
				toDateTime64('2026-07-01 00:00:00', 3, 'UTC') + number * 7, toDateTime64('2026-07-01 00:00:00', 3, 'UTC') + number * 7 + 3600, $1 * 1000000, $1 * 400000, $1 * 300000
			FROM numbers(1000000) SETTINGS max_partitions_per_insert_block = 100`, version)
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, q := range [][2]string{
		{"dearest", "SELECT session_id, incl FROM live_sessions ORDER BY incl DESC LIMIT 10"},
		{"live count", "SELECT count(), sum(energy_kwh), sum(incl) FROM live_sessions"},
		{"live count of a month", "SELECT count(), sum(incl) FROM live_sessions WHERE start_time >= '2026-09-01 00:00:00'"},
		{"one", "SELECT incl, status FROM sessions_latest WHERE session_id = reinterpretAsUUID(sipHash128(toUInt64(777)))"},
	} {
		b.Run(q[0], func(b *testing.B) {
			for b.Loop() {
				if err := s.conn.Exec(b.Context(), q[1]+" FORMAT Null"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
