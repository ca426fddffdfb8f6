// Package loadgen makes a charging network that does not exist: its OCPI tariffs and locations, and every meter
// reading of its charge points, with the truth about what each session holds and costs.
//
// A Network is a pure function of its Config and of simulated time. Nothing is stored: a Stream that is opened
// at any simulated time goes on exactly where another one would have been, so a demo that was killed is resumed
// by asking what was sent last.
//
// It owns: who charges when and how much, the order in which readings are sent, pacing, the partition of a
// charge point, and ground truth. It does NOT own: how a reading is written (connectors/wire, handed in as a
// function), how a record gets to the broker (Producer, implemented by cmd), and what a price is (rating,
// rating/oracle). It asks no clock but the one it is given.
//
// Invariants:
//
//	L1  Same Config, same bytes: tariffs, locations, readings and truth depend on nothing else, neither on the
//	    machine, nor on the partitions that a Stream is limited to, nor on where it was opened.
//	L2  Readings of a charge point are sent in order of measurement (but for Config.DisorderPerMillion), those
//	    of the network in ticks: all of one tick before any of the next, in order of the charge points inside.
//	L3  Sequence numbers of a session are 0, 1, 2, ... without a gap, also behind an exact duplicate.
//	L4  The register of a connector never decreases, over all of its sessions, and every register value lies on
//	    the meter's step.
//	L5  Energy is counted in integers: the register is the floor of an exact rational, never a running float.
//	L6  A Stream allocates nothing per reading, and holds one cursor a connector, however long it runs.
package loadgen
