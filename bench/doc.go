// Package bench measures the whole pipe with its real ends: Apache Kafka and the ClickHouse engine, each in a process
// of its own, the engine in another. A measurement is a Config and a Run; its result is a value with a table for people
// and JSON for machines.
//
// It owns the order of a measurement, the child processes and what is read off them. It does NOT own how a reading is
// made (loadgen), rated (engine, rating) or stored (connectors/clickhouse), and no setting of theirs is better here than
// in production but where a Config says so.
//
// Invariants:
//
//   - N1 a fast wrong run is an error: every run, the warm-up included, is compared with loadgen's sums by what
//     ClickHouse holds, and the sums themselves by samples of the oracle.
//   - N2 CPU is that of processes as the kernel counts it, user and system, never time that passed: the machine may be
//     shared.
//   - N3 nothing is left behind: processes end with the measurement, also when it is killed (their standard input
//     ends), and what it made on a broker or store that was there before is dropped.
//   - N4 runs do not help each other: each has a consumer group, state and database of its own and an engine process
//     that has rated nothing before.
package bench
