package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// languages are named by the absolute paths of Debian's packages.
var languages = []taskrunner.Language{
	{Name: "python", Source: "main.py", Run: []string{"/usr/bin/python3", ports.EntrypointArg}},
	{Name: "bash", Source: "main.sh", Run: []string{"/bin/bash", ports.EntrypointArg}},
}

// program is what a task runs, and what must come of it.
type program struct {
	kind, language, code string
	stdout               string
	exit                 int
	// cancelled says that the task is cancelled when it runs, or early: at once. It
	// does not end by itself.
	cancelled, early bool
	// queue is where it waits, if not in the default one.
	queue string
}

// The kinds of programs.
var (
	hello  = program{kind: "hello", language: "python", code: "print('hello')", stdout: "hello\n"}
	exit3  = program{kind: "exit 3", language: "bash", code: "echo bye; exit 3", stdout: "bye\n", exit: 3}
	flood  = program{kind: "flood", language: "python", code: "print(''.join(f'line {i:06d}\\n' for i in range(25000)), end='')", stdout: lines(25000)}
	forker = program{
		kind: "forker", language: "bash", stdout: "forked\n",
		code: "sleep 600 & (sleep 600 & sleep 600 &) ; setsid sleep 600 & echo forked",
	}
	endless = program{kind: "cancelled", language: "bash", code: "echo begins; sleep 600", stdout: "begins\n", cancelled: true}
)

// sleeper takes so many seconds.
func sleeper(seconds float64) program {
	return program{
		kind: "sleeper", language: "bash", stdout: "begins\nends\n",
		code: fmt.Sprintf("echo begins; sleep %.2f; echo ends", seconds),
	}
}

// lines is what flood prints, 300 KB of it.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %06d\n", i)
	}
	return b.String()
}

// mixed returns n programs of all kinds in an order of chance. Their sleeps are what a
// task of an exercise takes.
func mixed(n int, longest float64) []program {
	mix := make([]program, n)
	for i := range mix {
		switch i % 8 {
		case 0, 1:
			mix[i] = hello
		case 2:
			mix[i] = exit3
		case 3:
			mix[i] = flood
		case 4:
			mix[i] = forker
		case 5:
			mix[i] = endless
			mix[i].early = rand.IntN(2) == 0
		default:
			mix[i] = sleeper(longest * (1 + 2*rand.Float64()) / 3)
		}
	}
	rand.Shuffle(n, func(i, j int) { mix[i], mix[j] = mix[j], mix[i] })
	return mix
}
