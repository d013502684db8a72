package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// figures are what all that was played came to.
var figures = summary{scenarios: map[string]*figure{}}

type summary struct {
	mu        sync.Mutex
	scenarios map[string]*figure // by the name of the test
}

// figure is what a scenario came to, in all the times it was played.
type figure struct {
	times, failed       int
	tasks, runs, faults int
	lost                int // tasks that were accepted and not seen at an end
	doubled             int // attempts that ran twice, and ends that changed
	torn                int // logs that are not whole, as the record says
	recoveries          []time.Duration
	took                time.Duration
}

func (f *figure) add(g figure) {
	f.times += g.times
	f.failed += g.failed
	f.tasks += g.tasks
	f.runs += g.runs
	f.faults += g.faults
	f.lost += g.lost
	f.doubled += g.doubled
	f.torn += g.torn
	f.recoveries = append(f.recoveries, g.recoveries...)
	f.took += g.took
}

// figure returns what the world has come to, however its test ends.
func (w *world) figure() figure {
	f := figure{
		times: 1, tasks: len(w.tasks), runs: len(w.runs()), faults: w.faults,
		doubled: len(w.twice()) + len(w.observer.changed), torn: w.torn,
		recoveries: w.recoveries(), took: time.Since(w.began),
	}
	if w.t.Failed() {
		f.failed = 1
	}
	for _, k := range w.tasks {
		if !w.observer.known[k.id].Status.Terminal() {
			f.lost++
		}
	}
	return f
}

// twice returns the attempts that ran more than once.
func (w *world) twice() (attempts []string) {
	ran := map[string]int{}
	for _, n := range w.runs() {
		attempt := fmt.Sprintf("attempt %d of %s", n.Attempt, n.Task)
		if ran[attempt]++; ran[attempt] == 2 {
			attempts = append(attempts, attempt)
		}
	}
	return attempts
}

// recoveries returns how long it took until the tasks that ran on a worker when it was
// killed ran elsewhere.
func (w *world) recoveries() (took []time.Duration) {
	last := map[ports.TaskID]note{}
	for _, n := range w.runs() {
		if before, ok := last[n.Task]; ok {
			if p := w.killed[before.Worker]; !p.IsZero() && p.After(before.At) && n.At.After(p) {
				took = append(took, n.At.Sub(p))
			}
		}
		last[n.Task] = n
	}
	return took
}

// add adds a world, which has come to its end.
func (s *summary) add(w *world) {
	f := w.figure()
	w.t.Logf("%d tasks, %d runs, %d faults in %s", f.tasks, f.runs, f.faults, f.took.Round(time.Millisecond))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scenarios[w.t.Name()] == nil {
		s.scenarios[w.t.Name()] = new(figure)
	}
	s.scenarios[w.t.Name()].add(f)
}

// table returns all figures for people.
func (s *summary) table() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.scenarios) == 0 {
		return ""
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "scenario\ttimes\tfailed\ttasks\truns\tfaults\tlost\tdoubled\ttorn logs\trecovery p50\tmax\tseconds\t")
	var all figure
	for _, name := range slices.Sorted(maps.Keys(s.scenarios)) {
		f := *s.scenarios[name]
		_, _ = fmt.Fprintln(t, f.line(name))
		f.recoveries = nil // leases differ
		all.add(f)
	}
	_, _ = fmt.Fprintln(t, all.line("all"))
	_ = t.Flush()
	return b.String()
}

func (f figure) line(name string) string {
	p50, most := "-", "-"
	if n := len(f.recoveries); n > 0 {
		slices.Sort(f.recoveries)
		p50 = f.recoveries[n/2].Round(time.Millisecond).String()
		most = f.recoveries[n-1].Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%.1f\t",
		name, f.times, f.failed, f.tasks, f.runs, f.faults, f.lost, f.doubled, f.torn, p50, most, f.took.Seconds())
}
