// Package redisbus is a ports.EventBus on Redis 6.2 or later, or on a Redis
// Cluster. A topic is a stream; whoever reads it is told of new events by
// Pub/Sub.
//
// # Keys
//
// For people with redis-cli. P is the prefix and ID a task, in which braces and
// percent signs are written as in a URL; the braces keep a topic on one node of a
// cluster.
//
//	P:{ID}:events  stream, the events, and the channel on which they are told
//	P:{ID}:facts   hash, last -> the ID of the last event, for each Bus that
//	               published the number and ID of its last event, and
//	               deleted -> when the topic was deleted
//
// They vanish together a while after the last event. Of a topic that is deleted
// nothing stays but deleted, for as long as the topic would have, and a minute at
// least.
//
// # Order and gaps
//
// The ID of an event is a time in microseconds and the event's number in its
// topic, which is 1 for the first and grows by one. Appending an event and telling
// the readers is one script. The message names the event before, so that a reader
// who has returned that one takes the event out of the message, and all others
// look at the stream. There a reader asks for what comes from its last event on,
// that one included: if it is missing, events were trimmed, deleted, have expired
// or were lost by Redis, and the reader gets ports.ErrGone. IDs are not given
// twice, even by a topic that comes again, unless the clock of Redis is set back.
//
// An event is appended once, however often it is sent because an answer was lost.
// Publish may fail all the same after the event was taken; who then publishes it
// again gives the readers two. An event that is still on its way when Publish fails
// is never appended behind one of its task that the same Bus publishes later. Behind a
// Delete it may be: the topic is then there again until it expires.
//
// # Readers
//
// A Bus has one connection for all its subscriptions, opened with the first one
// and closed with the Bus. A reader that is slow holds up nobody: 64 events are
// kept for it in this process, shared with the other readers, and then it reads
// from the stream, 32 at a time. What a reader was handed before it was trimmed it
// may still return; it never leaves out one and goes on. After the connection was
// lost every reader looks at the stream; so it does every 15 seconds in any case.
// A connection that has died silently is noticed within 10 seconds.
//
// # What may be lost
//
// The bus is as durable as Redis is. With `appendonly yes` and
// `appendfsync everysec` a crash of its machine may undo the last second, and a
// failover to a replica may do so too. Readers that had seen what was undone get
// ports.ErrGone.
//
// # Full
//
// A topic is bounded by its number of events, and all topics by the memory of
// Redis. Where that is full, Publish is ports.ErrFull, and all else goes on.
package redisbus
