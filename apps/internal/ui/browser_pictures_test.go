package ui_test

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
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

// performance is what Python's sample does in so many tenths of its time, with a pause
// between any two looks at it.
func performance(tenths int, pause time.Duration) []fakes.Step {
	steps := []fakes.Step{fakes.Stdout("\x1b[1mHello, world!\x1b[0m Following numbers down to 1 ...\n")}
	for i := range tenths {
		i++
		line := fmt.Sprintf("\x1b[32m%s\x1b[0m%s %9d numbers, the longest way: %d steps from %d\n",
			strings.Repeat("█", i), strings.Repeat("░", 10-i), i*170_000, 300+i*8, i*97_651)
		steps = append(steps, fakes.Stdout(line))
		for j := range 2 {
			at := float64(2*i + j - 1)
			steps = append(steps, fakes.Sleep(pause), fakes.Sample(ports.Sample{
				At: time.Duration(at * float64(100*time.Millisecond)), CPU: 0.93 + 0.06*math.Sin(at*1.7), Memory: 9<<20 + int64(at*2.6*(1<<20)),
			}))
		}
	}
	return steps
}

// draw writes a picture of what the tab shows, if there is a folder for it.
func draw(b *tab, folder, name string) {
	b.t.Helper()
	b.do(chromedp.MouseEvent(chromedp.MouseMoved, 0, 0)) // it is over nothing
	eval[bool](b, `document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))`)
	shot, err := run(b, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	if folder == "" {
		return
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	require.NoError(b.t, err)
	var small bytes.Buffer
	require.NoError(b.t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, paletted(picture)))
	assert.Less(b.t, small.Len(), 300_000, name)
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), small.Bytes(), 0o644))
}

// paletted returns a picture of 256 colours, which is a third as large: the most frequent
// ones, and of all that are nearly alike at least one.
func paletted(picture image.Image) *image.Paletted {
	bounds := picture.Bounds()
	at := func(i int) color.RGBA {
		return color.RGBAModel.Convert(picture.At(i%bounds.Dx(), i/bounds.Dx())).(color.RGBA)
	}
	count := map[color.RGBA]int{}
	for i := range bounds.Dx() * bounds.Dy() {
		count[at(i)]++
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return cmp.Compare(count[b], count[a]) })
	var palette color.Palette
	taken := map[color.RGBA]bool{}
	for i, c := range colours {
		kind := color.RGBA{c.R >> 4, c.G >> 4, c.B >> 4, 0}
		if len(palette) < 256 && (i < 64 || !taken[kind]) {
			taken[kind] = true
			palette = append(palette, c)
		}
	}
	index := map[color.RGBA]uint8{}
	for _, c := range colours {
		index[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for i := range small.Pix {
		small.Pix[i] = index[at(i)]
	}
	return small
}

func TestEveryPageHasItsPicture(t *testing.T) {
	t.Parallel()
	type size struct {
		name          string
		width, height int64
	}
	wide, narrow := size{"wide", 1600, 1000}, size{"narrow", 390, 844}
	looks := []struct {
		size
		theme string
	}{{wide, "light"}, {narrow, "dark"}, {wide, "dark"}, {narrow, "light"}}
	pause := 100 * time.Millisecond // so that times and figures agree
	folder := os.Getenv("TASKRUNNER_SCREENSHOTS")
	if folder == "" {
		looks, pause = looks[:1], 0
	}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	whole, half := performance(10, pause), append(performance(6, pause), fakes.Until(over))
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
	running := submit(python)

	for _, look := range looks {
		name := func(page string) string { return page + "-" + look.name + "-" + look.theme }
		b, gone := browse(s), browse(away(t))
		b.excuse("404")
		gone.excuse("503")
		for _, b := range []*tab{b, gone} {
			b.size(look.width, look.height)
			b.prefer(look.theme)
			b.open("/")
		}
		draw(gone, folder, name("away"))
		b.ready()
		draw(b, folder, name("empty"))
		b.click("#run")
		b.status("succeeded")
		b.there(`[data-chart="memory"] svg path`)
		eval[bool](b, `document.activeElement.blur(), scrollTo({ top: innerWidth < 960 ? document.querySelector("#result").offsetTop - 60 : 0, behavior: "instant" }), true`)
		draw(b, folder, name("run"))
		for page, path := range map[string]string{"running": running, "finished": finished, "tasks": "/tasks", "message": "/tasks/0199"} {
			b.open(path)
			if path == running || path == finished {
				b.shows(stdout, "numbers")
				b.there(`[data-chart="memory"] svg path`)
			}
			draw(b, folder, name(page))
		}
	}
}
