package seccomp

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/bpf"
)

// model says what the filter must return, written as the kernel reads its
// arguments and knowing nothing of rules, spans and labels.
func model(name string, v verdict, hostNetwork bool, args [6]uint64) uint32 {
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
	a0, a1, a2 := int32(args[0]), int32(args[1]), int32(args[2])
	switch name {
	case "clone":
		const namespaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
		return answer(a0&namespaces == 0)
	case "ioctl":
		return answer(!slices.Contains([]int32{0x5412, 0x541c, 0x5423}, a1))
	case "personality":
		return answer(slices.Contains([]int32{0, 8, 0x20000, 0x20008, -1}, a0))
	case "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler":
		return answer(a0 == 0)
	case "setpriority":
		return answer((a0 == 0 || a0 == 1) && a1 == 0)
	case "ioprio_set":
		return answer((a0 == 1 || a0 == 2) && a1 == 0)
	case "prctl":
		return answer(a0 != 22)
	case "setsockopt":
		return answer(!(a1 == 1 && slices.Contains([]int32{26, 44, 50, 51, 52}, a2) || a1 == 6 && a2 == 31))
	case "socket", "socketpair":
		kind := a1 & 0xf
		local := a0 == 1 && (kind == 1 || kind == 2 || kind == 5) && (a2 == 0 || a2 == 1)
		if name == "socketpair" {
			return answer(local)
		}
		inet := (a0 == 2 || a0 == 10) && (kind == 1 || kind == 2) && (a2 == 0 || a2 == 6 || a2 == 17)
		return answer(inet || local && !hostNetwork)
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
		{"a filter through prctl", "prctl", [6]uint64{22, 2}, false},
		{"a filter through prctl with a high half", "prctl", [6]uint64{22 | high, 2}, false},
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
		{"a reused address", "setsockopt", [6]uint64{3, 1, 2}, true},
		{"TCP without delay", "setsockopt", [6]uint64{3, 6, 1}, true},
		{"option 26 of another level", "setsockopt", [6]uint64{3, 0, 26}, true},
	}
	for _, v := range variants {
		vm := newVM(t, v.goarch, v.hostNetwork)
		for _, test := range tests {
			t.Run(v.String()+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				want := uint32(retEPERM)
				if test.allowed {
					want = retAllow
				}
				got := evaluate(t, vm, data{number: numberOf(t, v.goarch, test.call), arch: machines[v.goarch].audit, args: test.args})
				assert.Equal(t, want, got)
			})
		}
	}
}

func TestUnixSocketsAreForAPrivateNetworkAlone(t *testing.T) {
	t.Parallel()
	eachVariant(t, func(t *testing.T, v variant, vm *bpf.VM) {
		socket := data{number: numberOf(t, v.goarch, "socket"), arch: machines[v.goarch].audit, args: [6]uint64{1, 1, 0}}
		want := uint32(retAllow)
		if v.hostNetwork {
			want = retEPERM
		}
		assert.Equal(t, want, evaluate(t, vm, socket))
	})
}

func TestEveryInspectedCallHasARuleAndEveryRuleACall(t *testing.T) {
	t.Parallel()
	for goarch, m := range machines {
		rules := rulesFor(false)
		for _, c := range m.calls {
			if c.verdict == inspect {
				assert.Contains(t, rules, c.name, goarch)
				delete(rules, c.name)
			}
		}
		assert.Empty(t, rules, goarch)
	}
}

// Arguments are drawn near the values that the rules know, too, where a mistake
// would be.
func FuzzFilterAgreesWithTheModel(f *testing.F) {
	for _, number := range []uint32{16, 29, 41, 53, 54, 56, 92, 135, 157, 167, 198, 199, 208, 220, 435, 1000} {
		f.Add(number, uint64(2), uint64(1), uint64(6))
		f.Add(number, uint64(22|1<<32), uint64(0x5412|1<<32), uint64(26|1<<32))
		f.Add(number, uint64(0x10000000), uint64(6), uint64(31))
	}
	vms := make(map[variant]*bpf.VM)
	for _, v := range variants {
		vms[v] = newVM(f, v.goarch, v.hostNetwork)
	}
	f.Fuzz(func(t *testing.T, number uint32, a0, a1, a2 uint64) {
		args := [6]uint64{a0, a1, a2}
		for _, v := range variants {
			want := uint32(retENOSYS)
			for _, c := range machines[v.goarch].calls {
				if c.number == number {
					want = model(c.name, c.verdict, v.hostNetwork, args)
				}
			}
			got := evaluate(t, vms[v], data{number: number, arch: machines[v.goarch].audit, args: args})
			assert.Equalf(t, want, got, "%s: call %d (%#x, %#x, %#x)", v, number, a0, a1, a2)
		}
	})
}
