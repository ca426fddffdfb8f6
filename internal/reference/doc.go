// Package reference turns records of the reference log into what the engine knows of them.
//
// It owns the way from the log's bytes (rating/ocpi) to engine.ReferenceRecord, for everything that runs an engine: the
// program, the benchmarks. It does not own the bytes, nor what a book makes of a record.
package reference
