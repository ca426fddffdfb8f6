// Package e2e tests the whole program as a user runs it: the built wattline binary, Apache Kafka, and the ClickHouse
// engine in a process of its own, with engines that are killed.
//
// It owns no product code, only tests and what they need to run processes, produce readings and ask questions. It does
// NOT own: what a package can be tested for alone, speed (bench), and the parts themselves (internal/parts).
//
// Rules that every test here keeps:
//
//   - E1 by progress: nothing happens after a time; it happens when a log, a table or an answer says so. Every wait has
//     a bound and says on failure what it waited for.
//   - E2 truth from elsewhere: what is expected comes from loadgen's oracle or is written down in testdata, never from
//     an earlier answer of the program.
//   - E3 own names: tests share one broker and one store (each takes seconds to start), and nothing in them: topics,
//     group and database carry the test's name.
//   - E4 no orphans: every child is ended by its own process id at the end of its test, and dies with the test's
//     process whatever happens to that.
//   - E5 a failure shows the end of the log of every process that took part.
package e2e
