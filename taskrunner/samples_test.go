package taskrunner

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/task-runner/task-runner/ports"
)

func TestSamplesAreThinnedByHalving(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 599, 600, 601, 602, 899, 1200, 1201, 5000, 100_003} {
		var s sampler
		var used float64 // core-seconds
		for i := 1; i <= n; i++ {
			x := Sample{At: time.Duration(i) * ports.SampleInterval, CPU: float64(i % 7), Memory: int64(i)}
			used += x.CPU * ports.SampleInterval.Seconds()
			assert.True(t, s.add(x))
		}
		got := s.samples()
		assert.LessOrEqual(t, len(got), ports.MaxSamples)
		if n <= ports.MaxSamples {
			assert.Len(t, got, n)
		} else {
			assert.GreaterOrEqual(t, len(got), ports.MaxSamples/2, "%d samples", n)
		}
		var before time.Duration
		var kept float64
		for _, x := range got {
			assert.Greater(t, x.At, before)
			assert.EqualValues(t, x.At/ports.SampleInterval, x.Memory, "memory is what it was at that moment")
			kept += x.CPU * (x.At - before).Seconds()
			before = x.At
		}
		assert.Equal(t, time.Duration(n)*ports.SampleInterval, before, "the last sample is kept")
		assert.InDelta(t, used, kept, 1e-6*used, "no use of the processor is lost")
	}
}

func TestSamplesThatMakeNoSenseAreDropped(t *testing.T) {
	t.Parallel()
	var s sampler
	assert.True(t, s.add(Sample{At: time.Second, CPU: 1, Memory: 1}))
	for name, x := range map[string]Sample{
		"no number":     {At: 2 * time.Second, CPU: math.NaN()},
		"infinite":      {At: 2 * time.Second, CPU: math.Inf(1)},
		"negative":      {At: 2 * time.Second, CPU: -1},
		"negative size": {At: 2 * time.Second, Memory: -1},
		"back in time":  {At: time.Millisecond},
	} {
		assert.False(t, s.add(x), name)
	}
	assert.Len(t, s.samples(), 1)
}
