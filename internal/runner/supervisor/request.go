//go:build linux

package main

import (
	"syscall"
	"unsafe"

	"github.com/task-runner/task-runner/internal/runner/frame"
)

// readRequest blocks until the launcher's one frame has come. It returns nil if the
// launcher closed the line instead. Once the files are written, release gives
// their memory back: it counts against the task's limit.
func readRequest() (req *frame.Request, release func()) {
	var header [frame.HeaderSize]byte
	switch n := readFull(header[:]); {
	case n == 0:
		return nil, nil
	case n < len(header):
		die("the request is cut short")
	}
	t, size, err := frame.ParseHeader(header[:])
	if err == nil && t != frame.TypeRequest {
		err = &frame.Error{Field: "frame", Problem: "is not a request"}
	}
	if err != nil {
		die(err.Error())
	}
	// Memory of its own rather than the heap's, so that it can be given back.
	payload, err := syscall.Mmap(-1, 0, max(size, 1), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		die("making room for the request: " + err.Error())
	}
	payload = payload[:size]
	if readFull(payload) < size {
		die("the request is cut short")
	}
	req, err = frame.ParseRequest(payload)
	if err != nil {
		die(err.Error())
	}
	return req, func() {
		req.Files = nil
		discardAfter(payload, req.Stdin)
	}
}

// discardAfter gives the pages of memory back that lie wholly behind keep, which is
// a part of it; all of them if keep is empty.
func discardAfter(memory, keep []byte) {
	from := 0
	if len(keep) > 0 {
		end := uintptr(unsafe.Pointer(unsafe.SliceData(keep))) + uintptr(len(keep))
		page := uintptr(syscall.Getpagesize())
		from = int((end+page-1)/page*page - uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	}
	if from < len(memory) {
		_ = syscall.Madvise(memory[from:], syscall.MADV_DONTNEED)
	}
}

// readFull fills p from the launcher's line and returns how much came before its
// end.
func readFull(p []byte) int {
	n := 0
	for n < len(p) {
		k, err := read(fromLauncher, p[n:])
		if err != nil || k == 0 {
			break
		}
		n += k
	}
	return n
}
