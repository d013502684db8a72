package seccomp

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

// data is struct seccomp_data.
type data struct {
	number uint32
	arch   uint32
	args   [6]uint64
}

// encode lays d out as the kernel does, with every 32-bit word in big endian,
// which is how bpf.VM loads words; the kernel loads them in the machine's order.
func (d data) encode() []byte {
	b := make([]byte, 64)
	binary.BigEndian.PutUint32(b[0:], d.number)
	binary.BigEndian.PutUint32(b[4:], d.arch)
	for i, v := range d.args {
		binary.BigEndian.PutUint32(b[16+8*i:], uint32(v))
		binary.BigEndian.PutUint32(b[20+8*i:], uint32(v>>32))
	}
	return b
}

// evaluate returns what the filter returns.
func evaluate(t testing.TB, vm *bpf.VM, d data) uint32 {
	t.Helper()
	got, err := vm.Run(d.encode())
	require.NoError(t, err)
	return uint32(got)
}

func newVM(t testing.TB, goarch string) *bpf.VM {
	t.Helper()
	raw, err := Filter(goarch)
	require.NoError(t, err)
	program, ok := bpf.Disassemble(raw)
	require.True(t, ok, "every instruction is known")
	vm, err := bpf.NewVM(program)
	require.NoError(t, err)
	return vm
}

// eachMachine runs test for the program of every architecture.
func eachMachine(t *testing.T, test func(t *testing.T, m machine, vm *bpf.VM)) {
	for goarch, m := range machines {
		t.Run(goarch, func(t *testing.T) {
			t.Parallel()
			test(t, m, newVM(t, goarch))
		})
	}
}

func TestEveryCallNumberGetsItsVerdict(t *testing.T) {
	t.Parallel()
	eachMachine(t, func(t *testing.T, m machine, vm *bpf.VM) {
		for number := range uint32(1024) {
			want := uint32(retENOSYS)
			for _, c := range m.calls {
				if c.number == number {
					want = model(c.name, c.verdict, [6]uint64{})
				}
			}
			got := evaluate(t, vm, data{number: number, arch: m.audit})
			assert.Equalf(t, want, got, "call %d", number)
		}
	})
}

func TestNumbersOutsideTheTableAreAbsent(t *testing.T) {
	t.Parallel()
	eachMachine(t, func(t *testing.T, m machine, vm *bpf.VM) {
		for _, number := range []uint32{1024, 0xf0000, 0x3fffffff, math.MaxInt32, math.MaxUint32} {
			assert.Equal(t, uint32(retENOSYS), evaluate(t, vm, data{number: number, arch: m.audit}), "%#x", number)
		}
		for number := range uint32(1024) {
			assert.Equal(t, uint32(retENOSYS), evaluate(t, vm, data{number: 0x40000000 | number, arch: m.audit}),
				"x32 call %d", number)
		}
	})
}

func TestForeignArchitecturesAreKilled(t *testing.T) {
	t.Parallel()
	foreign := map[string]uint32{
		"i386": 0x40000003, "arm": 0x40000028, "x86_64": 0xc000003e, "aarch64": 0xc00000b7,
		"aarch64 big endian": 0x800000b7, "riscv64": 0xc00000f3, "none": 0, "all bits": math.MaxUint32,
	}
	eachMachine(t, func(t *testing.T, m machine, vm *bpf.VM) {
		for name, audit := range foreign {
			if audit == m.audit {
				continue
			}
			for number := range uint32(600) {
				require.Equal(t, uint32(retKillProcess), evaluate(t, vm, data{number: number, arch: audit}), "%s %d", name, number)
			}
		}
	})
}

func TestFilterRefusesAnArchitectureWithoutATable(t *testing.T) {
	t.Parallel()
	for _, goarch := range []string{"", "386", "riscv64", "x86_64"} {
		_, err := Filter(goarch)
		assert.ErrorContains(t, err, "no system call policy", goarch)
	}
}

// The kernel runs the filter at calls that it cannot decide in advance, and once
// for every number when it is installed, which happens for every sandbox.
func TestProgramsStayShort(t *testing.T) {
	t.Parallel()
	for goarch := range machines {
		raw, err := Filter(goarch)
		require.NoError(t, err)
		t.Logf("%s: %d instructions", goarch, len(raw))
		assert.Less(t, len(raw), 256)
	}
}

func TestJumpsTooLongForBPFAreRefused(t *testing.T) {
	t.Parallel()
	var a assembler
	a.jumpIf(bpf.JumpEqual, 1, "far", "near")
	a.mark("near")
	for range math.MaxUint8 + 1 {
		a.load(offNumber)
	}
	a.ret("far", retAllow)
	_, err := a.assemble()
	assert.ErrorContains(t, err, "256 instructions long")

	var b assembler
	b.jumpIf(bpf.JumpEqual, 1, "nowhere", "nowhere")
	b.ret("end", retEPERM)
	_, err = b.assemble()
	assert.ErrorContains(t, err, `unknown label "nowhere"`)

	var c assembler
	c.mark("back")
	c.jumpIf(bpf.JumpEqual, 1, "back", "end")
	c.ret("end", retEPERM)
	_, err = c.assemble()
	assert.ErrorContains(t, err, "is -1 instructions long")
}
