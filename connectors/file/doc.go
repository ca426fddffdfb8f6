// Package file rates Parquet files of readings without Kafka and ClickHouse: readings in, rated rows out, by the
// engine's own shard. The columns are in docs/formats/parquet.md.
//
// It owns the bytes of both kinds of files. Reading, it walks every length, offset and count of a file itself
// (compact.go, footer.go, page.go, values.go), because files come from anywhere and the Parquet library believes them:
// a number of children or a page size in a file makes it ask for gigabytes, which ends the process, recover or not.
// Writing, it is the library that writes (columns.go, out.go). It does not own what a reading means, what it costs, where
// tariffs come from, or any clock.
//
// Invariants:
//
//   - F1: memory does not depend on the size of a file: one page of each column, one block of rows, one row group of
//     what is written. What a file says of a size is believed only within what the file has, and within maxPage.
//   - F2: a row is a message: its offset is its number in all files, so position and version name it (I3).
//   - F3: same rows, same reference: same files, wherever row groups, pages and files end (but for block_first).
//   - F4: nothing is converted, rounded or scaled; no float is read or written.
//   - F5: a file with the final name is whole; until then it is called *.part.
package file
