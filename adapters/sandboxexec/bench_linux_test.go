//go:build amd64 || arm64

package sandboxexec_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

const hello = "print('hi')\n"

// BenchmarkLatency runs a hello in the bare interpreter and in a sandbox from the
// pool, in turn, and reports the median of each in milliseconds and what the
// sandbox adds.
func BenchmarkLatency(b *testing.B) {
	bare, sandboxed := helloBare(b), helloSandboxed(b)
	var times [2][]time.Duration
	for b.Loop() {
		for i, run := range []func() error{bare, sandboxed} {
			start := time.Now()
			if err := run(); err != nil {
				b.Fatal(err)
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	ours, bares := median(times[1]), median(times[0])
	b.ReportMetric(milliseconds(bares), "bare-p50-ms")
	b.ReportMetric(milliseconds(ours), "sandbox-p50-ms")
	b.ReportMetric(milliseconds(ours-bares), "added-p50-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkThroughput runs rounds of hellos, two at a time, in the bare
// interpreter and in sandboxes, in turn, and reports each one's tasks per second
// and the median of the rounds' ratios. Every sandbox is used once: the
// figure includes making and removing them all.
func BenchmarkThroughput(b *testing.B) {
	const round, workers = 100, 2
	bare, sandboxed := helloBare(b), helloSandboxed(b)
	var ratios []float64
	var total [2]time.Duration
	for b.Loop() {
		var took [2]time.Duration
		for i, run := range []func() error{bare, sandboxed} {
			start := time.Now()
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for range round / workers {
						if err := run(); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			took[i] = time.Since(start)
			total[i] += took[i]
		}
		ratios = append(ratios, float64(took[0])/float64(took[1]))
	}
	done := float64(round * len(ratios))
	b.ReportMetric(done/total[0].Seconds(), "bare/s")
	b.ReportMetric(done/total[1].Seconds(), "sandbox/s")
	b.ReportMetric(median(ratios), "of-bare")
	b.ReportMetric(0, "ns/op")
}

func helloBare(b *testing.B) func() error {
	file := filepath.Join(b.TempDir(), "main.py")
	require.NoError(b, os.WriteFile(file, []byte(hello), 0o600))
	return func() error {
		cmd := exec.Command("/usr/bin/python3", file)
		cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
		out, err := cmd.Output()
		if err == nil && string(out) != "hi\n" {
			err = fmt.Errorf("printed %q", out)
		}
		return err
	}
}

func helloSandboxed(b *testing.B) func() error {
	x := newExecutor(b)
	b.Cleanup(func() { require.NoError(b, x.Close(b.Context())) })
	return func() error {
		job := newJob(python, hello)
		out := new(output)
		job.Stdout = out
		o, err := x.Run(b.Context(), job)
		if err == nil && (o.Cause != ports.CauseExit || out.String() != "hi\n") {
			err = fmt.Errorf("ended as %s, printed %q", o.Cause, out.String())
		}
		return err
	}
}

func median[T ~int64 | ~float64](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
