// Package deploy has the tests of the files in deploy/: what Kubernetes, Prometheus and
// Grafana would make of them, and that they say the same as the code.
package deploy
