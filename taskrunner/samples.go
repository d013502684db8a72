package taskrunner

import (
	"math"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// sampler keeps the course of a run in at most ports.MaxSamples samples. When
// they are full, each two neighbours become one, and from then on as many
// incoming samples make one as a kept one stands for.
type sampler struct {
	kept  []Sample
	ratio int    // how many incoming samples make one; 0 means 1
	open  Sample // made of the incoming ones that do not make one yet
	n     int    // how many those are
}

// add takes the next sample and reports whether it makes sense.
func (s *sampler) add(x Sample) bool {
	if x.At < s.end() || math.IsNaN(x.CPU) || math.IsInf(x.CPU, 0) || x.CPU < 0 || x.Memory < 0 {
		return false
	}
	s.open = merge(s.last(), s.open, x, s.n > 0)
	if s.n++; s.n < max(s.ratio, 1) {
		return true
	}
	if len(s.kept) == ports.MaxSamples {
		s.halve() // now open is but half of one
		return true
	}
	s.kept, s.n = append(s.kept, s.open), 0
	return true
}

// samples returns what is kept, with the incoming samples of the last, unfinished
// interval as one.
func (s *sampler) samples() []Sample {
	if s.n == 0 {
		return s.kept
	}
	if len(s.kept) == ports.MaxSamples {
		s.halve()
	}
	return append(s.kept, s.open)
}

func (s *sampler) halve() {
	s.ratio = 2 * max(s.ratio, 1)
	var before Sample
	for i := range len(s.kept) / 2 {
		merged := merge(before, s.kept[2*i], s.kept[2*i+1], true)
		before, s.kept[i] = merged, merged
	}
	s.kept = s.kept[:len(s.kept)/2]
}

func (s *sampler) last() Sample {
	if len(s.kept) == 0 {
		return Sample{}
	}
	return s.kept[len(s.kept)-1]
}

func (s *sampler) end() time.Duration { return max(s.last().At, s.open.At) }

// merge returns one sample in place of a and b, which follow before. The mean of
// the processors' use is weighted by time; memory is what it was at the end.
func merge(before, a, b Sample, both bool) Sample {
	if !both {
		return b
	}
	if whole := b.At - before.At; whole > 0 {
		b.CPU = (a.CPU*float64(a.At-before.At) + b.CPU*float64(b.At-a.At)) / float64(whole)
	}
	return b
}
