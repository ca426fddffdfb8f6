// Package embedded runs a Kafka broker inside this program, with its data on disk: for the first try, for one machine
// and for tests. It speaks Kafka's own protocol on a port, so everything that talks to Apache Kafka talks to it.
//
// It owns: the data folder, its lock, the port. It does NOT own topics (connectors/kafka makes them) nor who may
// connect: it listens on 127.0.0.1 only, without login.
//
// It is franz-go's kfake, which calls itself a fake: one event loop, no replication, no promise of a stable API. It is
// behind this package alone, which nothing of connectors/kafka imports.
//
// Invariants: E1 one process a folder (a lock that dies with it); E2 what was acknowledged is there after kill -9 (in
// the operating system's cache: after a power cut only with SyncWrites); E3 no topic comes to be by being asked for.
package embedded
