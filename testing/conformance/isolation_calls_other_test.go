//go:build !linux

package conformance

var isoCallNumbers map[string]int
