// Package mongostore keeps tasks in MongoDB 4.4.2 or later: each as one document of the
// collection tasks, which people can read in mongosh, and the idempotency keys in
// idempotency_keys.
//
// It needs no transactions, no change streams and no indexes that expire or are
// partial; a single server will do as well as a replica set.
//
// # What a document looks like
//
// Statuses and causes are the text that the API shows. Times are dates, to the
// millisecond; durations are whole nanoseconds, and every figure has its unit in its
// name. Texts and contents of files are strings, or binary where they are not valid
// UTF-8. env and labels are arrays of names and values, since a name may hold what
// names of fields cannot. A task takes at most as many bytes as the server allows a
// document (maxBsonObjectSize, 16 MiB), of which 1 MiB is kept free for its result.
//
// Fields that a later version adds are left alone. A document of a later schema is
// refused, by its reader.
//
// # Indexes
//
//	newest        List of all owners; the order of every list
//	owner         List of one owner
//	owner_status  the same with statuses
//	owner_labels  the same with labels
//	status        List of all owners with statuses: what the core looks after
//	pending       New, which ends what creators left behind that died
//
// New makes those that are missing, which takes the server a while if there are many
// tasks already. A page of a list ends with 16 MiB of documents, and is then shorter than
// its limit.
//
// # What is relied on
//
// That an update or delete of one document is one step, as MongoDB has it. FerretDB 1
// does not: it looks for the document first and writes it then, so that of two updates
// at once both may win. It is behind the tests, which let one write through at a time,
// and it will do to try things out; the tasks of a service belong into MongoDB. The
// adapter uses only what both have, and has met no other one so far than FerretDB 1.24.
//
// Reads are the primary's. One that was cut off from its replica set answers with what
// was until it knows, some seconds later; its writes come to nothing. A list reads an
// index while others write: a task whose status changes just then may be missing from a
// page of tasks with a status, and is in the next list.
//
// A write has returned once it is in the journals of a majority. Where its answer is
// lost it is made once more, and knows its own first time again; a Delete is not, so
// that its error may mean that the task is gone. What is left of a Delete that died is a
// key of no task, which the next one of this key takes over.
package mongostore
