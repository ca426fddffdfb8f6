//go:build !invariants && !race

package invariant

// Enabled says that costly checks run: the build has the tag "invariants" or the race detector.
const Enabled = false
