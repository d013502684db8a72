package cgroup

import (
	"syscall"
	"time"
)

// A Reader reads the counters of one control group. It keeps the files open, so
// that a look costs one pread for each; once the group is removed, reads find
// nothing. One goroutine at a time uses a Reader.
type Reader struct {
	cpu, memory, peak, oom source
	buf                    [4096]byte
}

// source is an open file and how the figure is read from its text.
type source struct {
	fd    int // -1 if there is no file
	parse func([]byte) (int64, bool)
}

func open(dir, name string, parse func([]byte) (int64, bool)) source {
	if dir == "" {
		return source{fd: -1}
	}
	fd, err := syscall.Open(dir+"/"+name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	return source{fd: fd, parse: parse}
}

// OpenV1 returns a reader of a group of version 1: its folders in the cpuacct and
// the memory hierarchy. Either may be empty; what cannot be opened is unknown.
func OpenV1(cpuacct, memory string) *Reader {
	return &Reader{
		cpu:    open(cpuacct, "cpuacct.usage", parseInt),
		memory: open(memory, "memory.usage_in_bytes", parseInt),
		peak:   open(memory, "memory.max_usage_in_bytes", parseInt),
		oom:    open(memory, "memory.oom_control", parseKey("oom_kill", 1)), // since Linux 4.13
	}
}

// OpenV2 returns a reader of the group of version 2 in this folder. What cannot be
// opened is unknown.
func OpenV2(dir string) *Reader {
	return &Reader{
		cpu:    open(dir, "cpu.stat", parseKey("usage_usec", int64(time.Microsecond))),
		memory: open(dir, "memory.current", parseInt),
		peak:   open(dir, "memory.peak", parseInt), // since Linux 5.19
		oom:    open(dir, "memory.events", parseKey("oom_kill", 1)),
	}
}

// Find returns a reader of the caller's own group as far as it is visible in the
// file system below root ("/", except in tests). The root group of a machine
// counts everybody's use, so its figures are unknown.
func Find(root string) *Reader {
	prefix := root
	if prefix == "/" {
		prefix = ""
	}
	var f folders
	if exists(prefix + "/sys/fs/cgroup") { // most sandboxes show none, and the rest takes time
		f = locate(readFile(prefix+"/proc/self/cgroup"), readFile(prefix+"/proc/self/mountinfo"))
	}
	at := func(folder string) string {
		if folder == "" {
			return ""
		}
		return prefix + folder
	}
	// Only the root group of version 1 has a release_agent, and only the one of
	// version 2 has no cgroup.events.
	if exists(at(f.v1cpuacct) + "/release_agent") {
		f.v1cpuacct = ""
	}
	if exists(at(f.v1memory) + "/release_agent") {
		f.v1memory = ""
	}
	if !exists(at(f.v2) + "/cgroup.events") {
		f.v2 = ""
	}
	r, v2 := OpenV1(at(f.v1cpuacct), at(f.v1memory)), OpenV2(at(f.v2))
	for _, pair := range [][2]*source{{&r.cpu, &v2.cpu}, {&r.memory, &v2.memory}, {&r.peak, &v2.peak}, {&r.oom, &v2.oom}} {
		if pair[0].fd < 0 {
			*pair[0], pair[1].fd = *pair[1], -1
		}
	}
	v2.Close()
	return r
}

// Read returns the counters as they are now.
func (r *Reader) Read() Counters {
	return Counters{
		CPU:        read[time.Duration](r, &r.cpu),
		Memory:     read[int64](r, &r.memory),
		PeakMemory: read[int64](r, &r.peak),
		OOMKills:   read[int64](r, &r.oom),
	}
}

// Usage returns CPU and Memory alone: what a sample needs.
func (r *Reader) Usage() Counters {
	return Counters{CPU: read[time.Duration](r, &r.cpu), Memory: read[int64](r, &r.memory)}
}

// Close closes the files. Afterwards every counter is unknown.
func (r *Reader) Close() {
	for _, s := range []*source{&r.cpu, &r.memory, &r.peak, &r.oom} {
		if s.fd >= 0 {
			_ = syscall.Close(s.fd)
			s.fd = -1
		}
	}
}

func read[T ~int64](r *Reader, s *source) *T {
	if s.fd < 0 {
		return nil
	}
	n, err := syscall.Pread(s.fd, r.buf[:], 0)
	for err == syscall.EINTR {
		n, err = syscall.Pread(s.fd, r.buf[:], 0)
	}
	if err != nil {
		return nil
	}
	if v, ok := s.parse(r.buf[:n]); ok {
		return new(T(v))
	}
	return nil
}

func exists(path string) bool {
	return syscall.Access(path, 0) == nil
}

// readFile returns the text of a small file; "" if it cannot be read.
func readFile(path string) string {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	var text []byte
	buf := make([]byte, 4096)
	for len(text) < 1<<20 {
		n, err := syscall.Read(fd, buf)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		text = append(text, buf[:n]...)
	}
	return string(text)
}
