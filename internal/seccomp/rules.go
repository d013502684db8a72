package seccomp

// The numbers below are Linux's own and the same on amd64 and arm64; they are
// written out because this package also compiles where x/sys/unix has none.
const (
	afUnix  = 1
	afInet  = 2
	afInet6 = 10

	sockStream    = 1
	sockDgram     = 2
	sockSeqpacket = 5
	sockTypeMask  = 0xf // the kernel's SOCK_TYPE_MASK; SOCK_CLOEXEC and SOCK_NONBLOCK lie above

	protoDefault = 0
	protoUnix    = 1 // PF_UNIX
	protoTCP     = 6
	protoUDP     = 17

	mapHugeTLB = 0x40000 // a flag of mmap
	mfdHugeTLB = 0x4     // of memfd_create
	shmHugeTLB = 0o4000  // of shmget

	fSetLease = 1024
	fNotify   = 1026
	fSetDeleg = 1040

	// cloneNamespaces is CLONE_NEWNS|NEWCGROUP|NEWUTS|NEWIPC|NEWUSER|NEWPID|NEWNET.
	// CLONE_NEWTIME is not among them: clone takes its bit for a part of the signal.
	cloneNamespaces = 0x7e020000

	prSetSeccomp = 22
	prSchedCore  = 62

	self        = 0 // as a process or thread ID: the caller
	prioProcess = 0
	prioGroup   = 1

	ioprioProcess = 1
	ioprioGroup   = 2

	tiocsti   = 0x5412
	tioclinux = 0x541c
	tiocsetd  = 0x5423

	siocGIfBr   = 0x8940
	siocSIfBr   = 0x8941
	siocAddDLCI = 0x8980
	siocDelDLCI = 0x8981
	siocGIfVLAN = 0x8982
	siocSIfVLAN = 0x8983
	siocBrAddBr = 0x89a0
	siocBrDelBr = 0x89a1

	solSocket             = 1
	soAttachFilter        = 26
	soLockFilter          = 44
	soAttachBPF           = 50
	soAttachReuseportCBPF = 51
	soAttachReuseportEBPF = 52
	solTCP                = 6
	tcpULP                = 31
	solUDP                = 17
	solUDPLite            = 136
	udpEncap              = 100
	solIPv6               = 41
	ipv6FlowLabelMgr      = 32

	allBits = 0xffffffff
)

// rule decides a call by its arguments: one of its cases that matches means then,
// none means the opposite.
type rule struct {
	then  bool // allow (true) or refuse (false) what matches
	cases []conds
}

// conds all hold in a case that matches.
type conds []cond

// cond holds if the low 32 bits of the argument, masked, equal one of the values.
type cond struct {
	arg    uint32
	mask   uint32
	values []uint32
}

func is(arg uint32, values ...uint32) cond { return cond{arg, allBits, values} }

func masked(arg, mask uint32, values ...uint32) cond { return cond{arg, mask, values} }

// A protocol is named by family, type and number, because the kernel loads modules
// on demand for those it does not have: SCTP, DCCP, MPTCP, UDP-Lite and raw sockets
// are out of reach, as is every other family (netlink, packet, vsock, alg, ...).
var (
	unixSocket = conds{
		is(0, afUnix),
		masked(1, sockTypeMask, sockStream, sockDgram, sockSeqpacket),
		is(2, protoDefault, protoUnix),
	}
	inetSocket = conds{
		is(0, afInet, afInet6),
		masked(1, sockTypeMask, sockStream, sockDgram),
		is(2, protoDefault, protoTCP, protoUDP),
	}
)

// rules has the rule of every call whose verdict is inspect.
var rules = map[string]rule{
	"socket":     {then: true, cases: []conds{unixSocket, inetSocket}},
	"socketpair": {then: true, cases: []conds{unixSocket}},

	"clone": {then: true, cases: []conds{{masked(0, cloneNamespaces, 0)}}},

	// moby's five: Linux and Linux on 32 bits, both also with UNAME26, and the
	// question for the current one.
	"personality": {then: true, cases: []conds{{is(0, 0x0, 0x8, 0x20000, 0x20008, 0xffffffff)}}},

	// All processes of a sandbox, its supervisor included, have one user, who may
	// lower the limits, the priority and the share of any of them. Here each
	// process does so for itself alone (and a group for itself, which the
	// supervisor is in no program's).
	"prlimit64":          {then: true, cases: []conds{{is(0, self)}}},
	"setpriority":        {then: true, cases: []conds{{is(0, prioProcess, prioGroup), is(1, self)}}},
	"ioprio_set":         {then: true, cases: []conds{{is(0, ioprioProcess, ioprioGroup), is(1, self)}}},
	"sched_setaffinity":  {then: true, cases: []conds{{is(0, self)}}},
	"sched_setattr":      {then: true, cases: []conds{{is(0, self)}}},
	"sched_setparam":     {then: true, cases: []conds{{is(0, self)}}},
	"sched_setscheduler": {then: true, cases: []conds{{is(0, self)}}},

	// No filter on top of this one: some ten thousand of them, each cheap, stop
	// the kernel's own work on them. The same goes for socket filters below. And no
	// group of tasks that may share a core: its other half then idles, which is
	// everybody's.
	"prctl": {then: false, cases: []conds{{is(0, prSetSeccomp, prSchedCore)}}},

	// Huge pages come from the machine's own reserve, which the limit on memory
	// does not count.
	"mmap":         {then: true, cases: []conds{{masked(3, mapHugeTLB, 0)}}},
	"memfd_create": {then: true, cases: []conds{{masked(1, mfdHugeTLB, 0)}}},
	"shmget":       {then: true, cases: []conds{{masked(2, shmHugeTLB, 0)}}},

	// What tells a process that another one opens a file or changes a folder: the
	// system's are the host's and every other sandbox's, too.
	"fcntl": {then: false, cases: []conds{{is(1, fSetLease, fNotify, fSetDeleg)}}},

	"ioctl": {then: false, cases: []conds{
		// Typing into a terminal that somebody else reads, and loading a line
		// discipline into the kernel. What follows asks a socket of any family for
		// bridges, frame relay and VLANs, whose modules the kernel loads before it
		// looks for a right.
		{is(1, tiocsti, tioclinux, tiocsetd,
			siocGIfBr, siocSIfBr, siocAddDLCI, siocDelDLCI, siocGIfVLAN, siocSIfVLAN, siocBrAddBr, siocBrDelBr)},
	}},

	"setsockopt": {then: false, cases: []conds{
		{is(1, solSocket), is(2, soAttachFilter, soLockFilter, soAttachBPF, soAttachReuseportCBPF, soAttachReuseportEBPF)},
		// Upper layers (kernel TLS, SMC, espintcp) are modules loaded on demand.
		{is(1, solTCP), is(2, tcpULP)},
		// Leads into IPsec and L2TP. UDP takes its options at UDP-Lite's level, too.
		{is(1, solUDP, solUDPLite), is(2, udpEncap)},
		// A flow label can outlive its process, in the network that the next sandbox
		// may get.
		{is(1, solIPv6), is(2, ipv6FlowLabelMgr)},
	}},
}
