// Package reflog keeps the reference log in step with a folder of tariffs, locations, tiers, defaults and contracts.
//
// It owns which files of a folder are read, what is wrong with them as a whole, and what has to be published so that the log says
// what they say; and who changed what in it when. It does not own the objects and their bytes (rating/ocpi), files of contracts (internal/contracts), nor
// connections: it is given what reads and writes the log.
//
// Invariants:
//
//	F1  every fault of a folder is told, with file and path, before anything is published
//	F2  what is the same is not published again, and what names something comes behind it
package reflog
