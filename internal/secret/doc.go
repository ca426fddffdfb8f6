// Package secret holds a text that must not be seen: a password, a token.
//
// It owns the ways in which a value gets out by accident: formatting, logging, encoding. It does NOT own where secrets
// come from (internal/config) or where they are kept, and does not wipe memory: who reads the process's memory has
// them.
//
// Invariant:
//
//   - Q1 a Text shows itself to nobody: whatever fmt, log/slog, encoding/json or yaml are asked, also about a struct that
//     has it in a field that is not exported, they write "(secret)" or an address. Only Reveal gives it.
package secret
