package runner

import (
	"sync"
	"time"
)

// watchdog bites, once, when it was awake for a given time. It starts awake.
type watchdog struct {
	mu     sync.Mutex
	timer  *time.Timer
	left   time.Duration // of its patience, as of since
	since  time.Time     // when it was last woken; zero while it sleeps
	bitten bool
}

func newWatchdog(patience time.Duration, bite func()) *watchdog {
	w := &watchdog{left: patience, since: time.Now()}
	w.timer = time.AfterFunc(patience, func() {
		if w.expire() {
			bite()
		}
	})
	return w
}

// expire reports whether the time is really over: the timer may have fired just
// as the watchdog was put to sleep.
func (w *watchdog) expire() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bitten || w.since.IsZero() || time.Since(w.since) < w.left {
		return false
	}
	w.bitten = true
	return true
}

func (w *watchdog) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	if !w.since.IsZero() {
		w.left -= time.Since(w.since)
		w.since = time.Time{}
	}
}

func (w *watchdog) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Now()
	w.timer.Reset(max(w.left, 0))
}

// shorten leaves it at most d from now, or from when it wakes.
func (w *watchdog) shorten(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		w.left = min(w.left, d)
		return
	}
	w.left = min(w.left-time.Since(w.since), d)
	w.since = time.Now()
	w.timer.Reset(max(w.left, 0))
}

func (w *watchdog) bit() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bitten
}
