// Package machine is what a process has to know of the machine that it runs on and of others: how much memory it may use,
// and by how much another clock differs from ours. For metrics; nothing is decided by it.
package machine
