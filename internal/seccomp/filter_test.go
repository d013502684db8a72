package seccomp

import (
	"encoding/binary"
	"fmt"
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

func newVM(t testing.TB, goarch string, hostNetwork bool) *bpf.VM {
	t.Helper()
	raw, err := Filter(goarch, hostNetwork)
	require.NoError(t, err)
	program, ok := bpf.Disassemble(raw)
	require.True(t, ok, "every instruction is known")
	vm, err := bpf.NewVM(program)
	require.NoError(t, err)
	return vm
}

// variant is one of the programs that Filter makes.
type variant struct {
	goarch      string
	hostNetwork bool
}

func (v variant) String() string { return fmt.Sprintf("%s/hostNetwork=%t", v.goarch, v.hostNetwork) }

var variants = []variant{{"amd64", false}, {"amd64", true}, {"arm64", false}, {"arm64", true}}

// eachVariant runs test for every program.
func eachVariant(t *testing.T, test func(t *testing.T, v variant, vm *bpf.VM)) {
	for _, v := range variants {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, v, newVM(t, v.goarch, v.hostNetwork))
		})
	}
}

func TestEveryCallNumberGetsItsVerdict(t *testing.T) {
	t.Parallel()
	eachVariant(t, func(t *testing.T, v variant, vm *bpf.VM) {
		m := machines[v.goarch]
		for number := range uint32(1024) {
			want := uint32(retENOSYS)
			for _, c := range m.calls {
				if c.number == number {
					want = model(c.name, c.verdict, v.hostNetwork, [6]uint64{})
				}
			}
			got := evaluate(t, vm, data{number: number, arch: m.audit})
			assert.Equalf(t, want, got, "call %d", number)
		}
	})
}

func TestNumbersOutsideTheTableAreAbsent(t *testing.T) {
	t.Parallel()
	eachVariant(t, func(t *testing.T, v variant, vm *bpf.VM) {
		audit := machines[v.goarch].audit
		for _, number := range []uint32{1024, 0xf0000, 0x3fffffff, math.MaxInt32, math.MaxUint32} {
			assert.Equal(t, uint32(retENOSYS), evaluate(t, vm, data{number: number, arch: audit}), "%#x", number)
		}
		for number := range uint32(1024) {
			assert.Equal(t, uint32(retENOSYS), evaluate(t, vm, data{number: 0x40000000 | number, arch: audit}),
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
	eachVariant(t, func(t *testing.T, v variant, vm *bpf.VM) {
		for name, audit := range foreign {
			if audit == machines[v.goarch].audit {
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
		_, err := Filter(goarch, false)
		assert.ErrorContains(t, err, "no system call policy", goarch)
	}
}

// The kernel runs the filter at calls that it cannot decide in advance, and once
// for every number when it is installed, which happens for every sandbox.
func TestProgramsStayShort(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		raw, err := Filter(v.goarch, v.hostNetwork)
		require.NoError(t, err)
		t.Logf("%s: %d instructions", v, len(raw))
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
