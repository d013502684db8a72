package seccomp

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
)

// Profile returns the policy for programs of the architecture goarch ("amd64" or
// "arm64") as a seccomp profile in JSON, for engines that make containers: Docker's
// format, of which only what Docker Engine 20.10 knows as well is used. It is safe
// for concurrent use.
//
// It is the coarser one of two walls, since the library that engines turn profiles
// into filters with cannot say everything. It allows whatever Filter allows, and
// besides:
//
//   - all of fcntl, ioctl, prctl and setsockopt. A profile of calls that are allowed
//     cannot refuse some arguments of one: the library takes no refusal beside an
//     allowance, and no "neither this nor that" of one argument.
//   - seccomp, to install a filter on all threads: whatever the container starts
//     with puts Filter on top of this profile, and Filter then refuses it.
//
// A call that both refuse gets the errno of Filter, which is the filter installed
// last. The calls of 32 bits and of x32 are of architectures that the profile does
// not name: they kill the calling thread, where Filter kills the process for the
// former and answers ENOSYS to the latter.
func Profile(goarch string) ([]byte, error) {
	m, ok := machines[goarch]
	if !ok {
		return nil, fmt.Errorf("no system call policy for architecture %q", goarch)
	}
	p := profile{DefaultAction: actErrno, Architectures: []string{m.scmp}}
	for _, c := range m.calls {
		switch c.verdict {
		case allow:
			p.add(c.name, entry{Action: actAllow})
		case absent:
			p.add(c.name, entry{Action: actErrno, Errno: errnoENOSYS})
		case inspect:
			for _, e := range rules[c.name].entries() {
				p.add(c.name, e)
			}
		}
	}
	p.add("seccomp", entry{Action: actAllow, Args: []arg{equal(0, seccompSetModeFilter), equal(1, seccompTSync)}})
	return json.Marshal(p)
}

// profile is Docker's format, as far as it is used here. Whatever matches no entry
// gets DefaultAction, with EPERM.
type profile struct {
	DefaultAction string   `json:"defaultAction"`
	Architectures []string `json:"architectures"`
	Entries       []entry  `json:"syscalls"`
}

// entry decides the calls that it names, if all of Args hold.
type entry struct {
	Names  []string `json:"names"`
	Action string   `json:"action"`
	Errno  uint     `json:"errnoRet,omitempty"`
	Args   []arg    `json:"args,omitempty"`
}

// arg holds if the argument, masked, equals Want. Its comparison is of all 64 bits.
type arg struct {
	Index uint   `json:"index"`
	Mask  uint64 `json:"value"`
	Want  uint64 `json:"valueTwo"`
	Op    string `json:"op"`
}

const (
	actAllow    = "SCMP_ACT_ALLOW"
	actErrno    = "SCMP_ACT_ERRNO"
	opMasked    = "SCMP_CMP_MASKED_EQ"
	errnoENOSYS = 38

	seccompSetModeFilter = 1
	seccompTSync         = 1
)

func equal(index, value uint32) arg { return maskedArg(index, allBits, value) }

func maskedArg(index, mask, value uint32) arg {
	return arg{Index: uint(index), Mask: uint64(mask), Want: uint64(value), Op: opMasked}
}

// add adds the call to the entry that decides the same, or as a new one.
func (p *profile) add(name string, e entry) {
	i := slices.IndexFunc(p.Entries, func(o entry) bool {
		return o.Action == e.Action && o.Errno == e.Errno && slices.Equal(o.Args, e.Args)
	})
	if i < 0 {
		i = len(p.Entries)
		p.Entries = append(p.Entries, e)
	}
	p.Entries[i].Names = append(p.Entries[i].Names, name)
}

// entries returns what allows the calls that the rule allows: one entry for each
// choice of its conditions' values. A rule of what is refused allows all.
func (r rule) entries() []entry {
	if !r.then {
		return []entry{{Action: actAllow}}
	}
	var all []entry
	for _, c := range r.cases {
		choices := []entry{{Action: actAllow}}
		for _, cond := range c {
			var longer []entry
			for _, e := range choices {
				for _, a := range cond.args() {
					longer = append(longer, entry{Action: actAllow, Args: append(slices.Clip(e.Args), a)})
				}
			}
			choices = longer
		}
		all = append(all, choices...)
	}
	return all
}

// args returns the condition as comparisons, one of which holds if it does. Two
// values that differ in one bit are one comparison without that bit: choices
// multiply, and every container is made with the whole text.
func (c cond) args() []arg {
	var args []arg
	for _, v := range c.values {
		args = append(args, maskedArg(c.arg, c.mask, v))
	}
	for i := 0; i < len(args); i++ {
		j := slices.IndexFunc(args, func(b arg) bool {
			return b.Mask == args[i].Mask && bits.OnesCount64(b.Want^args[i].Want) == 1
		})
		if j < 0 {
			continue
		}
		differ := args[i].Want ^ args[j].Want
		args[i].Mask &^= differ
		args[i].Want &^= differ
		args = slices.Delete(args, j, j+1)
		i = -1 // there may be more of them now
	}
	return args
}
