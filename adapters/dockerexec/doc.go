// Package dockerexec is an Executor that runs every task in a fresh Docker
// container, started in advance and used once.
package dockerexec
