// Package lint holds the rules of this source tree that a compiler does not: who may import whom, how long a
// file, a function, a package or an interface may be, and what the exact and the pure packages may not touch.
//
// It is run by `go test ./internal/lint`, walks and parses the files itself (a test that calls another program
// would be cached and miss changes), and needs nothing but the Go toolchain. It owns table.go, the import
// table: a new package enters there, with its reason. It does not own style; that is golangci-lint's.
//
// Rules by name, as in docs/ARCHITECTURE.md:
//
//   - L1 imports: non-test files import of ours only what table.go says. Tests may import anything.
//   - L2 sizes: file 800 lines (tests 1,500), function 70, package 6,000, interface 3 methods.
//   - L3 exact: no value of a float type, no package math, where money or energy is handled.
//   - L4 pure: no clock, goroutine, channel, lock, I/O or map iteration, in what must give the same answer
//     on any machine for ever.
//   - L5 one owner: no lock in engine/shard*.go.
//   - L6 explicit: no init function, no cgo, no bare panic, no flag or environment outside a main package.
//   - L7 explained: a package comment in every package, in doc.go where there are several files.
package lint
