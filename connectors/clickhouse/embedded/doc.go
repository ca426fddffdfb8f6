// Package embedded runs the real ClickHouse engine (libchdb, loaded without cgo)
// inside this process and serves ClickHouse's own HTTP interface for it on
// loopback, so that one client, one dialect and one schema serve the embedded
// store and a ClickHouse server alike.
//
// It owns the data directory, the engine's life, users and passwords, and the
// HTTP interface. It does NOT own the schema, the path of the library (fetched by
// whoever calls Start), TLS, or anything beyond loopback. It imports no other
// package of this module.
//
// Invariants:
//
//   - I1 whole bodies: the engine is not told of an insert before its whole body
//     has arrived and decoded. A client that breaks off lands nothing.
//   - I2 one connection, one request: a request runs on an engine connection that
//     no other request has seen, so settings, database and temporary tables
//     cannot leak. The exception is a session, which a client asks for.
//   - I3 no engine call outlives its request: the context's end becomes KILL
//     QUERY, repeated until the call returns, and only then is the handler done.
//   - I4 the reader cannot leave the database: no write, no host file, no network.
//     Two gates hold it, readonly=1 in the engine and guardReader before it,
//     because the engine's alone lets DESCRIBE of a table function, the function
//     file() and INTO OUTFILE through.
//   - I5 one statement a request, by the lexer for everybody and by the engine's
//     own parser for the reader.
//   - I6 one data directory a process, one process a data directory (a lock file,
//     taken before the engine is started).
//
// What the user "default" can reach: everything the process can. file(), url(),
// s3(), remote() and the like read and write host files and the network with
// the rights of the process. INTO OUTFILE and FROM INFILE are refused for
// everybody, as a server refuses them over HTTP. Treat the password as a shell
// account of the process's user.
//
// Differences from a ClickHouse server, on purpose: no external tables
// (multipart), no roles and quotas, no progress headers, no CREATE USER. The
// engine makes its own query id; ours is in log_comment, so that
// system.processes can be searched by Settings['log_comment']. An insert beyond
// the engine's block size (1,048,449 rows or 256 MB) is several blocks, as on a
// server, so bad data in a later block leaves the earlier ones.
package embedded
