package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/ports"
)

// readersPlan says how much is measured of readers of streams.
type readersPlan struct {
	readers int
	tasks   int   // which they are spread over
	rates   []int // how many events a second each of them gets
	window  time.Duration
	idle    time.Duration // the longest wait for a collection of garbage while nothing happens
	posting time.Duration // how long tasks are submitted at each concurrency
}

// newReadersPlan is what is worth a figure; that takes some six minutes.
func newReadersPlan(readers int) readersPlan {
	return readersPlan{
		readers: readers, tasks: 100, rates: []int{1, 2, 4, 8, 16},
		window: 10 * time.Second, idle: 130 * time.Second, posting: 5 * time.Second,
	}
}

// A delivery is late when it takes longer than goalDelay, in milliseconds. Rates beyond
// the first at which one of a hundred is late are not measured.
const goalDelay = 100

// publish publishes an event of output to those who read a path. Its text is the time
// at which that was asked for.
type publish func(ctx context.Context, path, text string, offset int) error

// began is what clock counts from.
var began = time.Now()

func clock() time.Duration { return time.Since(began) }

// measureReaders prints what readers of streams get and cost, and what they leave to
// those who submit tasks. A backend that is not named is built.
func measureReaders(ctx context.Context, out io.Writer, p readersPlan, backend string) error {
	if p.readers%(2*p.tasks) != 0 {
		return fmt.Errorf("%d readers cannot be spread evenly over %d tasks, nor half of them: give a multiple of %d", p.readers, p.tasks, 2*p.tasks)
	}
	s, err := startStack(ctx, backend)
	if err != nil {
		return err
	}
	defer s.stop()
	client := redis.NewClient(&redis.Options{Addr: s.redis.addr})
	defer client.Close()
	bus, err := redisbus.New(ctx, client, redisbus.Config{})
	if err != nil {
		return err
	}
	defer bus.Close()
	fmt.Fprintf(out, "%s, %d cores, %s/%s, Redis %s. Everything is on this machine.\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, redisVersion(ctx, client))

	m := &readersBench{readersPlan: p, out: out, stack: s, redis: client, publish: publishOn(bus)}
	for _, step := range []func(context.Context) error{
		m.spread, m.fanOut, m.posts,
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("%w\nwhat the backend said last:\n%s", err, s.log)
		}
	}
	return nil
}

type readersBench struct {
	readersPlan
	out     io.Writer
	stack   *stack
	redis   *redis.Client
	publish publish
}

// spread measures readers of many tasks: what they cost, and what they get.
func (m *readersBench) spread(ctx context.Context) error {
	paths, err := m.submit(ctx, m.tasks)
	if err != nil {
		return err
	}
	before, err := m.metrics(ctx)
	if err != nil {
		return err
	}
	crowd, err := connect(ctx, m.stack.addr, paths, m.readers)
	if err != nil {
		return err
	}
	defer crowd.close()
	fmt.Fprintf(m.out, "\n| %d readers, each | resident | heap | stacks | of the system | descriptors | backend's cores |\n|---|--:|--:|--:|--:|--:|--:|\n", m.readers)
	connected, err := m.metrics(ctx)
	if err != nil {
		return err
	}
	m.printCost("connected", before, connected, 0)
	idle, err := m.untilCollected(ctx, connected)
	if err != nil {
		return err
	}
	m.printCost("and idle, garbage collected", before, idle, idle.cores(connected))

	ours, err := m.deliveries(ctx, crowd, paths, m.publish)
	if err != nil {
		return err
	}
	after, err := m.metrics(ctx)
	if err != nil {
		return err
	}
	m.printCost("and after all events", before, after, 0)
	crowd.close()
	return m.beside(ctx, fmt.Sprintf("%d readers of %d tasks", m.readers, m.tasks), paths, ours)
}

// fanOut measures readers of one task: every event goes to all of them at once.
func (m *readersBench) fanOut(ctx context.Context) error {
	paths, err := m.submit(ctx, 1)
	if err != nil {
		return err
	}
	crowd, err := connect(ctx, m.stack.addr, paths, m.readers)
	if err != nil {
		return err
	}
	defer crowd.close()
	ours, err := m.deliveries(ctx, crowd, paths, m.publish)
	if err != nil {
		return err
	}
	crowd.close()
	return m.beside(ctx, fmt.Sprintf("%d readers of one task", m.readers), paths, ours)
}

// beside measures the bare server at the same rates, and prints both.
func (m *readersBench) beside(ctx context.Context, title string, paths []string, ours []delivery) error {
	p, addr, err := startBare(ctx, m.stack.redis.addr)
	if err != nil {
		return err
	}
	defer p.stop()
	crowd, err := connect(ctx, addr, paths, m.readers)
	if err != nil {
		return err
	}
	defer crowd.close()
	all := *m
	all.rates = m.rates[:len(ours)]
	bare, err := all.deliveries(ctx, crowd, paths, publishBare(m.redis))
	if err != nil {
		return err
	}
	fmt.Fprintf(m.out, "\n| %s | deliveries/s | p50 | p99 | greatest | bare p50 | bare p99 | cores: backend | readers | load |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n", title)
	for i, d := range ours {
		floor50, floor99 := "-", "-"
		if i < len(bare) {
			floor50, floor99 = millis(bare[i].took.quantile(0.5)), millis(bare[i].took.quantile(0.99))
		}
		fmt.Fprintf(m.out, "| %d events/s each | %.0f | %s | %s | %s | %s | %s | %.2f | %.2f | %s |\n", d.rate, d.perSecond,
			millis(d.took.quantile(0.5)), millis(d.took.quantile(0.99)), millis(d.took.quantile(1)), floor50, floor99, d.cores, d.ownCores, d.load)
	}
	return nil
}

func millis(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }

// delivery is what was measured at one rate.
type delivery struct {
	rate            int
	perSecond       float64
	took            figures
	cores, ownCores float64 // of the backend, and of this process with its readers
	load            string
}

// deliveries measures one rate after the other, until one is too much.
func (m *readersBench) deliveries(ctx context.Context, c *crowd, paths []string, publish publish) ([]delivery, error) {
	var all []delivery
	for _, rate := range m.rates {
		events := rate * int(m.window/time.Second)
		c.begin(events * m.readers)
		before, err := m.metrics(ctx)
		if err != nil {
			return nil, err
		}
		begin, cpu := clock(), ownCPU()
		if err := flood(ctx, paths, publish, rate, events); err != nil {
			return nil, err
		}
		d := delivery{rate: rate, load: loadAverage()}
		if d.took, err = c.end(ctx, events*m.readers); err != nil {
			return nil, fmt.Errorf("at %d events a second for each of %d readers: %w", rate, m.readers, err)
		}
		d.ownCores = (ownCPU() - cpu).Seconds() / (clock() - begin).Seconds()
		d.perSecond = float64(len(d.took)) / (clock() - begin).Seconds()
		after, err := m.metrics(ctx)
		if err != nil {
			return nil, err
		}
		d.cores = after.cores(before)
		all = append(all, d)
		if d.took.quantile(0.99) > goalDelay {
			break
		}
	}
	return all, nil
}

// flood publishes so many events to each of the paths, at that many a second. Paths
// begin at random moments, so that their events do not come all together.
func flood(ctx context.Context, paths []string, publish publish, rate, events int) error {
	interval := time.Second / time.Duration(rate)
	g, ctx := errgroup.WithContext(ctx)
	for _, path := range paths {
		g.Go(func() error {
			next := clock() + rand.N(interval)
			timer := time.NewTimer(0)
			defer timer.Stop()
			for range events {
				timer.Reset(next - clock())
				select {
				case <-timer.C:
				case <-ctx.Done():
					return ctx.Err()
				}
				now := clock()
				if err := publish(ctx, path, strconv.FormatInt(int64(now), 10), int(now)); err != nil {
					return err
				}
				next += interval
			}
			return nil
		})
	}
	return g.Wait()
}

// publishOn publishes to a bus what a worker would.
func publishOn(bus ports.EventBus) publish {
	return func(ctx context.Context, path, text string, offset int) error {
		_, err := bus.Publish(ctx, ports.Event{
			Task: ports.TaskID(taskOf(path)), Type: ports.EventStdout, Attempt: 1, Time: time.Now(),
			Data: []byte(text + "\n"), Offset: int64(offset),
		})
		return err
	}
}

const tasksPath = "/api/v1/tasks"

func pathOf(task string) string { return tasksPath + "/" + task + "/stream" }

func taskOf(path string) string {
	return strings.TrimSuffix(strings.TrimPrefix(path, tasksPath+"/"), "/stream")
}

// submit submits tasks, which no worker takes, and returns the paths of their streams.
func (m *readersBench) submit(ctx context.Context, tasks int) ([]string, error) {
	var paths []string
	for range tasks {
		answer, err := call(ctx, http.MethodPost, "http://"+m.stack.addr+tasksPath, submission)
		if err != nil {
			return nil, err
		}
		var task struct {
			ID string `json:"task_id"`
		}
		if err := json.Unmarshal(answer, &task); err != nil || task.ID == "" {
			return nil, fmt.Errorf("reading the answer to a submission, %s: %w", answer, err)
		}
		paths = append(paths, pathOf(task.ID))
	}
	return paths, nil
}

const submission = `{"language": "bash", "code": "true"}`

// posts measures submissions: with no readers, with half of them while events come, and
// with none again, since a store may be slower the more it holds.
func (m *readersBench) posts(ctx context.Context) error {
	before, err := m.postRates(ctx)
	if err != nil {
		return err
	}
	paths, err := m.submit(ctx, m.tasks)
	if err != nil {
		return err
	}
	with, took, err := m.postsBesideReaders(ctx, paths)
	if err != nil {
		return err
	}
	after, err := m.postRates(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(m.out, "\n| POST /tasks, at a time | none: /s | p50 | p99 | %[1]d readers: /s | p50 | p99 | none again: /s | p50 | p99 | ratio | load |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n", m.readers/2)
	for i, n := range consumers {
		a, b, c := before[i], with[i], after[i]
		fmt.Fprintf(m.out, "| %d | %s | %s | %s | %.2f x | %s |\n", n, a, b, c, 2*b.perSecond/(a.perSecond+c.perSecond), b.load)
	}
	fmt.Fprintf(m.out, "\nWhile tasks were submitted, events reached the %d readers after %s (p50) and %s (p99).\n",
		m.readers/2, millis(took.quantile(0.5)), millis(took.quantile(0.99)))
	return nil
}

// postsBesideReaders measures submissions while half of the readers get an event a second
// each, and how long those took.
func (m *readersBench) postsBesideReaders(ctx context.Context, paths []string) ([]posted, figures, error) {
	crowd, err := connect(ctx, m.stack.addr, paths, m.readers/2)
	if err != nil {
		return nil, nil, err
	}
	defer crowd.close()
	events := len(consumers)*int(m.posting/time.Second) + 1
	crowd.begin(events * m.readers / 2)
	var with []posted
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return flood(gctx, paths, m.publish, 1, events) })
	g.Go(func() (err error) {
		with, err = m.postRates(gctx)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	took, err := crowd.end(ctx, events*m.readers/2)
	return with, took, err
}

// posted is what was measured of submissions at one concurrency.
type posted struct {
	perSecond float64
	took      figures
	load      string
}

func (p posted) String() string {
	return fmt.Sprintf("%.0f | %s | %s", p.perSecond, millis(p.took.quantile(0.5)), millis(p.took.quantile(0.99)))
}

func (m *readersBench) postRates(ctx context.Context) ([]posted, error) {
	var all []posted
	for _, n := range consumers {
		each := make([]figures, n)
		begin := clock()
		g, gctx := errgroup.WithContext(ctx)
		for i := range n {
			g.Go(func() error {
				for clock()-begin < m.posting {
					now := clock()
					if _, err := call(gctx, http.MethodPost, "http://"+m.stack.addr+tasksPath, submission); err != nil {
						return err
					}
					each[i] = append(each[i], (clock()-now).Seconds()*1000)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		p := posted{load: loadAverage()}
		for _, f := range each {
			p.took = append(p.took, f...)
		}
		p.perSecond = float64(len(p.took)) / (clock() - begin).Seconds()
		all = append(all, p)
	}
	return all, nil
}

// metrics are those of the backend, as it tells them, and when.
type metrics struct {
	at     time.Duration
	values map[string]float64
}

func (m *readersBench) metrics(ctx context.Context) (metrics, error) {
	text, err := get(ctx, "http://"+m.stack.addr+"/metrics")
	all := metrics{clock(), map[string]float64{}}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all.values[name] = v
		}
	}
	return all, err
}

// cores returns how many the backend kept busy since then.
func (m metrics) cores(then metrics) float64 {
	const seconds = "process_cpu_seconds_total"
	return (m.values[seconds] - then.values[seconds]) / (m.at - then.at).Seconds()
}

// untilCollected waits until the backend has collected garbage while nothing happened,
// which a Go program does every two minutes at least.
func (m *readersBench) untilCollected(ctx context.Context, since metrics) (metrics, error) {
	const last = "go_memstats_last_gc_time_seconds"
	until := time.NewTimer(m.idle)
	defer until.Stop()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		now, err := m.metrics(ctx)
		if err != nil || now.values[last] > since.values[last] && now.at-since.at >= m.idle/3 {
			return now, err
		}
		select {
		case <-again.C:
		case <-until.C:
			return now, nil
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

func (m *readersBench) printCost(what string, before, now metrics, cores float64) {
	each := func(name string) string {
		return fmt.Sprintf("%.1f KB", (now.values[name]-before.values[name])/float64(m.readers)/1000)
	}
	fmt.Fprintf(m.out, "| %s | %s | %s | %s | %s | %.0f in all | %.2f |\n", what, each("process_resident_memory_bytes"),
		each("go_memstats_heap_inuse_bytes"), each("go_memstats_stack_inuse_bytes"), each("go_memstats_sys_bytes"), now.values["process_open_fds"], cores)
}

// loadAverage returns how many processes wanted to run in the last minute, other
// people's too; "?" where the system does not say.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	load, _, ok := strings.Cut(string(text), " ")
	if !ok {
		return "?"
	}
	return load
}

// caller keeps a connection for each of those who submit at the same time.
var caller = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}

// get returns what is at a URL.
func get(ctx context.Context, url string) ([]byte, error) {
	return call(ctx, http.MethodGet, url, "")
}

// call returns the answer to a request, which has to be a good one.
func call(ctx context.Context, method, url, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := caller.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, content)
	}
	return content, err
}
