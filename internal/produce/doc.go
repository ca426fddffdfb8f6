// Package produce sends simulated readings to Kafka in large batches: loadgen.Producer over connectors/kafka.
//
// It owns how records are gathered and paced. It does not own what is sent (loadgen, loadgen/replay), nor the connection.
package produce
