// Package slab is the memory of a shard: tables and lists that never move what is in them, so that growing them costs
// no call more than a piece (I6 of package engine), a pointer stays valid, and the garbage collector finds nothing to
// look into.
//
// It owns where sessions, connectors, windows and waiting Starts lie, and the marks by which an image of them is made in
// steps (package engine, image.go). It does not own what they mean, nor the image.
//
// Invariants:
//
//	S1  A slot or place number names the same thing until that is removed. Nothing moves.
//	S2  No call but Each, Half, Of and Fill looks at more than a segment or a piece. Fill is a recovery's.
package slab
