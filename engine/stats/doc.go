// Package stats is the figures of one partition: counters that its goroutines write and others read at any time. They start
// at zero with the process; what must survive is in the rows. It knows nothing of what they count.
package stats
