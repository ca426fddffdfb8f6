// Package contracts reads files of drivers' contracts and keeps the reference log in step with them.
//
// It owns the form of such files (docs/CONTRACTS.md) and what has to be published so that the log says what they say. It
// does not own the log's bytes (rating/ocpi), pseudonyms (internal/pseudonym), nor the sending (cmd/wattline).
//
// Invariants:
//
//	K1  a token is read, turned into its pseudonym, and forgotten: no error, no difference and nothing that is kept has it
//	K2  memory is bounded by the number of contracts, some 100 bytes each, whatever is in the files
package contracts
