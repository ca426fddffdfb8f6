// Package proof is what engine/verify asks of the real ends: the ledger in ClickHouse, the topics and the group in Kafka.
//
// It owns the SQL and the requests; they only read. It does not own what is concluded from the answers (engine/verify),
// nor how the ends are found (cmd).
package proof
