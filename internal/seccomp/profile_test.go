package seccomp

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// looser are the calls of which the profile allows more than the filter.
var looser = []string{"fcntl", "ioctl", "prctl", "seccomp", "setsockopt"}

// decoded is a profile as Docker's own code reads it, and its entries by call.
type decoded struct {
	moby.Seccomp
	entries map[string][]specs.LinuxSyscall
}

func decodeProfile(t testing.TB, goarch string) *decoded {
	t.Helper()
	text, err := Profile(goarch)
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	p := &decoded{entries: make(map[string][]specs.LinuxSyscall)}
	require.NoError(t, d.Decode(&p.Seccomp))
	require.Equal(t, specs.ActErrno, p.DefaultAction)
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			p.entries[name] = append(p.entries[name], s.LinuxSyscall)
		}
		for _, a := range s.Args {
			require.Equal(t, specs.OpMaskedEqual, a.Op, "the one that judge knows")
		}
	}
	return p
}

// judge says what the library makes of a call, in what a filter would return. Its
// comparisons are of 64 bits.
func (p *decoded) judge(t testing.TB, name string, args [6]uint64) uint32 {
	t.Helper()
	for _, s := range p.entries[name] {
		if slices.ContainsFunc(s.Args, func(a specs.LinuxSeccompArg) bool { return args[a.Index]&a.Value != a.ValueTwo }) {
			continue
		}
		if s.Action == specs.ActAllow {
			return retAllow
		}
		require.Equal(t, specs.ActErrno, s.Action)
		require.NotNil(t, s.ErrnoRet)
		return retErrno | uint32(*s.ErrnoRet)
	}
	return retEPERM
}

// agree checks that the profile says what the filter says, or allows what is in looser.
func agree(t testing.TB, p *decoded, c call, args [6]uint64) {
	t.Helper()
	want, got := model(c.name, c.verdict, args), p.judge(t, c.name, args)
	if want != got {
		assert.Contains(t, looser, c.name, "%#x", args)
		assert.Equal(t, uint32(retAllow), got, "%s %#x: it is never stricter", c.name, args)
	}
}

func TestTheProfileSaysWhatTheFilterSaysButForAFewCalls(t *testing.T) {
	t.Parallel()
	for goarch, m := range machines {
		t.Run(goarch, func(t *testing.T) {
			t.Parallel()
			p := decodeProfile(t, goarch)
			differ := map[string]bool{}
			// The values that the rules know, and the same with a high half, in every
			// place.
			values := []uint64{0, 1, 2, 3, 5, 6, 8, 10, 16, 17, 22, 26, 31, 32, 41, 62, 100, 136, 1024, 1026, 1040,
				0x5412, 0x8940, 0x8983, 0x800, 0x20000, 0x20008, 0x40000, 0xffffffff, 1<<64 - 1}
			for _, v := range slices.Clone(values) {
				values = append(values, v|1<<32)
			}
			for _, c := range m.calls {
				if c.verdict == inspect || c.name == "seccomp" {
					for _, a := range values {
						for _, b := range values {
							for _, args := range [][6]uint64{{a, b}, {a, 1, b}, {a, 2, b}, {3, a, b}, {0, 0, a, b}} {
								agree(t, p, c, args)
								if p.judge(t, c.name, args) != model(c.name, c.verdict, args) {
									differ[c.name] = true
								}
							}
						}
					}
					continue
				}
				agree(t, p, c, [6]uint64{})
				agree(t, p, c, [6]uint64{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1})
			}
			var names []string
			for name := range differ {
				names = append(names, name)
			}
			assert.ElementsMatch(t, looser, names)
		})
	}
}

func FuzzTheProfileIsNeverStricterThanTheFilter(f *testing.F) {
	f.Add(41, uint64(2), uint64(1|0x80000), uint64(6), uint64(0))
	f.Add(0, uint64(2), uint64(5), uint64(1), uint64(0x40000))
	f.Add(317, uint64(1), uint64(1), uint64(0), uint64(0))
	profiles := make(map[string]*decoded)
	for goarch := range machines {
		profiles[goarch] = decodeProfile(f, goarch)
	}
	f.Fuzz(func(t *testing.T, i int, a0, a1, a2, a3 uint64) {
		for goarch, m := range machines {
			agree(t, profiles[goarch], m.calls[uint(i)%uint(len(m.calls))], [6]uint64{a0, a1, a2, a3})
		}
	})
}

// Of seccomp, only what the supervisor needs is let through: a filter, on all
// threads. A listener, for one, could answer calls in a process's stead.
func TestTheProfileLetsAFilterBeInstalled(t *testing.T) {
	t.Parallel()
	for goarch := range machines {
		p := decodeProfile(t, goarch)
		for name, c := range map[string]struct {
			args [6]uint64
			want uint32
		}{
			"a filter on all threads":         {[6]uint64{1, 1}, retAllow},
			"strict mode":                     {[6]uint64{0, 0}, retEPERM},
			"a filter on one thread":          {[6]uint64{1, 0}, retEPERM},
			"a filter with a listener":        {[6]uint64{1, 8}, retEPERM},
			"a filter without mitigations":    {[6]uint64{1, 1 | 4}, retEPERM},
			"a question for what there is":    {[6]uint64{2, 0}, retEPERM},
			"a question for the sizes":        {[6]uint64{3, 0}, retEPERM},
			"an operation that will come":     {[6]uint64{4, 1}, retEPERM},
			"a filter with a high half of it": {[6]uint64{1 | 1<<32, 1}, retAllow}, // unsigned int to the kernel
		} {
			assert.Equal(t, c.want, p.judge(t, "seccomp", c.args), "%s: %s", goarch, name)
		}
	}
}

// The oldest engine that is supported ignores what it does not know, which would be
// a rule that does not hold.
func TestTheProfileUsesOnlyWhatOldEnginesKnow(t *testing.T) {
	t.Parallel()
	// As Docker Engine 20.10 declares it, less what is conditional.
	type argument struct {
		Index    uint   `json:"index"`
		Value    uint64 `json:"value"`
		ValueTwo uint64 `json:"valueTwo"`
		Op       string `json:"op"`
	}
	type old struct {
		DefaultAction string   `json:"defaultAction"`
		Architectures []string `json:"architectures"`
		Syscalls      []struct {
			Names    []string   `json:"names"`
			Action   string     `json:"action"`
			ErrnoRet *uint      `json:"errnoRet"`
			Args     []argument `json:"args"`
		} `json:"syscalls"`
	}
	for goarch, arch := range map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64} {
		text, err := Profile(goarch)
		require.NoError(t, err)
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		var p old
		require.NoError(t, d.Decode(&p))
		assert.Equal(t, []string{string(arch)}, p.Architectures, "and none of 32 bits")
		assert.Less(t, len(text), 8<<10, "every container is made with it")
	}
}

// The runtime makes one rule of each comparison where two are of the same argument:
// "both" would become "either".
func TestNoEntryComparesAnArgumentTwice(t *testing.T) {
	t.Parallel()
	for goarch := range machines {
		for _, s := range decodeProfile(t, goarch).Syscalls {
			seen := map[uint]bool{}
			for _, a := range s.Args {
				assert.False(t, seen[a.Index], "%s: %v", goarch, s.Names)
				seen[a.Index] = true
			}
		}
	}
}

func TestProfileRefusesAnArchitectureWithoutATable(t *testing.T) {
	t.Parallel()
	_, err := Profile("riscv64")
	assert.ErrorContains(t, err, "no system call policy")
}
