// Package redisqueue is a ports.Queue on Redis 6.2 or later, or on a Redis
// Cluster. Every step of the queue is one script, so that Redis takes it whole or
// not at all, and the only clock is that of Redis.
//
// # Keys
//
// For people with redis-cli. P is the prefix, and NAME the name of a queue; the
// braces keep all keys on one node of a cluster. Times are Unix time in
// milliseconds.
//
//	{P}:tasks         hash, task -> its record, in words
//	{P}:clock         the last number given as a fence or an arrival
//	{P}:claims        hash, name of a claim -> the task it was given, while leased
//	{P}:paused        set of the names of paused queues
//	{P}:ready:NAME    sorted set of what is due, best first: arrival and task,
//	                  by (100 - priority) * 2^44 + when it became due
//	{P}:delayed:NAME  sorted set of tasks by when they will be due
//	{P}:leased:NAME   sorted set of tasks by when their leases expire
//	{P}:wake:NAME     a marker that lasts for seconds: there is something to look at
//	{P}:poke:ID       the same for one process: its list of queues has changed
//
// Beside the queues of tasks there are those in which the workers' housekeeping
// waits for its turn, with a ~ before their names.
//
// A task is in exactly one of ready, delayed and leased. What is due in delayed,
// or has expired in leased, counts as waiting; the next claim moves it. Keys of
// which nothing is left vanish.
//
// # What may be lost
//
// The queue is as durable as Redis is. With `appendonly yes` and
// `appendfsync everysec` a crash of its machine may undo the last second, and so
// may a failover to a replica: the core's reconciler puts back what is missing,
// and what was claimed twice is noticed by its fence. A fence is the time in
// microseconds, or one more than the last one if that is higher. So a Redis that
// has lost what it held, even all of it, gives no fence that it gave before, unless
// its clock was set back as well, or that of the replica that took over is behind.
//
// Enqueue, Claim and Extend may be sent twice by the client's retries and are then
// done once. Ack, Nack and Cancel are never sent twice: where the answer is lost they
// return the error of the connection, and may have been done.
//
// # Batches
//
// Redis runs scripts on one core, and most of what a short one costs is that it is
// run at all. So Enqueues, Claims and Acks that come while another of their kind and
// of the same queue (or queues) is under way share the next script, up to 64 of
// them. None waits for company: one that comes alone is sent at once. To each its
// answer is what it would have been alone, in the order in which they came, and one
// whose context ends leaves at once and alone. What they share is an error of the
// connection, and the wait for an answer: see that the client's ReadTimeout is short
// and not off.
//
// # Waiting
//
// A Claim that finds nothing waits for a marker with a blocking pop. The marker
// carries no task, so that none is lost with a connection; it tells one who waits
// to look. A Queue holds one connection for this while anybody waits, and those
// who wait look every second in any case.
//
// # Full
//
// The queue has no bound but the memory of Redis. Where that is full, Enqueue is
// ports.ErrFull, also that of a task which is there already if it shares a script with
// a new one. All else goes on, so that the queue can be worked off.
package redisqueue
