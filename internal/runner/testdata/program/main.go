//go:build linux

// Command program is all that there is in the image of the container tests, which
// run it in place of interpreters, and in place of the supervisor.
package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// The first thread of a process stays to be seen when it is killed, so that it is not
// the one that foreign uses.
func init() { runtime.LockOSThread() }

func main() {
	what, args := os.Args[1], os.Args[2:]
	switch what {
	case "write": // what to stdout, what to stderr, and the exit code
		fmt.Print(args[0])
		fmt.Fprint(os.Stderr, args[1])
		code, _ := strconv.Atoi(args[2])
		os.Exit(code)
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		check(err)
	case "files": // each with its mode, and where it is
		dir, err := os.Getwd()
		check(err)
		st, err := os.Stat(dir)
		check(err)
		fmt.Println(dir, st.Mode().Perm(), os.Getuid(), os.Getgid())
		for _, path := range args {
			text, err := os.ReadFile(path)
			check(err)
			fmt.Println(path, string(text))
		}
	case "cannot write": // anywhere but in the folder for it
		for _, path := range args {
			fmt.Println(os.WriteFile(path, nil, 0o600))
		}
	case "leave": // children behind that hold the output
		for range 3 {
			start("sleep", syscall.SysProcAttr{Setsid: true})
		}
		fmt.Println("left")
	case "sleep":
		check(syscall.Pause())
	case "status":
		text, err := os.ReadFile("/proc/self/status")
		check(err)
		for line := range strings.Lines(string(text)) {
			switch name, value, _ := strings.Cut(line, ":"); name {
			case "NoNewPrivs", "Seccomp", "CapEff", "CapBnd":
				fmt.Println(name, strings.TrimSpace(value))
			}
		}
	case "look": // into the supervisor
		for _, name := range []string{"mem", "environ", "fd", "fd/0", "fd/1", "exe", "root"} {
			_, err := os.Open("/proc/1/" + name)
			fmt.Println(name, errors.Is(err, os.ErrPermission))
		}
		_, err := os.OpenFile("/proc/1/fd/1", os.O_WRONLY, 0)
		fmt.Println("stdout", errors.Is(err, os.ErrPermission))
		fmt.Println("kill", syscall.Kill(1, syscall.SIGKILL), syscall.Kill(1, syscall.SIGTERM))
	case "use": // so much memory in MiB, and so much CPU time
		mib, _ := strconv.Atoi(args[0])
		memory := make([]byte, mib<<20)
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
		d, _ := time.ParseDuration(args[1])
		for cpu() < d {
		}
		runtime.KeepAlive(memory)
	case "say": // in place of the supervisor: the rest once something was asked
		for i, piece := range args {
			if i == 1 {
				_, err := os.Stdin.Read(make([]byte, 1<<16))
				check(err)
			}
			b, err := hex.DecodeString(piece)
			check(err)
			_, err = os.Stdout.Write(b)
			check(err)
		}
	case "call": // a system call with every choice of these arguments: "0,1 2 3,4"
		call(args)
	case "foreign": // a call of another architecture, in a thread of its own
		foreign(args[0])
	default:
		fmt.Fprintln(os.Stderr, "what is", what)
		os.Exit(9)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(8)
	}
}

func start(what string, attr syscall.SysProcAttr) {
	cmd := exec.Command("/program", what)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = os.Stdout, os.Stderr, &attr
	check(cmd.Start())
}

func cpu() time.Duration {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// call prints the number of the error of each call.
func call(args []string) {
	var number uintptr
	var choices [6][]uintptr
	for i, list := range args {
		for text := range strings.SplitSeq(list, ",") {
			n, err := strconv.ParseUint(text, 0, 64)
			check(err)
			if i == 0 {
				number = uintptr(n)
			} else {
				choices[i-1] = append(choices[i-1], uintptr(n))
			}
		}
	}
	for i := range choices {
		if choices[i] == nil {
			choices[i] = []uintptr{0}
		}
	}
	for _, a := range choices[0] {
		for _, b := range choices[1] {
			for _, c := range choices[2] {
				r, _, errno := syscall.Syscall6(number, a, b, c, choices[3][0], 0, 0)
				fmt.Println(int(errno))
				if errno == 0 && r > 2 && number == syscall.SYS_SOCKET {
					_ = syscall.Close(int(r))
				}
			}
		}
	}
}

// foreign says how a thread ends that makes a call as programs of an older
// architecture do.
func foreign(how string) {
	type result struct {
		tid   int
		errno syscall.Errno
	}
	// A thread that is killed takes its share of the Go runtime along.
	runtime.GOMAXPROCS(4)
	debug.SetGCPercent(-1)
	before, after := make(chan int), make(chan result)
	go func() {
		runtime.LockOSThread()
		debug.SetPanicOnFault(true)
		defer func() {
			if recover() != nil { // there is no such entry
				fmt.Println("faulted")
				os.Exit(0)
			}
		}()
		tid := syscall.Gettid()
		before <- tid
		const x32, getpid = 0x40000000, 39
		var errno syscall.Errno
		if how == "x32" {
			_, _, errno = syscall.RawSyscall(x32|getpid, 0, 0, 0)
		} else {
			int80()
		}
		after <- result{tid, errno}
	}()
	tid := <-before
	for {
		select {
		case r := <-after:
			fmt.Println("returned", int(r.errno))
			return
		default:
		}
		if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(tid)); err != nil {
			fmt.Println("killed")
			return
		}
		runtime.Gosched()
	}
}

// int80 is getpid through the 32-bit entry of amd64.
func int80() {
	code := []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3} // mov eax, 20; int 0x80; ret
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE|syscall.PROT_EXEC, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	check(err)
	copy(page, code)
	entry := &page[0]
	function := &entry // what a func value points at holds the address of the code
	(*(*func())(unsafe.Pointer(&function)))()
}
