package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/internal/testenv"
)

// Each server is killed and started again, and frozen for longer than a lease, while
// tasks go through.
func TestTasksSurviveServersThatFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		of   func(servers) server
	}{
		{"Redis", func(s servers) server { return s.redis }},
		{"MongoDB", func(s servers) server { return s.mongo }},
		{"MinIO", func(s servers) server { return s.minio }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testenv.RedisOptions{})
			w.unsteady = true
			failing := tt.of(w.servers)
			w.crowd(2)
			for range 2 {
				for range 2 {
					w.batch()
					failing.Kill(t)
					w.faults++
					hold(300 * time.Millisecond) // so that everybody notices
					failing.Start(t)
				}
				w.batch()
				failing.Pause(t)
				w.faults++
				hold(w.lease * 3 / 2)
				failing.Resume(t)
			}
			w.settle()
			w.disperse()
			w.requireOver()
		})
	}
}

// batch submits some tasks, and waits until one of them runs.
func (w *world) batch() {
	w.t.Helper()
	tasks := make([]*tracked, 0, 8)
	for _, p := range mixed(cap(tasks), 2) {
		tasks = append(tasks, w.submit(p))
	}
	eventually(w.t, func() bool {
		for _, k := range tasks {
			if len(w.runsOf(k)) > 0 {
				return true
			}
		}
		return false
	}, "a task to run")
}

// occupy submits tasks until that worker runs one, which takes longer than a lease.
func (w *world) occupy(p *process) *tracked {
	w.t.Helper()
	for {
		k := w.submit(sleeper(2 * w.lease.Seconds()))
		eventually(w.t, func() bool { return len(w.runsOf(k)) > 0 }, "a task to run")
		if w.runsOf(k)[0].Worker == p.order.Name {
			return k
		}
	}
}

// One worker loses its connections, without a word, for longer than a lease; the other
// ones go on.
func TestTasksSurviveAPartition(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		from func(*addresses) []*string
	}{
		{"from Redis", func(a *addresses) []*string { return []*string{&a.Redis} }},
		{"from everything", func(a *addresses) []*string { return []*string{&a.Redis, &a.Mongo, &a.MinIO} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testenv.RedisOptions{})
			// What the worker was sending when it was cut off may arrive twice, and its
			// runs go on until it gives up.
			w.unsteady, w.outlived = true, true
			far := w.addresses
			var links []*testenv.NetProxy
			for _, address := range tt.from(&far) {
				link := testenv.TCPProxy(t, *address)
				*address = link.Addr()
				links = append(links, link)
			}
			cutOff := w.worker("cut-off", func(o *order) { o.Servers = far })
			w.workers = append(w.workers, cutOff)
			var held []*tracked
			for range 2 {
				w.batch()
				held = append(held, w.occupy(cutOff))
				for _, link := range links {
					link.Freeze()
				}
				w.faults++
				if len(w.workers) == 1 {
					w.crowd(1)
				}
				w.batch()
				hold(w.lease * 3 / 2)
				for _, link := range links {
					link.Thaw()
				}
			}
			w.settle()
			for _, k := range held {
				assert.Greater(t, len(w.runsOf(k)), 1, "runs of a task whose worker was cut off")
			}
			w.disperse()
			w.requireOver()
		})
	}
}

// The queue's clock is an hour ahead of everybody else's, and a worker dies.
func TestAClockThatIsWrongChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.RedisOptions{Skew: time.Hour})
	w.crowd(2)
	w.submitAll(mixed(32, 2))
	w.killUntil(w.settled(), time.Second, 2*time.Second)
	w.settle()
	w.disperse()
	w.requireOver()
}
