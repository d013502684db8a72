package conformance_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

// mutant is one promise broken: an adapter that keeps all the others, and the
// case of its suite that must notice.
type mutant[P any] struct {
	name      string
	noticedBy string // topic/case
	// wrap breaks an adapter; it is called for each one that a case makes.
	wrap func(P) P
}

// mutantVar names, in the environment of a child process, the mutant that
// TestMutant gives to its suite.
const mutantVar = "CONFORMANCE_MUTANT"

// TestMutant is the child of TestSuitesNotice, and nothing without that.
func TestMutant(t *testing.T) {
	name := os.Getenv(mutantVar)
	port, name, _ := strings.Cut(name, ": ")
	switch port {
	case "":
	case "store":
		conformance.Store(t, storeHarness(find(t, storeMutants, name).wrap))
	case "queue":
		conformance.Queue(t, queueHarness(find(t, queueMutants, name).wrap))
	case "log sink":
		conformance.LogSink(t, logHarness(find(t, logMutants, name).wrap))
	case "event bus":
		conformance.EventBus(t, busHarness(find(t, busMutants, name).wrap))
	default:
		require.FailNow(t, "no such port", port)
	}
}

func find[P any](t *testing.T, mutants []mutant[P], name string) mutant[P] {
	for _, m := range mutants {
		if m.name == name {
			return m
		}
	}
	require.FailNow(t, "no such mutant", name)
	panic("unreachable")
}

func TestSuitesNotice(t *testing.T) {
	notice(t, "store", storeMutants)
	notice(t, "queue", queueMutants)
	notice(t, "log sink", logMutants)
	notice(t, "event bus", busMutants)
}

// notice runs, for every mutant, the case that must notice it in a process of its
// own and demands that it fails.
func notice[P any](t *testing.T, port string, mutants []mutant[P]) {
	t.Run(port, func(t *testing.T) {
		for _, m := range mutants {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				pattern := "^TestMutant$"
				for part := range strings.SplitSeq(m.noticedBy, "/") {
					pattern += "/^" + regexp.QuoteMeta(strings.ReplaceAll(part, " ", "_")) + "$"
				}
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.timeout=1m")
				cmd.Env = append(os.Environ(), mutantVar+"="+port+": "+m.name)
				out, err := cmd.CombinedOutput()
				_, failed := errors.AsType[*exec.ExitError](err)
				require.True(t, failed, "the suite did not notice: %v\n%s", err, out)
				require.Contains(t, string(out), "--- FAIL: TestMutant/"+strings.ReplaceAll(m.noticedBy, " ", "_"), "it failed otherwise")
			})
		}
	})
}

// The suites accept what the mutants are made of.
func TestSuitesAcceptMemory(t *testing.T) {
	t.Run("store", func(t *testing.T) { conformance.Store(t, storeHarness(nil)) })
	t.Run("queue", func(t *testing.T) { conformance.Queue(t, queueHarness(nil)) })
	t.Run("queue with a clock to be moved", func(t *testing.T) {
		h := queueHarness(nil)
		h.Advance = func(_ *testing.T, _ ports.Queue, d time.Duration) { <-time.After(d) } // by the bubble's clock
		conformance.Queue(t, h)
	})
	t.Run("log sink", func(t *testing.T) { conformance.LogSink(t, logHarness(nil)) })
	t.Run("event bus", func(t *testing.T) { conformance.EventBus(t, busHarness(nil)) })
}

// maker returns a harness's New for what is made by f and broken by wrap.
func maker[P any](f func() P, wrap func(P) P) func(*testing.T) P {
	return func(*testing.T) P {
		if wrap == nil {
			return f()
		}
		return wrap(f())
	}
}

func storeHarness(wrap func(ports.Store) ports.Store) conformance.StoreHarness {
	return conformance.StoreHarness{
		New:    maker(func() ports.Store { return memory.NewStore() }, wrap),
		Full:   maker(func() ports.Store { return memory.NewStore(memory.WithMaxTasks(10)) }, wrap),
		Bubble: true,
	}
}

func queueHarness(wrap func(ports.Queue) ports.Queue) conformance.QueueHarness {
	return conformance.QueueHarness{
		New:    maker(func() ports.Queue { return memory.NewQueue() }, wrap),
		Full:   maker(func() ports.Queue { return memory.NewQueue(memory.WithMaxQueueEntries(10)) }, wrap),
		Bubble: true,
	}
}

func logHarness(wrap func(ports.LogSink) ports.LogSink) conformance.LogSinkHarness {
	return conformance.LogSinkHarness{
		New:    maker(func() ports.LogSink { return memory.NewLogSink() }, wrap),
		Full:   maker(func() ports.LogSink { return memory.NewLogSink(memory.WithMaxLogBytes(1 << 18)) }, wrap),
		Bubble: true,
	}
}

func busHarness(wrap func(ports.EventBus) ports.EventBus) conformance.EventBusHarness {
	return conformance.EventBusHarness{
		New:      maker(func() ports.EventBus { return memory.NewEventBus() }, wrap),
		Trimming: maker(func() ports.EventBus { return memory.NewEventBus(memory.WithMaxTopicEvents(20)) }, wrap),
		Full:     maker(func() ports.EventBus { return memory.NewEventBus(memory.WithMaxEventBytes(1 << 16)) }, wrap),
		Bubble:   true,
	}
}
