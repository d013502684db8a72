// Package taskrunner runs code that nobody trusts, each time in a fresh sandbox,
// and tells whoever asked everything that happens, live.
//
// A Client submits tasks and follows them; a Worker runs them in an Executor.
// Both are built from one Config, in one process or in many. This package and
// package ports need the standard library alone; adapters bring the rest.
package taskrunner
