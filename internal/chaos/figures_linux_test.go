package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// figures are what the scenarios came to.
var figures summary

type summary struct {
	mu    sync.Mutex
	lines []figure
	tears map[*world]int
}

type figure struct {
	name                          string
	tasks, attempts, faults, torn int
	recoveries                    []time.Duration
	took                          time.Duration
}

// torn notes that a log is not whole, as the record says.
func (s *summary) torn(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tears == nil {
		s.tears = map[*world]int{}
	}
	s.tears[w]++
}

// add adds a scenario.
func (s *summary) add(w *world) {
	if w.t.Failed() {
		return
	}
	f := figure{
		name: w.t.Name(), tasks: len(w.tasks), attempts: len(w.runs()), faults: w.faults,
		recoveries: w.recoveries(), took: time.Since(w.began),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.torn = s.tears[w]
	s.lines = append(s.lines, f)
	w.t.Logf("%d tasks, %d runs, %d faults in %s", f.tasks, f.attempts, f.faults, f.took.Round(time.Millisecond))
}

// recoveries returns how long it took until the tasks that ran on a worker when it was
// killed ran elsewhere.
func (w *world) recoveries() (took []time.Duration) {
	last := map[string]note{}
	for _, n := range w.runs() {
		if before, ok := last[string(n.Task)]; ok {
			if p := w.killed[before.Worker]; !p.IsZero() && p.After(before.At) && n.At.After(p) {
				took = append(took, n.At.Sub(p))
			}
		}
		last[string(n.Task)] = n
	}
	slices.Sort(took)
	return took
}

// table returns all figures for people.
func (s *summary) table() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 {
		return ""
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "scenario\ttasks\truns\tfaults\tlost\tdoubled\ttorn logs\trecovery p50\tmax\tseconds\t")
	for _, f := range s.lines {
		p50, most := "-", "-"
		if n := len(f.recoveries); n > 0 {
			p50 = f.recoveries[n/2].Round(time.Millisecond).String()
			most = f.recoveries[n-1].Round(time.Millisecond).String()
		}
		// A scenario that lost or doubled anything has failed and is not here.
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t0\t0\t%d\t%s\t%s\t%.1f\t\n",
			f.name, f.tasks, f.attempts, f.faults, f.torn, p50, most, f.took.Seconds())
	}
	_ = t.Flush()
	return b.String()
}
