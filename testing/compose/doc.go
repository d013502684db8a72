// Package compose holds the tests of compose.yaml, which brings up the three services and
// all that they need. One reads the file; the other, `make compose-test`, is everything
// together in earnest: it builds the images, brings the file up unchanged, and then runs
// tasks while it kills, stops, scales and upgrades.
package compose
