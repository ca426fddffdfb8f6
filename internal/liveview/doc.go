// Package liveview turns a moment of a running engine into lines for people: a screen that is drawn over, or plain
// lines for a pipe.
//
// It owns layout and the look of figures. It does NOT own where they come from, nor when they are drawn.
//
// Invariants:
//
//   - V1 no line is longer than the width asked for, and 80 columns are enough to say everything.
//   - V2 nothing but ASCII and, on a Screen, the escape sequences that every terminal knows.
package liveview
