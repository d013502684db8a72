package wire

import (
	"fmt"
	"sync"
	"time"

	"github.com/task-runner/task-runner/adapters/dockerexec"
)

// pullEvery is how often a pull in progress is told of.
const pullEvery = 2 * time.Second

// pulls makes sentences of what the Docker executor tells about its pulls, and not
// too many. It is safe for concurrent use.
type pulls struct {
	tell func(string)

	mu   sync.Mutex
	told map[string]time.Time // when an image was last told of
}

func (p *pulls) progress(at dockerexec.PullProgress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		p.told = map[string]time.Time{}
	}
	switch {
	case at.Err != nil: // which the task tells that needs the image
		delete(p.told, at.Image)
		return
	case at.Done:
		delete(p.told, at.Image)
	case time.Since(p.told[at.Image]) < pullEvery:
		return
	default:
		p.told[at.Image] = time.Now()
	}
	p.tell(sentence(at))
}

// sentence says how far a pull is.
func sentence(at dockerexec.PullProgress) string {
	switch {
	case at.Done:
		return "pulled " + at.Image
	case at.Total == 0:
		return "pulling " + at.Image
	}
	return fmt.Sprintf("pulling %s: %.1f of %.1f MB", at.Image, float64(at.Received)/1e6, float64(at.Total)/1e6)
}
