// Package murmur2 says which partition Kafka's own producer gives a key: the load generator must send as it does, and
// the engine checks that others did. It knows no topic and no message.
package murmur2
