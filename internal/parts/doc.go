// Package parts gets, starts and stops the real parts that Wattline runs with and is tested against:
// libchdb (the ClickHouse engine as a library) and Apache Kafka from its Maven artifacts.
//
// It owns the parts cache (by default os.UserCacheDir()/wattline/parts) and the broker processes that it
// starts. It does not own what runs on them: no topic, table or client of ours is known here. Starting the
// store is not here either, since the store is Wattline itself in a process of its own.
//
// Invariants:
//
//   - P1 pinned: nothing is used whose checksum is not in package deploy.
//   - P2 atomic: a folder in the cache that has its final name is complete. It is filled under another name
//     and renamed; a lock lets only one process fill it.
//   - P3 ordinary clients: downloads are made by npm and mvn, so that a configured registry, mirror or proxy
//     holds for us as well.
//   - P4 no orphans: on Linux a broker dies with the process that started it, however that ends.
package parts
