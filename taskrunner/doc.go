// Package taskrunner runs code that nobody trusts, each time in a fresh sandbox,
// and tells whoever asked everything that happens, live.
//
// A Client submits tasks and follows them; a Worker runs them in an Executor.
// Both are built from one Config, in one process or in many. This package and
// package ports need the standard library alone; adapters bring the rest.
//
// # The life of a task
//
// Submit checks the Spec against the operator's Policy and fills in every
// default. What it accepts it stores, as queued, and puts into the queue. From
// then on the task comes to exactly one end, whatever breaks.
//
// A Worker claims it: it gets a lease, which it has to extend before
// Config.LeaseTTL is over. It marks the record as running, counts the attempt, and
// hands the program to its Executor. What the program writes, up to Limits.Output
// of a stream, goes three ways: whole into the LogSink; live to whoever watches, in
// pieces, up to 1 MiB of a stream; and the first and last bytes, up to 64 KiB, into
// the record.
//
// When the program has ended, the worker completes the logs, writes the Result
// into the record, tells everybody, and takes the task off the queue. The order
// matters. The Store is the truth, the queue says who works, and events tell
// people: so a crash between any two steps leaves the truth to go on from.
//
//   - Stored and not queued: the reconciler, which some worker runs now and
//     then, puts it into the queue. To put it there twice changes nothing.
//   - Running, and the worker dies: its lease runs out, the queue hands the task
//     out again, and the next worker begins the next attempt.
//   - The end written and not told: Watch looks at the store when it hears
//     nothing for a while, and makes up the end event.
//   - The end told and the task not taken off the queue: the next worker that
//     gets it sees that it is over, and takes it off.
//
// # Attempts
//
// A program that ran to its end, however badly, is never run again. An attempt
// that was lost (the worker died, the sandbox broke) is followed by another one
// after Config.RetryDelay; after Spec.MaxAttempts of them the task has failed
// with ports.CauseInfrastructure. A worker that is stopped while it runs a task,
// and may not wait, gives it back: that counts as an attempt in Task.Attempt, as
// each has its own logs and events, but it is no loss and never what makes a task
// fail.
//
// # Ghosts
//
// A worker that stood still for longer than its lease may come back when another
// one has the task already. Three things keep such a ghost harmless. It counts
// the lease's time by its own monotonic clock, from before each call, and kills
// its program and writes nothing more when that is over. Every change of the
// record is a compare-and-swap on its Version, so that what was decided on an old
// record is never written. And whoever has marked a task as running extends the
// lease once more before it touches logs or sandbox: if that fails, somebody
// else holds the task, and may take the very same mark for its own.
//
// # Cancelling
//
// A task that waits is cancelled at once. One that runs is marked, first in the
// record and then in the queue; its worker hears of it at the next heartbeat,
// kills it, and writes the end when no process of it is left. Should the caller
// die in between, the reconciler carries the cancel through. A program that ends
// by itself before that keeps its own result.
//
// # Housekeeping
//
// Tasks that finished longer than Config.Retention ago are deleted, logs and
// events first and the record last. Deleting and reconciling are one worker's work
// at a time, however many there are: each of the two has an entry in the queue, in
// a queue of its own that no Spec can name, and who holds its lease does it. When
// the worker dies the lease runs out, and when the queue has lost the entry any
// worker puts it back, so that another one does it. Nothing depends on there being
// only one: a ghost's housekeeping does no harm either.
package taskrunner
