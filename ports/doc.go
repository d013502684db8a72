// Package ports holds the contracts of Task Runner: the nouns (Task, Spec,
// Result, Event, ...) and the small interfaces behind which every backing part
// lives. It imports the standard library alone and is imported by everything
// else. People who only run tasks import package taskrunner, which aliases what
// they hold; people who write an adapter import this package.
//
// The interfaces are Store (the truth about every task), Queue (who works on
// what, and until when), LogSink (whole outputs), EventBus and its
// Subscription (what happens, live) and Executor (the sandbox).
//
// # Rules for every implementation
//
// These hold for every method of every interface here, unless the method says
// otherwise, and the suites in testing/conformance check them:
//
//   - It is safe for concurrent use by multiple goroutines.
//   - It honours its context. When ctx is done the method returns promptly with
//     an error for which errors.Is(err, ctx.Err()) is true. After that, the
//     outcome of a mutation is unknown: it may have happened or not, and the
//     caller re-reads. A method called with a context that is already done
//     changes nothing.
//   - It keeps no argument, and what it returns belongs to the caller: a slice or
//     map that the caller later changes changes nothing inside the adapter, nor in
//     any other result.
//   - An error matches exactly one sentinel of this package (or
//     errors.ErrUnsupported) with errors.Is where the method names one, and still
//     carries its cause for errors.As. Any other error means that the backing part
//     failed; the caller may try again.
//   - It returns errors and never logs them; the caller decides.
//   - Identifiers are opaque: an adapter accepts every string as a TaskID that
//     TaskID.Validate accepts, encodes it where its backing part is more narrow
//     and never takes it for a pattern, a path or a key of something else.
//   - Times are kept to the millisecond at least and come back as the same
//     instant; their location may change.
//
// Adapters take clients that are ready to use. Whoever opened a client closes
// it.
package ports
