package dockerexec_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

const hello = "print('hi')\n"

// rival is one way to run a hello.
type rival struct {
	name string
	run  func(ctx context.Context) error
}

// BenchmarkLatency runs a hello in every way, in turn, and reports the median and the
// 99th percentile of each in milliseconds. The container that waits in the pool is
// replaced before the next turn begins.
func BenchmarkLatency(b *testing.B) {
	cli := testenv.Docker(b)
	python := testenv.Languages(b, cli).Python
	warm := openExecutor(b, cli, dockerexec.Config{Pull: dockerexec.PullNever, Pool: 1, Warm: []ports.Language{python}})
	cold := openExecutor(b, cli, dockerexec.Config{Pull: dockerexec.PullNever, Pool: -1})
	rivals := []rival{
		{"bare", bareHello(b)},
		{"docker-run", cliHello(python)},
		{"raw-api", rawHello(cli, python)},
		{"cold", executorHello(cold, python)},
		{"warm", executorHello(warm, python)},
	}
	times := make([][]time.Duration, len(rivals))
	for b.Loop() {
		for i, r := range rivals {
			settle(b, warm, 1)
			settle(b, cold, 0)
			start := time.Now()
			if err := r.run(b.Context()); err != nil {
				b.Fatal(r.name, err)
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	for i, r := range rivals {
		slices.Sort(times[i])
		b.ReportMetric(percentile(times[i], 50), r.name+"-p50-ms")
		b.ReportMetric(percentile(times[i], 99), r.name+"-p99-ms")
	}
	b.ReportMetric(percentile(times[4], 50)-percentile(times[0], 50), "warm-over-bare-p50-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkThroughput runs rounds of hellos, some at a time, by the engine's API and by
// the executor, in turn, and reports the tasks per second of both and their ratio. A
// round of the executor ends when its pool is full again, so that it pays for every
// container.
func BenchmarkThroughput(b *testing.B) {
	for _, workers := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("%d-at-a-time", workers), func(b *testing.B) {
			const round, pool = 160, 4
			cli := testenv.Docker(b)
			python := testenv.Languages(b, cli).Python
			x := openExecutor(b, cli, dockerexec.Config{Pull: dockerexec.PullNever, Pool: pool, Warm: []ports.Language{python}})
			settle(b, x, pool)
			raw, ours := rawHello(cli, python), executorHello(x, python)
			var took [2]time.Duration
			rounds := 0
			for b.Loop() {
				rounds++
				for i, run := range []func(context.Context) error{raw, ours} {
					start := time.Now()
					var wg sync.WaitGroup
					for range workers {
						wg.Go(func() {
							for range round / workers {
								if err := run(b.Context()); err != nil {
									b.Error(err)
								}
							}
						})
					}
					wg.Wait()
					settle(b, x, pool)
					took[i] += time.Since(start)
				}
			}
			done := float64(round * rounds)
			b.ReportMetric(done/took[0].Seconds(), "raw-api/s")
			b.ReportMetric(done/took[1].Seconds(), "dockerexec/s")
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "of-raw-api")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func openExecutor(b *testing.B, cli *client.Client, cfg dockerexec.Config) *dockerexec.Executor {
	x := newExecutor(b, cli, cfg)
	b.Cleanup(func() { require.NoError(b, x.Close(context.WithoutCancel(b.Context()))) })
	return x
}

// settle waits until so many containers are ready and there are no others.
func settle(b *testing.B, x *dockerexec.Executor, ready int) {
	b.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for range poll.C {
		if s := x.Stats(); s.Ready == ready && s.Alive == ready || b.Context().Err() != nil {
			return
		}
	}
}

func bareHello(b *testing.B) func(context.Context) error {
	file := filepath.Join(b.TempDir(), "main.py")
	require.NoError(b, os.WriteFile(file, []byte(hello), 0o600))
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "/usr/bin/python3", file)
		cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
		return greeting(cmd.Output())
	}
}

func cliHello(python ports.Language) func(context.Context) error {
	return func(ctx context.Context) error {
		return greeting(exec.CommandContext(ctx, "docker", "run", "--rm", "--network=none", python.Image, python.Run[0], "-c", hello).Output())
	}
}

// rawHello does by the API what has to be done and nothing else.
func rawHello(cli *client.Client, python ports.Language) func(context.Context) error {
	return func(ctx context.Context) error {
		made, err := cli.ContainerCreate(ctx, &container.Config{
			Image: python.Image, Cmd: []string{python.Run[0], "-c", hello}, AttachStdout: true, AttachStderr: true, NetworkDisabled: true,
		}, &container.HostConfig{NetworkMode: "none", LogConfig: container.LogConfig{Type: "none"}}, nil, nil, "")
		if err != nil {
			return err
		}
		attached, err := cli.ContainerAttach(ctx, made.ID, container.AttachOptions{Stream: true, Stdout: true, Stderr: true})
		if err != nil {
			return err
		}
		defer attached.Close()
		if err := cli.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
			return err
		}
		var out bytes.Buffer
		if _, err := stdcopy.StdCopy(&out, io.Discard, attached.Reader); err != nil {
			return err
		}
		if err := cli.ContainerRemove(ctx, made.ID, container.RemoveOptions{Force: true}); err != nil {
			return err
		}
		return greeting(out.Bytes(), nil)
	}
}

func executorHello(x *dockerexec.Executor, python ports.Language) func(context.Context) error {
	return func(ctx context.Context) error {
		var out bytes.Buffer
		_, err := x.Run(ctx, ports.Job{
			Task: "0192aa00-0000-7000-8000-000000000000", Attempt: 1, Language: python, Stdout: &out,
			Spec: ports.Spec{Language: python.Name, Code: hello, Limits: ports.Limits{
				CPU: 1, Memory: 256 << 20, Timeout: 30 * time.Second, PIDs: 64, Output: 1 << 20, Disk: 64 << 20,
			}},
		})
		return greeting(out.Bytes(), err)
	}
}

func greeting(out []byte, err error) error {
	if err == nil && string(out) != "hi\n" {
		err = fmt.Errorf("printed %q", out)
	}
	return err
}

// percentile returns the pth percentile of sorted times in milliseconds.
func percentile(sorted []time.Duration, p int) float64 {
	return float64(sorted[min(len(sorted)*p/100, len(sorted)-1)].Microseconds()) / 1000
}
