// Package miniolog keeps logs in a bucket of MinIO or of any other S3 store that
// knows conditional writes.
//
// S3 cannot append. A log is therefore one object, the head, which its writer
// replaces as the log grows, always on the condition that it is still the one that
// this writer wrote last:
//
//	<prefix>tasks/<task>/<attempt>/logs/<name>              the head
//	<prefix>tasks/<task>/<attempt>/parts/<writer>/<number>  what is too long for it
//
// The head of an open log holds the newest bytes and, in its metadata, the number of
// full parts before them. A part is written before the head that counts it, and no
// key of a part is ever used for other bytes, so that whoever reads a head finds all
// it speaks of. Closing replaces the head by the whole log, marked complete, and
// removes the parts: a log that fits into one buffer costs two requests in all, and a
// complete log is one plain object under a signed URL.
//
// A deleted log never comes back, as the condition of its writer's next request
// fails. A reply that was lost is no mystery either: every head names its writer, by
// which the writer knows its own again.
//
// # What may be lost
//
// A writer buffers. The bytes of the last Config.FlushEvery, and never more than
// Config.Buffer, are unreadable until they are flushed, and lost if the process dies
// or the writer's context ends before that. While the store does not answer, a writer
// accepts what its buffer holds, tries again, and then fails; it goes on once the
// store is back. A store without room answers with ports.ErrFull. Closing a log that has
// parts needs room for all of it once more; where there is none, Close fails, and what was
// written is flushed and stays readable as an open log.
//
// # What the store needs
//
// New tries conditional writes and refuses a store without them. The access key needs
// s3:ListBucket, s3:GetBucketVersioning, s3:GetObject, s3:PutObject and
// s3:DeleteObject, on a bucket with versions also s3:ListBucketVersions and
// s3:DeleteObjectVersion, and s3:GetBucketLocation unless the client was given a
// region. Making the bucket needs s3:CreateBucket; Config.Expire needs
// s3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration.
package miniolog
