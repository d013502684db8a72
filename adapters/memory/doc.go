// Package memory keeps everything in this process: the store, the queue, the logs
// and the events. It is the reference implementation of the contracts in package
// ports and what the one-binary service runs on.
//
// Nothing survives the process, and everything is bounded, because strangers may
// fill it: New's options say how much is kept. A Backend that is full drops the
// task that finished first, whole: record, logs and events together. Only when no
// task is finished does it refuse new ones with ports.ErrFull. Each part can be
// had alone as well; it then has no tasks to drop, and refuses.
//
// There is no goroutine behind any of it and nothing to close. A Claim or a Next
// that waits is woken by whoever brings what it waits for; the only timer is the
// queue's, for the next lease that expires or entry that becomes due, and it runs
// only while somebody waits. Time is monotonic: a wall clock that jumps moves no
// lease.
package memory
