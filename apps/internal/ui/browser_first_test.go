package ui_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/taskrunner"
)

// times are when the first page is painted, and when its editor is ready, in
// milliseconds.
const times = `(() => {
	const at = (name) => performance.getEntriesByName(name)[0]?.startTime ?? 0;
	return { paint: at("first-contentful-paint"), ready: at("editor-ready") };
})()`

// firstPage opens the first page in a browser that has nothing of it, and waits until it
// can be used.
func firstPage(s *site) (b *tab, paint, ready float64) {
	s.t.Helper()
	b = browse(s)
	b.open("/")
	b.until(times + ".paint && " + times + ".ready")
	at := eval[struct{ Paint, Ready float64 }](b, times)
	return b, at.Paint, at.Ready
}

func TestTheFirstPageIsSmall(t *testing.T) {
	t.Parallel()
	b, paint, ready := firstPage(before(t, "http://"+serve(t, taskrunner.Policy{}).addr))
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Less(t, b.bytes, 100_000.0)
	t.Logf("%d requests, %.0f bytes, painted after %.0f ms, ready after %.0f ms", len(b.urls), b.bytes, paint, ready)
}

func BenchmarkFirstPage(b *testing.B) {
	s := before(b, "http://"+serve(b, taskrunner.Policy{}).addr)
	var paints, readies float64
	for b.Loop() {
		_, paint, ready := firstPage(s)
		paints, readies = paints+paint, readies+ready
	}
	b.ReportMetric(paints/float64(b.N), "paint-ms")
	b.ReportMetric(readies/float64(b.N), "ready-ms")
}
