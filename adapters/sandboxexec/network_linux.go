//go:build amd64 || arm64

package sandboxexec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A network is the network namespace of a sandbox: a loopback device and nothing
// else.
//
// Making and removing one costs the kernel more than the rest of a sandbox, and
// most programs never touch theirs. So a namespace in which nothing happened
// serves another sandbox later, never two at once. Nothing happened means that
// what the kernel shows of the namespace, all its counters and all its sockets, is
// byte for byte what it showed when the namespace was new. No counter of it can
// be set back; no program has the rights to change anything else in it.
type network struct {
	ns *os.File
	// tables are the kernel's views of the namespace, and what they showed first.
	tables []table
}

type table struct {
	file  *os.File
	fresh []byte
}

// networkTables are files of /proc/PID/net: packets by device and by protocol,
// with those that were refused; Unix sockets, through which alone a program can
// keep sockets of any kind alive after its end; and labels that outlive their
// sockets. A kernel without IPv6 lacks some. (The tables of TCP and UDP sockets
// would add nothing, and take the kernel milliseconds to print.)
var networkTables = []string{"dev", "snmp", "snmp6", "netstat", "unix", "ip6_flowlabel"}

// newNetwork makes a network namespace with its loopback device up.
func newNetwork() (n *network, err error) {
	onThrowawayThread(func() { n, err = enterNetwork() })
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return n, nil
}

// enterNetwork moves the calling thread into a new network namespace.
func enterNetwork() (_ *network, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	if err := raiseLoopback(); err != nil {
		return nil, fmt.Errorf("bringing up the loopback device: %w", err)
	}
	n := new(network)
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, err
	}
	for _, name := range networkTables {
		file, err := os.Open("/proc/thread-self/net/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		n.tables = append(n.tables, table{file: file})
		t := &n.tables[len(n.tables)-1]
		if t.fresh, err = t.read(nil); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// raiseLoopback brings up the loopback device, as far as the kernel has IPv4.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// untouched reports whether nothing ever happened in the namespace.
func (n *network) untouched() bool {
	var buf []byte
	for _, t := range n.tables {
		var err error
		if buf, err = t.read(buf[:0]); err != nil || !bytes.Equal(buf, t.fresh) {
			return false
		}
	}
	return true
}

func (n *network) close() {
	if n.ns != nil {
		_ = n.ns.Close()
	}
	for _, t := range n.tables {
		_ = t.file.Close()
	}
}

// read appends what the table shows now to buf.
func (t table) read(buf []byte) ([]byte, error) {
	w := bytes.NewBuffer(buf)
	_, err := io.Copy(w, io.NewSectionReader(t.file, 0, 1<<20))
	return w.Bytes(), err
}

// networks keeps the untouched ones for the next sandboxes.
type networks struct {
	mu   sync.Mutex
	idle []*network
	// keep is how many are kept at most.
	keep int
}

// take returns a network that nobody else has.
func (p *networks) take() (*network, error) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		n := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		return n, nil
	}
	p.mu.Unlock()
	return newNetwork()
}

// give takes back the network of a sandbox in which no process is left.
func (p *networks) give(n *network) {
	if n.untouched() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.idle) < p.keep {
			p.idle = append(p.idle, n)
			return
		}
	}
	n.close()
}

func (p *networks) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.idle {
		n.close()
	}
	p.idle = nil
}
