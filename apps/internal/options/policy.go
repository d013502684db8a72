package options

import (
	"strconv"

	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// Policy says what tasks may ask for. All processes of one system are to have the same.
type Policy struct {
	languages *[]string
	depth     *int
	network   *bool
	byDefault Limits
	atMost    Limits
}

// NewPolicy declares it, in groups of its own but for the first few settings.
func NewPolicy(s *settings.Set) Policy {
	def := taskrunner.DefaultPolicy()
	p := Policy{}
	p.languages = settings.Var(s, "allowed-languages", "NAMES", "", "languages that tasks may use, separated by commas", settings.Names)
	s.ShowDefault("allowed-languages", "all")
	p.depth = settings.Var(s, "queue-depth", "N", "", "how many tasks may wait in a queue before more are refused", settings.Count(1))
	s.ShowDefault("queue-depth", strconv.Itoa(def.QueueDepth))
	p.network = settings.Bool(s, "allow-network", "let tasks ask for a network; workers need --docker-network then")

	s.Group("Limits of tasks that name none")
	p.byDefault = NewLimits(s, "default-", def.Default)
	s.Group("The most that a task may ask for")
	p.atMost = NewLimits(s, "max-", def.Max)
	return p
}

// Policy returns what was given, for tasks of these queues.
func (p Policy) Policy(queues ...string) taskrunner.Policy {
	if len(queues) == 0 {
		queues = []string{ports.DefaultQueue}
	}
	return taskrunner.Policy{
		Default: p.byDefault.Limits(), Max: p.atMost.Limits(),
		Network: *p.network, Languages: *p.languages, QueueDepth: *p.depth, Queues: queues,
	}
}

// Network reports whether tasks may ask for a network.
func (p Policy) Network() bool { return *p.network }
