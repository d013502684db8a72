package ui_test

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// progress is what Python's sample says after each tenth of its time.
var progress = []string{
	"  170,000 numbers, longest: 382 steps from 156,159",
	"  340,000 numbers, longest: 442 steps from 230,631",
	"  510,000 numbers, longest: 448 steps from 410,011",
	"  680,000 numbers, longest: 508 steps from 626,331",
	"  850,000 numbers, longest: 524 steps from 837,799",
	"1,020,000 numbers, longest: 524 steps from 837,799",
	"1,190,000 numbers, longest: 527 steps from 1,117,065",
	"1,360,000 numbers, longest: 527 steps from 1,117,065",
	"1,530,000 numbers, longest: 530 steps from 1,501,353",
	"1,700,000 numbers, longest: 530 steps from 1,501,353",
}

// performance is what Python's sample does, with a pause between any two looks at it.
func performance(pause time.Duration) []fakes.Step {
	steps := []fakes.Step{fakes.Stdout("\x1b[1mHello, world!\x1b[0m Following numbers down to 1 ...\n")}
	for i, line := range progress {
		i++
		steps = append(steps, fakes.Stdout("\x1b[32m"+strings.Repeat("█", i)+"\x1b[0m"+strings.Repeat("░", 10-i)+" "+line+"\n"))
		for j := range 2 {
			at := float64(2*i + j - 1)
			steps = append(steps, fakes.Sleep(pause), fakes.Sample(ports.Sample{
				At: time.Duration(at * float64(100*time.Millisecond)), CPU: 0.93 + 0.06*math.Sin(at*1.7), Memory: 9<<20 + int64(at*2.6*(1<<20)),
			}))
		}
	}
	return steps
}

// images is where the README's pictures are.
const images = "../../../docs/images"

// picture is one of the README's: a page, how large it is, and the theme.
type picture struct{ page, size, theme string }

func (p picture) name() string { return p.page + "-" + p.size + "-" + p.theme + ".png" }

var pictures = []picture{
	{"run", "wide", "light"}, {"finished", "wide", "light"}, {"tasks", "wide", "light"},
	{"run", "wide", "dark"}, {"finished", "wide", "dark"}, {"tasks", "wide", "dark"},
	{"run", "narrow", "light"}, {"run", "narrow", "dark"},
}

// draw returns a picture of what the tab shows.
func draw(b *tab) []byte {
	b.t.Helper()
	b.do(chromedp.MouseEvent(chromedp.MouseMoved, 0, 0)) // it is over nothing
	b.drawn()
	shot, err := run(b, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	return shot
}

// keep writes a picture as small as it can be with all of its colours.
func keep(t *testing.T, shot []byte, path string) {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(shot))
	require.NoError(t, err)
	var small bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, decoded))
	assert.Less(t, small.Len(), 300_000, path)
	require.NoError(t, os.WriteFile(path, small.Bytes(), 0o644))
}

func TestTheREADMEShowsThePicturesThatAreKept(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	var shown, kept, drawn []string
	for _, path := range regexp.MustCompile(`docs/images/([\w.-]+)`).FindAllSubmatch(readme, -1) {
		shown = append(shown, string(path[1]))
	}
	files, err := os.ReadDir(images)
	require.NoError(t, err)
	for _, file := range files {
		kept = append(kept, file.Name())
	}
	for _, p := range pictures {
		drawn = append(drawn, p.name())
	}
	assert.ElementsMatch(t, drawn, shown)
	assert.ElementsMatch(t, drawn, kept)
}

// TestThePicturesOfTheREADMEAreDrawn writes them if it is told where, and draws one of each
// page otherwise.
func TestThePicturesOfTheREADMEAreDrawn(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("TASKRUNNER_SCREENSHOTS")
	wanted, pause := pictures, 100*time.Millisecond // so that times and figures agree
	if folder == "" {
		wanted, pause = pictures[:3], 0
	}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	whole := performance(pause)
	half := append(slices.Clip(whole[:len(whole)/2]), fakes.Until(over))
	end := func(cause ports.Cause, exit int, cpu, wall time.Duration, memory int64) fakes.Step {
		return fakes.End(ports.Outcome{Cause: cause, ExitCode: exit, Usage: ports.Usage{CPUTime: &cpu, WallTime: &wall, PeakMemory: &memory}})
	}
	whole = append(whole, end(ports.CauseExit, 0, 1910*time.Millisecond, 1998*time.Millisecond, 63<<20))
	fake := fakes.NewExecutor(whole...).
		Next(end(ports.CauseTimeout, 0, 29_700*time.Millisecond, 30*time.Second, 42<<20)).
		Next(end(ports.CauseExit, 1, 19*time.Millisecond, 24*time.Millisecond, 9<<20)).
		Next(end(ports.CauseOOM, 0, 610*time.Millisecond, 655*time.Millisecond, 256<<20)).
		Next(end(ports.CauseExit, 0, 1310*time.Millisecond, 1702*time.Millisecond, 4<<20)).
		Next(whole...).
		Next(half...)
	s := before(t, "http://"+serveOn(t, taskrunner.Policy{}, fake).addr)
	submit := func(language taskrunner.Language) string {
		r := s.do("POST", "/api/v1/tasks", js(map[string]any{"language": language.Name, "code": language.Sample}))
		require.Equal(t, 202, r.StatusCode, r.body)
		return "/tasks/" + decode[struct {
			ID string `json:"task_id"`
		}](t, r.body).ID
	}
	languages := taskrunner.BuiltinLanguages()
	bash, javascript, python := languages[0], languages[1], languages[2]
	var finished string
	for _, language := range []taskrunner.Language{javascript, python, javascript, bash, python} {
		finished = submit(language)
		s.end(finished)
	}
	submit(python)

	b := browse(s)
	for _, p := range wanted {
		if b.size(1600, 1000); p.size == "narrow" {
			b.size(390, 844)
		}
		b.prefer(p.theme)
		b.open(map[string]string{"run": "/", "finished": finished, "tasks": "/tasks"}[p.page])
		b.ready()
		if p.page == "run" {
			b.click("#run")
			b.status("succeeded")
			eval[bool](b, `document.activeElement.blur(), scrollTo({ top: innerWidth < 960 ? document.querySelector("#result").offsetTop - 60 : 0, behavior: "instant" }), true`)
		}
		if p.page != "tasks" {
			b.shows(stdout, "numbers")
			b.there(`[data-chart="memory"] svg path`)
		}
		if shot := draw(b); folder != "" {
			keep(t, shot, filepath.Join(folder, p.name()))
		}
	}
}
