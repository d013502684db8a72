package taskrunner

import (
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestIDsAreUUIDsOfVersion7ThatOnlyGrow(t *testing.T) {
	t.Parallel()
	canonical := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	var s idSource
	at := time.UnixMilli(0x0123_4567_89ab)
	first := s.next(at)
	assert.Regexp(t, canonical, string(first))
	assert.Equal(t, "01234567-89ab-7", string(first[:15]))

	last := first
	for i := range 10_000 { // more than the counter's 12 bits, so that it carries
		id := s.next(at.Add(-time.Duration(i%3) * time.Hour)) // and the clock jumps back
		assert.Regexp(t, canonical, string(id))
		assert.Greater(t, id, last)
		assert.NoError(t, id.Validate())
		last = id
	}
	assert.Greater(t, s.next(at.Add(time.Hour)), last)
	assert.Regexp(t, canonical, string(new(idSource).next(time.Unix(-1, 0))), "a clock before 1970")
}

func TestIDsOfManyGoroutinesDiffer(t *testing.T) {
	t.Parallel()
	var s idSource
	var all [8][]TaskID
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			for range 500 {
				all[i] = append(all[i], s.next(time.Now()))
			}
		})
	}
	wg.Wait()
	ids := slices.Concat(all[:]...)
	slices.Sort(ids)
	assert.Len(t, slices.Compact(ids), 8*500)
}
