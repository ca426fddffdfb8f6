// Package book is the reference log in memory as an engine asks it: tariffs compiled, places, contracts of drivers.
//
// It owns what a record of the log says to an engine, the book of any offset, and the plans compiled from it. It does not
// own the log's bytes (rating/ocpi), how it is followed (engine), the choice of a tariff (rating.Library), nor the keys
// of pseudonyms, which it is given.
//
// Invariants:
//
//	B1  What is answered for an offset is the same whatever came after it, on every machine, for ever.
//	B2  A driver's token is handed through to Tokens and kept by nobody.
package book
