// Package outbox makes what an engine tells others of its sessions: the CDR of a session that is final, and the price of
// one that runs. It owns what is kept for them beside a session's state (Add), and their bytes. It does not own when
// something is told, in which order it becomes durable (package engine), nor the form of a CDR (package rating/ocpi).
//
// Invariants:
//
//	B1  What is told is made of a session's rows and of its state at one source position: told again it has the same
//	    bytes.
//	B2  The totals of a CDR are those of the session's rows: quantities exactly, money rounded once more, to 4 decimals.
package outbox
