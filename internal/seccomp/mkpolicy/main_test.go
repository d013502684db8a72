//go:build linux

package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheTableIsWhatMkpolicyWrites(t *testing.T) {
	t.Parallel()
	want, err := render()
	require.NoError(t, err)
	got, err := os.ReadFile("../calls.go")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "calls.go is out of date: run go generate ./internal/seccomp")
}

// The numbers come from one module; those of another one must agree.
func TestCallNumbersAgreeWithXSys(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	require.NoError(t, err)
	constant := regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)$`)
	for goarch, info := range map[string]*arch.Info{"amd64": arch.X86_64, "arm64": arch.AARCH64} {
		numbers := make(map[int]bool)
		src, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+goarch+".go"))
		require.NoError(t, err)
		agreed := 0
		for _, m := range constant.FindAllStringSubmatch(string(src), -1) {
			number, err := strconv.Atoi(m[2])
			require.NoError(t, err)
			numbers[number] = true
			name, ok := info.SyscallNumbers[number]
			if !ok {
				continue // Newer than the table: absent.
			}
			if alias, ok := aliases[name]; ok {
				name = alias
			}
			assert.Equal(t, strings.ToLower(m[1]), name, "%s %d", goarch, number)
			agreed++
		}
		newest := slices.Max(slices.Collect(maps.Keys(numbers)))
		for number, name := range info.SyscallNumbers {
			if number <= newest && !of32Bits(number) {
				assert.True(t, numbers[number], "%s has no call %d, which is said to be %s", goarch, number, name)
			}
			assert.False(t, numbers[number] && of32Bits(number), "%s has a call %d, which is left out", goarch, number)
		}
		assert.Greater(t, agreed, 300, goarch)
	}
}

func TestRemovedCallsAreDeniedAndHiddenOnesAbsentWhateverMobyAllows(t *testing.T) {
	t.Parallel()
	var all []string
	want := map[string]string{"read": "allow"}
	for _, g := range removed {
		assert.NotEmpty(t, g.reason)
		all = append(all, g.calls...)
	}
	for _, g := range hidden {
		assert.NotEmpty(t, g.reason)
		all = append(all, g.calls...)
		for _, name := range g.calls {
			want[name] = "absent"
		}
	}
	generous := &moby.Seccomp{Syscalls: []*moby.Syscall{
		{LinuxSyscall: specs.LinuxSyscall{Names: append(all, "read"), Action: specs.ActAllow}},
	}}
	for _, goarch := range []string{"amd64", "arm64"} {
		verdicts, err := derive(generous, goarch)
		require.NoError(t, err)
		assert.Equal(t, want, verdicts)
	}
}

func TestRulesOfMobyThatAreNotUnderstoodStopTheGenerator(t *testing.T) {
	t.Parallel()
	tests := map[string]specs.LinuxSyscall{
		"an argument that no rule looks at": {
			Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 1, Op: specs.OpEqualTo}},
		},
		"an action other than allow and errno": {Names: []string{"read"}, Action: specs.ActTrace},
	}
	for name, syscall := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := derive(&moby.Seccomp{Syscalls: []*moby.Syscall{{LinuxSyscall: syscall}}}, "amd64")
			assert.ErrorContains(t, err, "read")
		})
	}
}

func TestRulesForOthersDoNotApply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		rule moby.Syscall
		want bool
	}{
		{"no condition", moby.Syscall{}, true},
		{"with a capability", moby.Syscall{Includes: &moby.Filter{Caps: []string{"CAP_SYS_ADMIN"}}}, false},
		{"without a capability", moby.Syscall{Excludes: &moby.Filter{Caps: []string{"CAP_SYS_ADMIN"}}}, true},
		{"on this architecture", moby.Syscall{Includes: &moby.Filter{Arches: []string{"arm64", "amd64"}}}, true},
		{"on another architecture", moby.Syscall{Includes: &moby.Filter{Arches: []string{"s390x"}}}, false},
		{"on any architecture but this", moby.Syscall{Excludes: &moby.Filter{Arches: []string{"amd64"}}}, false},
		{"from a kernel version on", moby.Syscall{Includes: &moby.Filter{MinKernel: &moby.KernelVersion{Kernel: 4, Major: 8}}}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, applies(&test.rule, "amd64"))
		})
	}
}

// The rule on personality repeats moby's values.
func TestPersonalitiesAreMobys(t *testing.T) {
	t.Parallel()
	var values []uint64
	for _, s := range moby.DefaultProfile().Syscalls {
		if len(s.Args) == 1 && len(s.Names) == 1 && s.Names[0] == "personality" {
			values = append(values, s.Args[0].Value)
		}
	}
	assert.Equal(t, []uint64{0x0, 0x8, 0x20000, 0x20008, 0xffffffff}, values)
}
