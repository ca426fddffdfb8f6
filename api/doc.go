// Package api is Wattline's HTTP interface: running sessions with their price, health, metrics, profiles
// (docs/API.md).
//
// It owns paths, status codes, JSON and metric names. It does NOT own what a session is or costs (engine, rating),
// nor sessions that have ended: those are in ClickHouse, and a 404 says where. It changes nothing. Who
// may ask is said by tokens (Tokens), where there are some; without them keep it on one machine.
//
// Invariants:
//
//   - H1 exact: amounts are decimal text with 6 digits beside the integer they are made of; no number of JSON is a
//     float.
//   - H2 no guess: while the partition that would know is not rating, the answer is 503, never 404.
//   - H3 counters are of this process's life; what must survive it is in ClickHouse.
//   - H4 a question goes on to another engine at most once to each of the group, and never to who is not a member.
//   - H5 a token is kept nowhere but with its bearer: the file has its hash, and no answer or log repeats what was sent.
//   - H6 streams cost a shard one question for 64 of them and second, and no client can hold up another.
package api
