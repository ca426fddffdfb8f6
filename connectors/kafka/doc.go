// Package kafka speaks to Apache Kafka for the engine: it fetches readings, keeps the membership in the consumer
// group, stores offsets with plans, produces, reads logs and makes topics. It is built on kafka-go's Transport and
// protocol packages alone, so that another client could replace it without the engine noticing.
//
// It owns: connections, request routing and retries, the bytes of fetched partitions, the group's assignor.
// It does NOT own: what a record means, when to commit, what a plan says. It decodes no reading.
//
// Why not kafka-go's Reader, ConsumerGroup and Client.Fetch: they give back aborted records, skip offsets that are
// gone, know no static membership, and cost five to thirteen times the time per record.
//
// Invariants, cited in code and tests:
//
//   - I1 no gap: what a feed gives is every data record at or above the wanted offset, in order, or an error. An
//     offset outside the log halts; nothing is ever skipped because it was not there.
//   - I2 one owner: a fetched partition's bytes belong to its Batch alone, from the socket to Release.
//   - I3 no feed waits for another: a partition that has its depth of unreleased batches is left out of requests.
//   - I4 fenced: every commit carries generation, member and instance id; what a broker refuses is never repeated
//     under a newer generation unless the partition is still assigned.
//   - I5 heartbeats wait for nothing but the coordinator.
//   - I7 an offset is stored only for a partition that was ours without a break since its last commit was looked up, and
//     Next shows every assignment, in order: what left and came back is seen to leave.
//   - I6 every error code of every partition of every answer is looked at, in the classify functions of errors.go.
package kafka
