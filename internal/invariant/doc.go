// Package invariant is where a bug is told from a fault of the world: what can only happen when our own code
// is wrong panics here, with a text that begins with "BUG: ". It is the one place in the libraries that panics.
//
// It owns the build tag "invariants". With the tag, or with the race detector, Enabled is true: costly checks
// run and released buffers are scribbled over. Without, Enabled is a constant false and the compiler drops them.
//
// It does not own errors: what a peer, a disk or a user can cause is returned as an error, never checked here.
package invariant
