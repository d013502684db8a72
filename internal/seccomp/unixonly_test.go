package seccomp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

// unixOnly says what FilterUnixOnly must return: what Filter does, but for sockets of
// the Internet's families.
func unixOnly(name string, v verdict, args [6]uint64) uint32 {
	if family := int32(args[0]); name == "socket" && (family == 2 || family == 10) {
		return 0x00050001
	}
	return model(name, v, args)
}

func TestTheFilterForUnixSocketsAloneDiffersInNothingElse(t *testing.T) {
	t.Parallel()
	values := []uint64{0, 1, 2, 3, 5, 6, 10, 16, 17, 22, 26, 31, 100, 1024, 0x5412, 0x8940, 0x40000, 0x80001, 1<<64 - 1,
		1 << 32, 1 | 1<<32, 2 | 1<<32, 10 | 7<<32}
	for goarch, m := range machines {
		t.Run(goarch, func(t *testing.T) {
			t.Parallel()
			raw, err := FilterUnixOnly(goarch)
			require.NoError(t, err)
			assert.LessOrEqual(t, len(raw), 4096, "BPF_MAXINSNS")
			program, ok := bpf.Disassemble(raw)
			require.True(t, ok)
			vm, err := bpf.NewVM(program)
			require.NoError(t, err)
			usual, profile := newVM(t, goarch), decodeProfile(t, goarch)
			differ := 0
			for _, c := range m.calls {
				for _, a := range values {
					for _, b := range values {
						for _, args := range [][6]uint64{{a, b}, {a, 1, b}, {3, a, b}, {0, 0, a, b}} {
							d := data{number: c.number, arch: m.audit, args: args}
							got := evaluate(t, vm, d)
							want := unixOnly(c.name, c.verdict, args)
							if got != want {
								require.Equal(t, want, got, "%s %#x", c.name, args)
							}
							if got != evaluate(t, usual, d) {
								differ++
							}
							if got == retAllow && profile.judge(t, c.name, args) != retAllow {
								require.Fail(t, "the profile is stricter", "%s %#x", c.name, args)
							}
						}
						if c.verdict != inspect {
							break // no argument decides
						}
					}
				}
			}
			assert.NotZero(t, differ)
			assert.Equal(t, uint32(retKillProcess), evaluate(t, vm, data{number: 0, arch: m.audit + 1}))
			assert.Equal(t, uint32(retENOSYS), evaluate(t, vm, data{number: 1 << 20, arch: m.audit}))
		})
	}
	t.Run("of no architecture without a table", func(t *testing.T) {
		t.Parallel()
		_, err := FilterUnixOnly("riscv64")
		assert.ErrorContains(t, err, "no system call policy")
	})
}
