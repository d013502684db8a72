// Package conformance is the executable form of the contracts in package ports:
// one exported suite per port, which every adapter, ours and other people's, runs
// against itself and must pass whole.
//
//	func TestStore(t *testing.T) {
//		conformance.Store(t, conformance.StoreHarness{
//			New: func(t *testing.T) ports.Store { return mystore.New(freshDatabase(t)) },
//		})
//	}
//
// A harness says how to make the thing under test and what it can do. New is
// called at least once for every case and returns something empty that no other
// case sees; it uses t.Cleanup to take it down. Cases run in parallel.
//
// # Capabilities
//
// What a contract leaves open is declared in the harness. A capability that is
// declared missing is not skipped where its absence can be checked: a LogSink
// without signed URLs must answer errors.ErrUnsupported. Where nothing is left
// to check (an unbounded store is never full), the case is left out and the suite
// logs its name.
//
// # Time
//
// No case sleeps and none fails because a machine is slow: a case waits for
// events, and gives up on one that does not come after half a minute. An adapter
// that lives in this process and keeps time by package time alone sets Bubble;
// each case then runs in a bubble of testing/synctest, where waiting takes no
// time at all. A queue with a clock that can be moved sets Advance. Either is also
// compared with a simple model, step by step at random. Any other queue is waited
// for in real time, by the queue's own clock: the case enqueues a delayed entry and
// claims it.
//
// # The suites themselves
//
// The tests of this package run every suite against adapters that are broken on
// purpose, one promise each, and demand that the suite notices.
package conformance
