package redisqueue

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newWaiter(queues ...string) *waiter {
	return &waiter{queues: queues, sign: make(chan struct{}, 1), failed: make(chan error, 1)}
}

func TestASignGoesToWhoeverCameFirstAndHasNone(t *testing.T) {
	t.Parallel()
	other, first, second := newWaiter("b"), newWaiter("a", "b"), newWaiter("a")
	l := &line{waiters: []*waiter{other, first, second}}
	require.True(t, l.signal("a"))
	require.Len(t, first.sign, 1)
	require.True(t, l.signal("a"))
	require.Len(t, second.sign, 1)
	require.True(t, l.signal("a"), "both are going to look")
	require.Empty(t, other.sign)
	require.False(t, l.signal("c"), "nobody waits for it")
	l.remove(first)
	l.remove(second)
	require.False(t, l.signal("a"))
}

func TestEveryQueueThatAnybodyWaitsForIsWatched(t *testing.T) {
	t.Parallel()
	l := &line{waiters: []*waiter{newWaiter("b", "c"), newWaiter("a", "b")}, watching: true}
	require.Equal(t, []string{"a", "b", "c"}, l.watch())
	require.True(t, l.watching)
	l.waiters = nil
	require.Empty(t, l.watch())
	require.False(t, l.watching, "nobody waits")
}

func TestAFailureEndsTheWaitingOfEverybody(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	a, b := newWaiter("a"), newWaiter("b")
	l := &line{waiters: []*waiter{a, b}, watching: true}
	l.fail(broken)
	require.ErrorIs(t, a.wait(t.Context(), -1), broken)
	require.ErrorIs(t, b.wait(t.Context(), time.Hour), broken)
	require.False(t, l.watching)
	require.Empty(t, l.waiters)
}
