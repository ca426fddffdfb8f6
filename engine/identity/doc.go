// Package identity makes the ids of sessions: the key under which a shard finds one, and the UUID under which everybody else
// knows it (docs/formats/identity.md). It asks nothing but what a session is made of: the same session has the same id in
// every engine and every replay.
package identity
