package taskrunner

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
)

// bus keeps what is published, and when.
type bus struct {
	ports.EventBus
	fail func(n int) error

	mu     sync.Mutex
	n      int
	events []Event
	at     []time.Duration
	begin  time.Time
}

func (b *bus) Publish(ctx context.Context, e Event) (EventID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	if b.fail != nil {
		if err := b.fail(b.n); err != nil {
			return "", err
		}
	}
	b.events, b.at = append(b.events, e), append(b.at, time.Since(b.begin))
	return "1", nil
}

// feeding runs f on a feed in a bubble and returns what was published.
func feeding(t *testing.T, b *bus, f func(*feed)) *bus {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b.begin = time.Now()
		feed := newFeed(t.Context(), b, Task{ID: "task", Attempt: 2}, slog.New(slog.DiscardHandler))
		f(feed)
		feed.close(time.Minute)
		for _, e := range b.events {
			assert.EqualValues(t, "task", e.Task)
			assert.Equal(t, 2, e.Attempt)
		}
	})
	return b
}

// text joins a stream's pieces, and demands that they follow one another.
func (b *bus) text(t *testing.T, stream EventType) (text []byte, truncated bool) {
	t.Helper()
	for _, e := range b.events {
		if e.Type != stream {
			continue
		}
		assert.False(t, truncated, "something follows the truncation")
		assert.EqualValues(t, len(text), e.Offset)
		assert.LessOrEqual(t, len(e.Data), pieceSize)
		text, truncated = append(text, e.Data...), e.Truncated
	}
	return text, truncated
}

func TestSmallOutputIsJoinedForAWhile(t *testing.T) {
	t.Parallel()
	b := feeding(t, new(bus), func(f *feed) {
		for range 10 {
			f.write(ports.EventStdout, []byte("x"))
			f.write(ports.EventStderr, []byte("y"))
			time.Sleep(pieceDelay / 20)
		}
		time.Sleep(time.Second)
		f.write(ports.EventStdout, []byte("z"))
	})
	require.Len(t, b.events, 3)
	assert.Equal(t, []time.Duration{pieceDelay, pieceDelay}, b.at[:2], "at once when the while is over")
	assert.Equal(t, time.Second+pieceDelay/2, b.at[2], "at once when the feed is closed")
	out, _ := b.text(t, ports.EventStdout)
	assert.Equal(t, "xxxxxxxxxxz", string(out))
}

func TestMuchOutputGoesOutAtOnce(t *testing.T) {
	t.Parallel()
	all := pattern(3*pieceSize + 5)
	b := feeding(t, new(bus), func(f *feed) {
		f.write(ports.EventStdout, all)
		synctest.Wait()
		time.Sleep(time.Second)
	})
	require.Len(t, b.events, 4)
	assert.Zero(t, b.at[2])
	assert.Equal(t, pieceDelay, b.at[3])
	out, truncated := b.text(t, ports.EventStdout)
	assert.True(t, bytes.Equal(all, out))
	assert.False(t, truncated)
}

func TestAFloodIsTruncatedOnce(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"exactly as much as goes": maxLive, "a byte more": maxLive + 1, "far more": 3 * maxLive} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := pattern(n)
			b := feeding(t, new(bus), func(f *feed) {
				for chunk := range chunks(all, 100_001) {
					f.write(ports.EventStderr, chunk)
					time.Sleep(time.Second)
				}
			})
			text, truncated := b.text(t, ports.EventStderr)
			assert.True(t, bytes.Equal(all[:min(n, maxLive)], text))
			assert.Equal(t, n > maxLive, truncated)
		})
	}
}

func TestOutputThatWasDroppedElsewhereIsToldAsTruncated(t *testing.T) {
	t.Parallel()
	b := feeding(t, new(bus), func(f *feed) {
		f.write(ports.EventStdout, []byte("abc"))
		f.cut(ports.EventStdout)
	})
	text, truncated := b.text(t, ports.EventStdout)
	assert.Equal(t, "abc", string(text))
	assert.True(t, truncated)
}

func TestPiecesAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	all := []byte(strings.Repeat("x€😀é", maxLive/4))
	for _, chunk := range []int{1021, 65_537, len(all)} {
		b := feeding(t, new(bus), func(f *feed) {
			for c := range chunks(all, chunk) {
				f.write(ports.EventStdout, c)
				time.Sleep(7 * time.Millisecond)
			}
		})
		for _, e := range b.events {
			assert.True(t, utf8.Valid(e.Data))
		}
		text, truncated := b.text(t, ports.EventStdout)
		assert.True(t, truncated)
		assert.True(t, bytes.HasPrefix(all, text))
		assert.Greater(t, len(text), maxLive-utf8.UTFMax)
	}
}

func TestHalfACharacterWaitsForItsOtherHalf(t *testing.T) {
	t.Parallel()
	b := feeding(t, new(bus), func(f *feed) {
		f.write(ports.EventStdout, []byte("a\xe2\x82"))
		time.Sleep(time.Second)
		f.write(ports.EventStdout, []byte("\xac"))
		time.Sleep(time.Second)
		f.write(ports.EventStdout, []byte("\xe2")) // and what never becomes one is not lost
	})
	require.Len(t, b.events, 3)
	assert.Equal(t, "a", string(b.events[0].Data))
	assert.Equal(t, "€", string(b.events[1].Data))
	assert.Equal(t, "\xe2", string(b.events[2].Data))
}

func TestABusThatFailsIsTriedAgainWithoutHoldingUpTheProgram(t *testing.T) {
	t.Parallel()
	b := &bus{fail: func(n int) error {
		if n < 6 {
			return errors.New("connection reset")
		}
		return nil
	}}
	feeding(t, b, func(f *feed) {
		begin := time.Now()
		f.tell(Event{Task: "task", Attempt: 2, Type: ports.EventStatus, Status: ports.StatusRunning})
		for range 100 {
			f.write(ports.EventStdout, pattern(10_000))
		}
		assert.Zero(t, time.Since(begin))
	})
	require.NotEmpty(t, b.events)
	assert.Equal(t, ports.EventStatus, b.events[0].Type)
	text, truncated := b.text(t, ports.EventStdout)
	assert.Len(t, text, 1_000_000)
	assert.False(t, truncated)
}

func TestABusThatStaysAwayIsGivenUpAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bus{fail: func(int) error { return errors.New("connection refused") }}
		f := newFeed(t.Context(), b, Task{ID: "task", Attempt: 1}, slog.New(slog.DiscardHandler))
		f.write(ports.EventStdout, []byte("x"))
		begin := time.Now()
		f.close(2 * time.Second)
		assert.Equal(t, 2*time.Second, time.Since(begin))
	})
}

func TestABusThatPanicsLosesTheEventAndNothingElse(t *testing.T) {
	t.Parallel()
	b := feeding(t, &bus{fail: func(n int) error {
		if n == 1 {
			panic("adapter broke")
		}
		return nil
	}}, func(f *feed) {
		f.observe(Sample{At: 1})
		synctest.Wait()
		f.observe(Sample{At: 2})
	})
	require.Len(t, b.events, 1)
	assert.Equal(t, Sample{At: 2}, b.events[0].Sample)
}

func TestOnlyTheNewestSampleIsPublishedWhenTheBusIsSlow(t *testing.T) {
	t.Parallel()
	b := feeding(t, new(bus), func(f *feed) {
		f.observe(Sample{At: 1})
		f.observe(Sample{At: 2})
	})
	require.Len(t, b.events, 1)
	assert.Equal(t, ports.EventUsage, b.events[0].Type)
	assert.Equal(t, Sample{At: 2}, b.events[0].Sample)
}
