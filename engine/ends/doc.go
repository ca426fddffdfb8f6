// Package ends watches what the engine is connected to: it gives what ails an end a name (Fault), says each change of an
// end's state once, however many partitions wait for it, and decides when what failed is started again. It owns the
// vocabulary that connectors and engine share for that, and no connection: calls are told to it. It does not own retries,
// which are the callers', nor what a failure means for a partition.
//
// Invariants:
//
//	W1  The state of an end is the gravest fault of the calls that fail or hang now; it is ok when there are none.
//	W2  A change of state is one line of the log. What the next try mends within moments is none.
//	W3  The end of a caller's context says nothing about an end.
package ends
