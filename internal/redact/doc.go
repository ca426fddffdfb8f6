// Package redact keeps out of what is kept or shown what must not be in it: numbers of payment cards.
//
// It owns what counts as a card number (PCI DSS 3.5.1: such a number must be unreadable wherever it is stored, and the
// simplest way is not to store it). It does NOT own secrets of ours (internal/secret), drivers' tokens, which have
// pseudonyms, nor what a reject shows of a message (engine/reject).
package redact
