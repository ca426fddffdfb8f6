// Package chaos breaks everything that Wattline runs with, again and again, and then holds the ledger to the truth:
// real brokers, the store in a process of its own, several engines and a load generator, all of them killed, frozen,
// cut off and starved of disk (docs/CHAOS.md).
//
// It owns the faults and their schedule, the processes that suffer them, and the verdict. It does NOT own the truth
// (loadgen's oracle), the proof that `wattline verify` is, or how real parts are started (internal/parts).
//
// Invariants:
//
//   - X1 seeded: which fault comes when, to whom and for how long is a function of the seed. What the machine makes of
//     it is not.
//   - X2 one at a time: a process suffers one fault at a time; different ones may suffer together.
//   - X3 by itself: every fault is taken back by itself, nobody helps, and the run ends within a bound.
//   - X4 no traces: processes end by their own ids, with this one at the latest; folders are removed unless something
//     was found. All traffic is on loopback.
//   - X5 truth from elsewhere: what is expected comes from loadgen's oracle and from the topic itself.
package chaos
