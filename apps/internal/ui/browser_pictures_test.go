package ui_test

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

// performance is what Python's sample does, up to a tenth of its time, without its time.
func performance(from, to int) (steps []fakes.Step) {
	if from == 1 {
		steps = append(steps, fakes.Stdout("\x1b[1mHello, world!\x1b[0m Following numbers down to 1 ...\n"))
	}
	for i := from; i <= to; i++ {
		line := fmt.Sprintf("\x1b[32m%s\x1b[0m%s %9d numbers, the longest way: %d steps from %d\n",
			strings.Repeat("█", i), strings.Repeat("░", 10-i), i*170_000, 300+i*8, i*97_651)
		steps = append(steps, fakes.Stdout(line))
		for j := range 2 {
			at := float64(2*i + j - 1)
			steps = append(steps, fakes.Sample(ports.Sample{
				At: time.Duration(at * float64(100*time.Millisecond)), CPU: 0.93 + 0.06*math.Sin(at*1.7), Memory: 9<<20 + int64(at*2.6*(1<<20)),
			}))
		}
	}
	return steps
}

// draw writes a picture of what the tab shows.
func draw(b *tab, folder, name string) {
	b.t.Helper()
	eval[bool](b, `document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))`)
	shot, err := run(b, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	picture, err := png.Decode(bytes.NewReader(shot))
	require.NoError(b.t, err)
	var small bytes.Buffer
	require.NoError(b.t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, picture))
	assert.Less(b.t, small.Len(), 200_000, name)
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), small.Bytes(), 0o644))
}

func TestEveryPageHasItsPicture(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("TASKRUNNER_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	whole, half := performance(1, 10), append(performance(1, 6), fakes.Until(over))
	usage := ports.Usage{CPUTime: new(1940 * time.Millisecond), WallTime: new(2034 * time.Millisecond), PeakMemory: new(int64(63 << 20))}
	whole = append(whole, fakes.End(ports.Outcome{Cause: ports.CauseExit, Usage: usage}))
	fake := fakes.NewExecutor(whole...).
		Next(fakes.End(ports.Outcome{Cause: ports.CauseTimeout, Signal: "SIGKILL", Usage: usage})).
		Next(fakes.Stderr("Traceback (most recent call last):\n"), fakes.End(ports.Outcome{Cause: ports.CauseExit, ExitCode: 1, Usage: usage})).
		Next(fakes.End(ports.Outcome{Cause: ports.CauseOOM, Signal: "SIGKILL", Usage: usage})).
		Next(whole...).Next(whole...).
		Next(half...)
	s := before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr)
	python := taskrunner.BuiltinLanguages()[2]
	submit := func() string {
		r := s.do("POST", "/api/v1/tasks", js(map[string]any{"language": python.Name, "code": python.Sample}))
		require.Equal(t, 202, r.StatusCode, r.body)
		return "/tasks/" + decode[struct {
			ID string `json:"task_id"`
		}](t, r.body).ID
	}
	var finished string
	for range 5 {
		finished = submit()
		s.end(finished)
	}
	running := submit()

	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1600, 1000}, {"narrow", 390, 844}} {
		for _, theme := range []string{"light", "dark"} {
			name := func(page string) string { return page + "-" + size.name + "-" + theme }
			b := browse(s)
			b.excuse("404")
			b.size(size.width, size.height)
			b.prefer(theme)
			b.open("/")
			b.ready()
			draw(b, folder, name("empty"))
			b.click("#run")
			b.status("succeeded")
			b.there(`[data-chart="memory"] svg path`)
			eval[bool](b, `scrollTo({ top: innerWidth < 960 ? document.querySelector("#result").offsetTop - 60 : 0, behavior: "instant" }), document.activeElement.blur(), true`)
			draw(b, folder, name("run"))
			for page, path := range map[string]string{"running": running, "finished": finished, "tasks": "/tasks", "message": "/tasks/0199"} {
				b.open(path)
				if page == "running" {
					b.shows(stdout, "numbers")
				}
				if path == running || path == finished {
					b.there(`[data-chart="memory"] svg path`)
				}
				draw(b, folder, name(page))
			}
			gone := browse(away(t))
			gone.excuse("503")
			gone.size(size.width, size.height)
			gone.prefer(theme)
			gone.open("/")
			draw(gone, folder, name("away"))
		}
	}
}
