//go:build amd64 || arm64

package sandboxexec

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"
)

// networks keeps network namespaces that were never used, for the next sandbox.
//
// Making one and removing it costs the kernel more than the rest of a sandbox.
// Most programs never send a packet, and a namespace in which none was ever sent
// is as new: it has a loopback device and nothing else, its sockets ended with
// their processes, and no program has the rights to change anything else in it.
// One that carried a packet, even within itself, might remember a connection
// for a minute, and is thrown away. No two sandboxes ever share one.
type networks struct {
	mu   sync.Mutex
	idle []*os.File
}

// take returns a network namespace, nil if there is none.
func (n *networks) take() *os.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.idle) == 0 {
		return nil
	}
	last := len(n.idle) - 1
	f := n.idle[last]
	n.idle = n.idle[:last]
	return f
}

// give takes the namespace back.
func (n *networks) give(f *os.File) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.idle = append(n.idle, f)
}

func (n *networks) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.idle {
		f.Close()
	}
	n.idle = nil
}

// openNetwork returns the network namespace of a process.
func openNetwork(pid int) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
}

// unused reports whether no packet ever went through the network namespace of a
// process, which must have its loopback device alone.
func unused(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	return err == nil && neverUsed(text)
}

// neverUsed reports whether text, which is /proc/PID/net/dev, has one device, lo,
// and every counter of it is 0.
func neverUsed(text []byte) bool {
	lines := slices.Collect(bytes.Lines(text))
	if len(lines) != 3 { // two of them are headings
		return false
	}
	name, counters, ok := bytes.Cut(lines[2], []byte(":"))
	if !ok || string(bytes.TrimSpace(name)) != "lo" {
		return false
	}
	fields := bytes.Fields(counters)
	return len(fields) == 16 && !slices.ContainsFunc(fields, func(f []byte) bool { return string(f) != "0" })
}
