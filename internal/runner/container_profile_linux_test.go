package runner_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/task-runner/task-runner/internal/seccomp"
)

// profileHolds asks the filter that the engine makes of the profile.
func profileHolds(t *testing.T, cli *client.Client, img string) {
	t.Parallel()
	const high = 1 << 32
	for name, c := range map[string]struct {
		call []uint64
		want unix.Errno
	}{
		"what everybody needs":                   {[]uint64{unix.SYS_GETPID}, 0},
		"a namespace":                            {[]uint64{unix.SYS_UNSHARE, 0}, unix.EPERM},
		"a namespace for a child":                {[]uint64{unix.SYS_CLONE, unix.CLONE_NEWUSER | 17}, unix.EPERM},
		"tracing":                                {[]uint64{unix.SYS_PTRACE, 99}, unix.EPERM},
		"asynchronous calls":                     {[]uint64{unix.SYS_IO_URING_SETUP, 1}, unix.EPERM},
		"keys":                                   {[]uint64{unix.SYS_KEYCTL, 0, 0xfffffffd}, unix.EPERM},
		"clone3, which libraries do without":     {[]uint64{unix.SYS_CLONE3}, unix.ENOSYS},
		"inotify":                                {[]uint64{unix.SYS_INOTIFY_INIT1}, unix.ENOSYS},
		"a number of no call":                    {[]uint64{1000}, unix.ENOSYS},
		"memory":                                 {[]uint64{unix.SYS_MMAP, 0, 4096, 3, unix.MAP_ANON | unix.MAP_PRIVATE}, 0},
		"memory in huge pages":                   {[]uint64{unix.SYS_MMAP, 0, 0, 3, unix.MAP_HUGETLB | unix.MAP_ANON | unix.MAP_PRIVATE}, unix.EPERM},
		"a file in huge pages":                   {[]uint64{unix.SYS_MEMFD_CREATE, 0, unix.MFD_HUGETLB | high}, unix.EPERM},
		"limits of oneself":                      {[]uint64{unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE}, 0},
		"limits of oneself with a high half":     {[]uint64{unix.SYS_PRLIMIT64, high, unix.RLIMIT_NOFILE}, 0},
		"limits of another":                      {[]uint64{unix.SYS_PRLIMIT64, 1, unix.RLIMIT_NOFILE}, unix.EPERM},
		"limits of another with a high half":     {[]uint64{unix.SYS_PRLIMIT64, 1 | high, unix.RLIMIT_NOFILE}, unix.EPERM},
		"priority of oneself":                    {[]uint64{unix.SYS_SETPRIORITY, unix.PRIO_PGRP, 0, 0}, 0},
		"priority of another":                    {[]uint64{unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 1, 0}, unix.EPERM},
		"priority of a user":                     {[]uint64{unix.SYS_SETPRIORITY, unix.PRIO_USER, 0, 0}, unix.EPERM},
		"the personality":                        {[]uint64{unix.SYS_PERSONALITY, 0xffffffff}, 0},
		"a personality":                          {[]uint64{unix.SYS_PERSONALITY, 0x20008}, 0},
		"a personality without random addresses": {[]uint64{unix.SYS_PERSONALITY, 0x40000}, unix.EPERM},
		"a filter for all threads":               {[]uint64{unix.SYS_SECCOMP, 1, 1}, unix.EFAULT},
		"a filter for one thread":                {[]uint64{unix.SYS_SECCOMP, 1, 0}, unix.EPERM},
		"a filter with a listener":               {[]uint64{unix.SYS_SECCOMP, 1, 8}, unix.EPERM},
		"a question about filters":               {[]uint64{unix.SYS_SECCOMP, 2}, unix.EPERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"call"}
			for _, a := range c.call {
				args = append(args, strconv.FormatUint(a, 10))
			}
			got, err := strconv.Atoi(strings.TrimSpace(said(t, cli, img, args...)))
			require.NoError(t, err)
			assert.Equal(t, c.want, unix.Errno(got))
		})
	}
	t.Run("sockets of every kind", func(t *testing.T) { sockets(t, cli, img) })
}

// sockets compares the profile with the exact filter where most depends on arguments:
// the kernel's own errors are others.
func sockets(t *testing.T, cli *client.Client, img string) {
	t.Parallel()
	const high = 1 << 32
	var families, types []uint64
	for f := range uint64(unix.AF_MAX) {
		families = append(families, f, f|high)
	}
	for k := range uint64(16) {
		types = append(types, k, k|unix.SOCK_CLOEXEC, k|high|unix.SOCK_NONBLOCK)
	}
	protocols := []uint64{0, 1, 2, 6, 7, 16, 17, 132, 262, 6 | high, 17 | high, 132 | high}
	list := func(values []uint64) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ","), "[]")
	}
	got := strings.Fields(said(t, cli, img, "call", strconv.Itoa(unix.SYS_SOCKET), list(families), list(types), list(protocols)))
	require.Len(t, got, len(families)*len(types)*len(protocols))

	refuses := refusals(t)
	allowed := 0
	for _, family := range families {
		for _, kind := range types {
			for _, protocol := range protocols {
				want := refuses(unix.SYS_SOCKET, family, kind, protocol)
				if !want {
					allowed++
				}
				if want != (got[0] == strconv.Itoa(int(unix.EPERM))) {
					t.Errorf("socket(%#x, %#x, %#x): refused by the policy: %v; error number: %s", family, kind, protocol, want, got[0])
				}
				got = got[1:]
			}
		}
	}
	assert.Greater(t, allowed, 100, "and some of them are allowed")
}

// refusals returns a function that says whether the exact filter refuses a call.
func refusals(t *testing.T) func(number uint32, args ...uint64) bool {
	raw, err := seccomp.Filter(runtime.GOARCH)
	require.NoError(t, err)
	instructions, ok := bpf.Disassemble(raw)
	require.True(t, ok)
	vm, err := bpf.NewVM(instructions)
	require.NoError(t, err)
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	return func(number uint32, args ...uint64) bool {
		// struct seccomp_data, whose words the machine loads in big endian.
		call := make([]byte, 64)
		binary.BigEndian.PutUint32(call, number)
		binary.BigEndian.PutUint32(call[4:], arch)
		for i, a := range args {
			binary.BigEndian.PutUint32(call[16+8*i:], uint32(a))
			binary.BigEndian.PutUint32(call[20+8*i:], uint32(a>>32))
		}
		verdict, err := vm.Run(call)
		require.NoError(t, err)
		return uint32(verdict) != unix.SECCOMP_RET_ALLOW
	}
}

// foreignCalls makes calls whose numbers mean something else.
func foreignCalls(t *testing.T, cli *client.Client, img string) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		return // the others have no second entry that a program could use
	}
	for how, signal := range map[string]unix.Signal{"int80": unix.SIGSYS, "x32": 0} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			profiled := said(t, cli, img, "foreign", how)
			o, err := newBox(t, cli, img, supervised, changes{}).run(t, program("foreign", how))
			require.NoError(t, err)
			if how == "int80" && profiled == "faulted\n" { // a kernel without 32-bit programs; no filter faults
				assert.Equal(t, profiled, o.stdout)
				return
			}
			assert.Equal(t, "killed\n", profiled, "the profile kills the thread")
			assert.Equal(t, int(signal), o.Signal, "the filter kills the process for the one, and leaves the other to the profile")
			if signal == 0 {
				assert.Equal(t, "killed\n", o.stdout)
			}
		})
	}
}
