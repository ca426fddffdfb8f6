// Package commit is the text beside a partition's committed offset: what a recovery needs to make the same bytes
// again (docs/formats/commit-metadata.md).
//
// It owns the form and its limits. It does not own what the numbers mean to an engine, nor where the text is kept.
//
// Invariants:
//
//	C1  Parse takes what Append wrote, in this version or the one before, and nothing else: one text for one meaning.
//	C2  A text within MaxBooks and two plans fits in Limit.
package commit
