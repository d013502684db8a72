package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The tests of this file install the filter for real, each in a child that is this
// test binary again: a filter can never be taken off.
const childEnv = "SECCOMP_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		child(mode)
	}
	os.Exit(m.Run())
}

// child does what mode says under the filter, and exits.
func child(mode string) {
	mode, unfiltered := strings.CutPrefix(mode, "unfiltered ")
	if !unfiltered {
		if err := install(); err != nil {
			fmt.Fprintln(os.Stderr, "installing the filter:", err)
			os.Exit(3)
		}
	}
	switch mode {
	case "probe":
		if err := json.NewEncoder(os.Stdout).Encode(probe()); err != nil {
			os.Exit(4)
		}
	case "exec":
		err := syscall.Exec(os.Args[1], os.Args[1:], []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"})
		fmt.Fprintln(os.Stderr, "exec:", err)
		os.Exit(5)
	case "int80":
		int80()
	}
	os.Exit(0)
}

func install() error {
	program, err := Filter(runtime.GOARCH)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(Fprog(program))))
	if errno != 0 {
		return errno
	}
	return nil
}

// probe makes calls with arguments that are bad to the kernel, too, so that
// only the filter answers with EPERM to root.
func probe() map[string]syscall.Errno {
	got := make(map[string]syscall.Errno)
	try := func(name string, number uintptr, args ...uintptr) {
		var a [6]uintptr
		copy(a[:], args)
		r, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		got[name] = errno
		if errno == 0 && strings.HasPrefix(name, "socket") {
			_ = unix.Close(int(r))
		}
	}
	const high = 1 << 32
	try("getpid", unix.SYS_GETPID)
	try("clone3", unix.SYS_CLONE3)
	try("a number of no call", 1000)
	try("unshare", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	try("ptrace", unix.SYS_PTRACE, 99)
	try("bpf", unix.SYS_BPF, 99)
	try("io_uring_setup", unix.SYS_IO_URING_SETUP, 1, 0)
	try("keyctl", unix.SYS_KEYCTL, 0, ^uintptr(2))
	try("userfaultfd", unix.SYS_USERFAULTFD, 0)
	try("perf_event_open", unix.SYS_PERF_EVENT_OPEN)
	try("mount", unix.SYS_MOUNT)
	try("syncfs", unix.SYS_SYNCFS, ^uintptr(0))
	try("inotify_init1", unix.SYS_INOTIFY_INIT1, 0)
	try("inotify_add_watch", unix.SYS_INOTIFY_ADD_WATCH)
	try("cachestat", unix.SYS_CACHESTAT)
	try("fcntl F_NOTIFY", unix.SYS_FCNTL, ^uintptr(0), unix.F_NOTIFY|high)
	try("fcntl F_GETFD", unix.SYS_FCNTL, ^uintptr(0), unix.F_GETFD)
	try("mmap MAP_HUGETLB", unix.SYS_MMAP, 0, 0, 0, unix.MAP_HUGETLB|unix.MAP_ANON|unix.MAP_PRIVATE)
	try("memfd_create MFD_HUGETLB", unix.SYS_MEMFD_CREATE, 0, unix.MFD_HUGETLB|high)
	try("shmget SHM_HUGETLB", unix.SYS_SHMGET, 0, 0, shmHugeTLB|high)
	try("chroot", unix.SYS_CHROOT)
	try("seccomp", unix.SYS_SECCOMP, 2, 0, 0)
	try("prctl core scheduling", unix.SYS_PRCTL, unix.PR_SCHED_CORE|high)
	try("prctl seccomp", unix.SYS_PRCTL, unix.PR_SET_SECCOMP|high, 2, 0)
	try("ioctl TIOCSTI", unix.SYS_IOCTL, ^uintptr(0), unix.TIOCSTI|high)
	try("ioctl TIOCGWINSZ", unix.SYS_IOCTL, ^uintptr(0), unix.TIOCGWINSZ)
	try("ioctl SIOCGIFBR", unix.SYS_IOCTL, ^uintptr(0), unix.SIOCGIFBR|high)
	try("setsockopt UDP_ENCAP", unix.SYS_SETSOCKOPT, ^uintptr(0), solUDPLite, unix.UDP_ENCAP)
	try("setsockopt IPV6_FLOWLABEL_MGR", unix.SYS_SETSOCKOPT, ^uintptr(0), unix.SOL_IPV6, ipv6FlowLabelMgr)
	try("prlimit of another", unix.SYS_PRLIMIT64, uintptr(os.Getppid()), unix.RLIMIT_NOFILE)
	try("prlimit", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE)
	try("setpriority of another", unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, uintptr(os.Getppid()), 0)
	try("socket tcp", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	try("socket alg", unix.SYS_SOCKET, unix.AF_ALG|unix.AF_INET<<32, unix.SOCK_SEQPACKET, 0)
	try("socket vsock", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	try("socket netlink", unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0)
	try("socket packet", unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	try("socket raw", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	return got
}

// int80 makes a call through the 32-bit entry of amd64 (getpid is number 20 there).
func int80() {
	code := []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3} // mov eax, 20; int 0x80; ret
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		os.Exit(6)
	}
	copy(page, code)
	entry := &page[0]
	function := &entry // what a func value points at holds the address of the code
	(*(*func())(unsafe.Pointer(&function)))()
}

// command returns the command that runs this binary as a child.
func command(t *testing.T, mode string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+mode)
	return cmd
}

func TestTheKernelEnforcesTheFilter(t *testing.T) {
	t.Parallel()
	out, err := command(t, "probe").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var got map[string]syscall.Errno
	require.NoError(t, json.Unmarshal(out, &got))

	want := map[string]syscall.Errno{
		"getpid": 0, "prlimit": 0, "socket tcp": 0, "ioctl TIOCGWINSZ": syscall.EBADF, "fcntl F_GETFD": syscall.EBADF,
		"clone3": syscall.ENOSYS, "a number of no call": syscall.ENOSYS, "cachestat": syscall.ENOSYS,
		"inotify_init1": syscall.ENOSYS, "inotify_add_watch": syscall.ENOSYS,
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			want[name] = syscall.EPERM
		}
	}
	assert.Equal(t, want, got)
}

func TestThe32BitEntryOfAMD64Kills(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		return // There is no such entry.
	}
	var exit *exec.ExitError
	if err := command(t, "unfiltered int80").Run(); err != nil {
		require.ErrorAs(t, err, &exit, "a kernel without the entry faults")
		return
	}
	err := command(t, "int80").Run()
	require.ErrorAs(t, err, &exit)
	status := exit.Sys().(syscall.WaitStatus)
	assert.True(t, status.Signaled())
	assert.Equal(t, syscall.SIGSYS, status.Signal())
}

func TestProgramsOfTodayWork(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		argv []string
		want string
	}{
		{"bash with a pipe and a background job", []string{"/bin/bash", "-c",
			`sleep 0 & wait; echo one two | { read a b; echo "$b" "$a"; }`}, "two one\n"},
		{"tail, which watches a file without being told", []string{"/bin/bash", "-c", `
file=$(mktemp); echo one > $file
exec 3< <(exec tail -s 0.01 -n 1 -f $file 2>/dev/null); tail=$!
read a <&3; echo two >> $file; read b <&3; kill $tail; rm $file; echo $b $a`}, "two one\n"},
		{"python with threads and subprocesses", []string{"/usr/bin/python3", "-c", `
import subprocess, threading, tempfile, os, time, random
t = threading.Thread(target=lambda: print("thread", flush=True)); t.start(); t.join()
print(subprocess.run(["/bin/echo", "child"], capture_output=True, text=True).stdout, end="")
with tempfile.TemporaryFile() as f:
    f.write(b"x" * 100); f.flush(); os.fsync(f.fileno()); print(f.tell())
os.nice(1); os.sched_setaffinity(0, os.sched_getaffinity(0))
`}, "thread\nchild\n100\n"},
		{"python with asyncio and sockets", []string{"/usr/bin/python3", "-c", `
import asyncio, socket
async def main():
    server = await asyncio.start_server(lambda r, w: (w.write(b"hello"), w.close()), "127.0.0.1", 0)
    r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
    print((await r.read()).decode()); w.close()
asyncio.run(main())
print(len(socket.getaddrinfo("localhost", 80)) > 0)
`}, "hello\nTrue\n"},
		{"python with multiprocessing", []string{"/usr/bin/python3", "-c", `
import multiprocessing as m
if __name__ == "__main__":
    with m.get_context("fork").Pool(2) as p: print(p.map(abs, [-1, -2]))
`}, "[1, 2]\n"},
		{"node with files, timers, workers and children", []string{"/usr/bin/node", "-e", `
const {Worker} = require("worker_threads"), fs = require("fs"), cp = require("child_process");
(async () => {
  console.log((await fs.promises.readFile("/proc/self/comm", "utf8")).trim());
  await new Promise(r => setTimeout(r, 1));
  await new Promise(r => new Worker("console.log('worker')", {eval: true}).on("exit", r));
  console.log(cp.execFileSync("/bin/echo", ["child"]).toString().trim());
  try { fs.watch("/usr"); } catch (e) { console.log(e.code); }
})();
`}, "node\nworker\nchild\nENOSYS\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(test.argv[0]); errors.Is(err, os.ErrNotExist) {
				if os.Getenv("TASKRUNNER_REQUIRE_SERVICES") == "1" {
					t.Fatalf("%s is not installed", test.argv[0])
				}
				t.Skipf("%s is not installed", test.argv[0])
			}
			out, err := command(t, "exec", test.argv...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Equal(t, test.want, string(out))
		})
	}
}
