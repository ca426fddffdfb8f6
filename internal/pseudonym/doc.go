// Package pseudonym turns drivers' tokens into what may be kept of them.
//
// It owns the installation's keyset (a Tink keyset of pseudo-random functions, in a file of the operator) and the function
// from token to pseudonym. It does not own which key is used from when: that is a record of the reference log
// (docs/formats/reference.md), so that every engine and every replay agrees.
//
// Invariants:
//
//	P1  the same key and token give the same 16 bytes for ever; tokens that differ only in the case of ASCII letters are one,
//	    as OCPP and OCPI compare them
//	P2  a token is kept nowhere: not in a cache, not in an error
//	P3  a key that is in a keyset file stays there: files are only added to, and replaced as a whole
package pseudonym
