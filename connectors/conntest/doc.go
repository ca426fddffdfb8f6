// Package conntest is the conformance suite for the ends of the engine. An implementation of engine.Source and
// engine.Committer that passes SourceSuite may stand under the engine: the block protocol needs what it checks and
// nothing more.
//
// It owns: the cases, and a small honest consumer that crashes, stalls and is rebalanced. It does NOT own the peer: the
// test that calls it starts one and hands it in as a Rig, with faults of its own if it likes.
//
// What is checked: S1 no gap, no double, in order; S2 after a crash everything from the committed offset comes again;
// S3 who releases nothing stops nobody else; S4 commits tile the offset line whoever makes them, through crashes and
// rebalances; S5 an offset beyond the log halts; S6 closing is final and
// clean; S7 the bounds of the log are those that reading finds.
package conntest
