// Package certs makes, reads and judges TLS certificates.
//
// It owns the TLS settings of clients and servers as they are made of PEM files, the certificates that this program
// makes itself (the embedded store's, those of tests), and the words for a handshake that failed: which key of the
// configuration to look at. It does NOT own who connects to whom, nor whether plain text is allowed.
//
// Invariants:
//
//   - T1 nothing is weakened: TLS 1.2 at least, Go's own suites, the peer's certificate and name are always verified,
//     or the certificate itself compared with the one that is expected (Own).
//   - T2 a server's or client's certificate and key are read again when their files change, both or none: a pair that
//     does not fit is not used, the one before serves on.
package certs
