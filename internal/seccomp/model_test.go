package seccomp

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/bpf"
)

// model says what the filter must return, written as the kernel reads its
// arguments and knowing nothing of rules, spans and labels.
func model(name string, v verdict, args [6]uint64) uint32 {
	answer := func(ok bool) uint32 {
		if ok {
			return 0x7fff0000
		}
		return 0x00050001
	}
	switch v {
	case allow, deny:
		return answer(v == allow)
	case absent:
		return 0x00050026
	}
	a0, a1, a2, a3 := int32(args[0]), int32(args[1]), int32(args[2]), int32(args[3])
	switch name {
	case "clone":
		const namespaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
		return answer(a0&namespaces == 0)
	case "ioctl":
		terminal := a1 == 0x5412 || a1 == 0x541c || a1 == 0x5423
		bridge := a1&^1 == 0x8940 || a1&^1 == 0x89a0
		relayOrVLAN := a1&^3 == 0x8980
		return answer(!terminal && !bridge && !relayOrVLAN)
	case "fcntl":
		return answer(a1 != 1024 && a1 != 1024+2 && a1 != 1024+16)
	case "mmap":
		return answer(a3&0x40000 == 0)
	case "memfd_create":
		return answer(a1&4 == 0)
	case "shmget":
		return answer(a2&0o4000 == 0)
	case "personality":
		return answer(slices.Contains([]int32{0, 8, 0x20000, 0x20008, -1}, a0))
	case "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler":
		return answer(a0 == 0)
	case "setpriority":
		return answer((a0 == 0 || a0 == 1) && a1 == 0)
	case "ioprio_set":
		return answer((a0 == 1 || a0 == 2) && a1 == 0)
	case "prctl":
		return answer(a0 != 22 && a0 != 62)
	case "setsockopt":
		filter := a1 == 1 && slices.Contains([]int32{26, 44, 50, 51, 52}, a2)
		layer := a1 == 6 && a2 == 31 || (a1 == 17 || a1 == 136) && a2 == 100
		label := a1 == 41 && a2 == 32
		return answer(!filter && !layer && !label)
	case "socket", "socketpair":
		kind := a1 & 0xf
		local := a0 == 1 && (kind == 1 || kind == 2 || kind == 5) && (a2 == 0 || a2 == 1)
		if name == "socketpair" {
			return answer(local)
		}
		inet := (a0 == 2 || a0 == 10) && (kind == 1 || kind == 2) && (a2 == 0 || a2 == 6 || a2 == 17)
		return answer(inet || local)
	}
	panic("the model does not know " + name)
}

// numberOf returns the number of a call.
func numberOf(t testing.TB, goarch, name string) uint32 {
	t.Helper()
	for _, c := range machines[goarch].calls {
		if c.name == name {
			return c.number
		}
	}
	t.Fatalf("%s has no call %s", goarch, name)
	return 0
}

func TestArgumentsDecide(t *testing.T) {
	t.Parallel()
	const high = 1 << 32
	tests := []struct {
		name    string
		call    string
		args    [6]uint64
		allowed bool
	}{
		{"a TCP socket", "socket", [6]uint64{2, 1, 0}, true},
		{"a TCP socket named by protocol", "socket", [6]uint64{2, 1, 6}, true},
		{"a TCP socket that closes on exec and does not block", "socket", [6]uint64{10, 1 | 0x80000 | 0x800, 6}, true},
		{"a Unix socket", "socket", [6]uint64{1, 1, 0}, true},
		{"a UDP socket", "socket", [6]uint64{10, 2, 17}, true},
		{"a TCP socket with garbage in the high half", "socket", [6]uint64{2 | 0xdead<<32, 1 | 0xbeef<<32, 0}, true},
		{"an SCTP socket", "socket", [6]uint64{2, 1, 132}, false},
		{"a sequenced packet socket of IPv4", "socket", [6]uint64{2, 5, 0}, false},
		{"an MPTCP socket", "socket", [6]uint64{2, 1, 262}, false},
		{"an ICMP datagram socket", "socket", [6]uint64{2, 2, 1}, false},
		{"a raw socket", "socket", [6]uint64{2, 3, 1}, false},
		{"a raw socket that closes on exec", "socket", [6]uint64{10, 3 | 0x80000, 58}, false},
		{"the old packet type", "socket", [6]uint64{2, 10, 0x0300}, false},
		{"a netlink socket", "socket", [6]uint64{16, 3, 0}, false},
		{"a packet socket", "socket", [6]uint64{17, 2, 0}, false},
		{"a crypto socket", "socket", [6]uint64{38, 5, 0}, false},
		{"a crypto socket with a high half", "socket", [6]uint64{38 | 56<<32, 5, 0}, false},
		{"a crypto socket that looks like IPv4 from above", "socket", [6]uint64{38 | 2<<32, 1, 0}, false},
		{"a vsock socket", "socket", [6]uint64{40, 1, 0}, false},
		{"a vsock socket with a high half", "socket", [6]uint64{40 | high, 1, 0}, false},
		{"no family", "socket", [6]uint64{0, 1, 0}, false},
		{"a pair of Unix sockets", "socketpair", [6]uint64{1, 1 | 0x80000, 0}, true},
		{"a pair of raw Unix sockets", "socketpair", [6]uint64{1, 3, 0}, false},
		{"a pair of TIPC sockets", "socketpair", [6]uint64{30, 1, 0}, false},

		{"a fork", "clone", [6]uint64{0x01200011}, true},
		{"a thread", "clone", [6]uint64{0x003d0f00}, true},
		{"a mount namespace", "clone", [6]uint64{0x00020011}, false},
		{"a cgroup namespace", "clone", [6]uint64{0x02000011}, false},
		{"a UTS namespace", "clone", [6]uint64{0x04000011}, false},
		{"an IPC namespace", "clone", [6]uint64{0x08000011}, false},
		{"a user namespace", "clone", [6]uint64{0x10000011}, false},
		{"a PID namespace", "clone", [6]uint64{0x20000011}, false},
		{"a network namespace", "clone", [6]uint64{0x40000011}, false},
		{"a user namespace with a high half", "clone", [6]uint64{0x10000011 | high}, false},
		{"a fork with a high half", "clone", [6]uint64{0x11 | high}, true},

		{"one's own limits", "prlimit64", [6]uint64{0, 7, 1}, true},
		{"the supervisor's limits", "prlimit64", [6]uint64{1, 7, 1}, false},
		{"the supervisor's limits with a high half", "prlimit64", [6]uint64{1 | high, 7, 1}, false},
		{"one's own limits with a high half", "prlimit64", [6]uint64{high, 7, 1}, true},
		{"one's own priority", "setpriority", [6]uint64{0, 0, 19}, true},
		{"one's group's priority", "setpriority", [6]uint64{1, 0, 19}, true},
		{"the user's priority", "setpriority", [6]uint64{2, 0, 19}, false},
		{"the supervisor's priority", "setpriority", [6]uint64{0, 1, 19}, false},
		{"the supervisor's group's priority", "setpriority", [6]uint64{1, 1 | high, 19}, false},
		{"one's own I/O priority", "ioprio_set", [6]uint64{1, 0, 7}, true},
		{"the user's I/O priority", "ioprio_set", [6]uint64{3, 0, 7}, false},
		{"one's own processors", "sched_setaffinity", [6]uint64{0}, true},
		{"the supervisor's processors", "sched_setaffinity", [6]uint64{1}, false},
		{"the supervisor's scheduler", "sched_setscheduler", [6]uint64{1}, false},
		{"the supervisor's scheduler by its attributes", "sched_setattr", [6]uint64{2 | high}, false},
		{"the supervisor's scheduler by its parameter", "sched_setparam", [6]uint64{1}, false},

		{"typing into a terminal", "ioctl", [6]uint64{0, 0x5412}, false},
		{"typing into a terminal with a high half", "ioctl", [6]uint64{0, 0x5412 | high}, false},
		{"the console's menu", "ioctl", [6]uint64{0, 0x541c | high}, false},
		{"a line discipline", "ioctl", [6]uint64{0, 0x5423 | 7<<32}, false},
		{"the size of a terminal", "ioctl", [6]uint64{0, 0x5413}, true},
		{"the bridges", "ioctl", [6]uint64{3, 0x8940}, false},
		{"a bridge's setting", "ioctl", [6]uint64{3, 0x8941}, false},
		{"a new bridge", "ioctl", [6]uint64{3, 0x89a0}, false},
		{"a bridge's end with a high half", "ioctl", [6]uint64{3, 0x89a1 | high}, false},
		{"a frame relay", "ioctl", [6]uint64{3, 0x8980}, false},
		{"a frame relay's end", "ioctl", [6]uint64{3, 0x8981}, false},
		{"a VLAN", "ioctl", [6]uint64{3, 0x8982}, false},
		{"a VLAN's setting", "ioctl", [6]uint64{3, 0x8983 | high}, false},
		{"an interface's index", "ioctl", [6]uint64{3, 0x8933}, true},
		{"an interface's queue length", "ioctl", [6]uint64{3, 0x8942}, true},

		{"a duplicate", "fcntl", [6]uint64{3, 1030}, true},
		{"a lease", "fcntl", [6]uint64{3, 1024}, false},
		{"a lease with a high half", "fcntl", [6]uint64{3, 1024 | high}, false},
		{"the lease that is held", "fcntl", [6]uint64{3, 1025}, true},
		{"news of a folder", "fcntl", [6]uint64{3, 1026}, false},
		{"news of a folder with a high half", "fcntl", [6]uint64{3, 1026 | high}, false},
		{"a delegation", "fcntl", [6]uint64{3, 1040}, false},
		{"the size of a pipe", "fcntl", [6]uint64{3, 1031}, true},

		{"anonymous memory", "mmap", [6]uint64{0, 4096, 3, 0x22}, true},
		{"a stack", "mmap", [6]uint64{0, 4096, 3, 0x20122}, true},
		{"memory in huge pages", "mmap", [6]uint64{0, 2 << 20, 3, 0x40022}, false},
		{"memory in huge pages with a high half", "mmap", [6]uint64{0, 2 << 20, 3, 0x40022 | high}, false},
		{"memory in huge pages of a gigabyte", "mmap", [6]uint64{0, 1 << 30, 3, 0x40022 | 30<<26}, false},
		{"a file in memory", "memfd_create", [6]uint64{0, 1 | 2}, true},
		{"a file in huge pages", "memfd_create", [6]uint64{0, 4}, false},
		{"a sealable file in huge pages with a high half", "memfd_create", [6]uint64{0, 4 | 2 | high}, false},
		{"shared memory", "shmget", [6]uint64{0, 4096, 0o1600}, true},
		{"shared memory in huge pages", "shmget", [6]uint64{0, 4096, 0o5600}, false},
		{"shared memory in huge pages with a high half", "shmget", [6]uint64{0, 4096, 0o5600 | high}, false},

		{"a filter through prctl", "prctl", [6]uint64{22, 2}, false},
		{"a filter through prctl with a high half", "prctl", [6]uint64{22 | high, 2}, false},
		{"a share of a core", "prctl", [6]uint64{62, 1}, false},
		{"a share of a core with a high half", "prctl", [6]uint64{62 | high, 1}, false},
		{"a thread's name", "prctl", [6]uint64{15}, true},
		{"the current personality", "personality", [6]uint64{0xffffffff}, true},
		{"the current personality as a long", "personality", [6]uint64{1<<64 - 1}, true},
		{"no address randomization", "personality", [6]uint64{0x40000}, false},
		{"a socket filter", "setsockopt", [6]uint64{3, 1, 26}, false},
		{"a socket filter with high halves", "setsockopt", [6]uint64{3, 1 | high, 26 | high}, false},
		{"a BPF program on a socket", "setsockopt", [6]uint64{3, 1, 50}, false},
		{"a classic group filter", "setsockopt", [6]uint64{3, 1, 51}, false},
		{"a BPF group filter", "setsockopt", [6]uint64{3, 1, 52}, false},
		{"a locked filter", "setsockopt", [6]uint64{3, 1, 44}, false},
		{"kernel TLS", "setsockopt", [6]uint64{3, 6, 31}, false},
		{"IPsec in UDP", "setsockopt", [6]uint64{3, 17, 100}, false},
		{"IPsec in UDP at UDP-Lite's level", "setsockopt", [6]uint64{3, 136, 100}, false},
		{"IPsec in UDP with high halves", "setsockopt", [6]uint64{3, 17 | high, 100 | high}, false},
		{"UDP in segments", "setsockopt", [6]uint64{3, 17, 103}, true},
		{"a flow label", "setsockopt", [6]uint64{3, 41, 32}, false},
		{"a flow label with high halves", "setsockopt", [6]uint64{3, 41 | high, 32 | high}, false},
		{"IPv6 alone", "setsockopt", [6]uint64{3, 41, 26}, true},
		{"a reused address", "setsockopt", [6]uint64{3, 1, 2}, true},
		{"TCP without delay", "setsockopt", [6]uint64{3, 6, 1}, true},
		{"option 26 of another level", "setsockopt", [6]uint64{3, 0, 26}, true},
	}
	for goarch, m := range machines {
		vm := newVM(t, goarch)
		for _, test := range tests {
			t.Run(goarch+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				want := uint32(retEPERM)
				if test.allowed {
					want = retAllow
				}
				got := evaluate(t, vm, data{number: numberOf(t, goarch, test.call), arch: m.audit, args: test.args})
				assert.Equal(t, want, got)
			})
		}
	}
}

func TestEveryInspectedCallHasARuleAndEveryRuleACall(t *testing.T) {
	t.Parallel()
	for goarch, m := range machines {
		var inspected []string
		for _, c := range m.calls {
			if c.verdict == inspect {
				inspected = append(inspected, c.name)
			}
		}
		assert.ElementsMatch(t, slices.Collect(maps.Keys(rules)), inspected, goarch)
	}
}

// Arguments are drawn near the values that the rules know, too, where a mistake
// would be.
func FuzzFilterAgreesWithTheModel(f *testing.F) {
	for _, number := range []uint32{
		9, 16, 25, 29, 41, 53, 54, 56, 72, 92, 135, 157, 167, 194, 198, 199, 208, 220, 222, 279, 319, 435, 1000,
	} {
		f.Add(number, uint64(2), uint64(1), uint64(6), uint64(0x22))
		f.Add(number, uint64(22|1<<32), uint64(0x5412|1<<32), uint64(26|1<<32), uint64(0x40022|1<<32))
		f.Add(number, uint64(0x10000000), uint64(6), uint64(31), uint64(0))
		f.Add(number, uint64(62), uint64(1026), uint64(0o4000), uint64(0))
		f.Add(number, uint64(0), uint64(136), uint64(100), uint64(0))
	}
	vms := make(map[string]*bpf.VM)
	for goarch := range machines {
		vms[goarch] = newVM(f, goarch)
	}
	f.Fuzz(func(t *testing.T, number uint32, a0, a1, a2, a3 uint64) {
		args := [6]uint64{a0, a1, a2, a3}
		for goarch, m := range machines {
			want := uint32(retENOSYS)
			for _, c := range m.calls {
				if c.number == number {
					want = model(c.name, c.verdict, args)
				}
			}
			got := evaluate(t, vms[goarch], data{number: number, arch: m.audit, args: args})
			assert.Equalf(t, want, got, "%s: call %d (%#x, %#x, %#x, %#x)", goarch, number, a0, a1, a2, a3)
		}
	})
}
