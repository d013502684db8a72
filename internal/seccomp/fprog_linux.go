package seccomp

import (
	"syscall"

	"golang.org/x/net/bpf"
)

// Fprog returns the program in the form that the kernel takes.
func Fprog(program []bpf.RawInstruction) *syscall.SockFprog {
	filter := make([]syscall.SockFilter, len(program))
	for i, ins := range program {
		filter[i] = syscall.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	return &syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
}
