// Package arch has no code. Its tests hold the rules of who may import whom, as
// docs/design.md tells them, against what go list says about every package of the
// module, tests included.
package arch
