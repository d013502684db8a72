package redisbus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// deaf is a connection that dies instead of giving the answer to what was sent,
// when it is told to.
type deaf struct {
	net.Conn
	lose *atomic.Bool
}

func (c deaf) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.lose.CompareAndSwap(true, false) {
		_ = c.Close()
		return 0, errors.New("the connection died")
	}
	return n, err
}

func TestAnEventWhoseAnswerWasLostIsThereOnce(t *testing.T) {
	opts := *testenv.Redis(t).Options()
	var lose atomic.Bool
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return deaf{c, &lose}, err
	}
	client := redis.NewClient(&opts)
	defer client.Close()
	prefix := testenv.Unique(t)
	b, err := redisbus.New(t.Context(), client, redisbus.Config{Prefix: prefix})
	require.NoError(t, err)
	publish(t, b, 1, 1)
	for n := 2; n <= 20; n++ {
		lose.Store(true)
		publish(t, b, n, n)
		require.False(t, lose.Load(), "no answer was lost")
	}
	s := subscribe(t, b, ports.Position{})
	requireNumbers(t, s, 1, 20)
	length, err := client.XLen(t.Context(), prefix+":{t}:events").Result()
	require.NoError(t, err)
	assert.EqualValues(t, 20, length)
	require.NoError(t, b.Close())
}

// mute is a connection over which nothing more comes once it is told so, and which
// does not end.
type mute struct {
	net.Conn
	silent *atomic.Bool
}

func (c mute) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.silent.Load() {
			return n, err
		}
	}
}

func TestAConnectionThatDiesSilentlyIsReplaced(t *testing.T) {
	opts := *testenv.Redis(t).Options()
	var silent atomic.Pointer[atomic.Bool] // of the connections that are made now
	silent.Store(new(atomic.Bool))
	dialled := make(chan struct{}, 100)
	opts.ReadTimeout = 100 * time.Millisecond
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		dialled <- struct{}{}
		return mute{c, silent.Load()}, nil
	}
	client := redis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	prefix := testenv.Unique(t)
	b, direct := newBus(t, client, redisbus.Config{Prefix: prefix}), newBus(t, testenv.Redis(t), redisbus.Config{Prefix: prefix})
	b.SetBeat(20 * time.Millisecond)
	s := subscribe(t, b, ports.Position{})
	publish(t, direct, 1, 3)
	requireNumbers(t, s, 1, 3)
	for len(dialled) > 0 {
		<-dialled
	}

	silent.Swap(new(atomic.Bool)).Store(true)
	publish(t, direct, 4, 6)
	<-dialled // nobody but the one who listens has a reason to
	requireNumbers(t, s, 4, 6)
}

// halting is a connection over which the rest of what comes, from a mark on, comes
// only after a sign of life was asked for. It does so once.
type halting struct {
	net.Conn
	mark   string
	halted *atomic.Bool
	asked  *atomic.Bool
	rest   []byte
}

func (c *halting) Read(b []byte) (int, error) {
	for len(c.rest) > 0 && !c.asked.Load() {
		more := make([]byte, 1024)
		n, err := c.Conn.Read(more)
		c.rest = append(c.rest, more[:n]...)
		if err != nil {
			return 0, err
		}
	}
	if n := copy(b, c.rest); n > 0 {
		c.rest = c.rest[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if i := bytes.Index(b[:n], []byte(c.mark)); i > 0 && c.halted.CompareAndSwap(false, true) {
		c.rest = bytes.Clone(b[i:n])
		return i, err
	}
	return n, err
}

func (c *halting) Write(b []byte) (int, error) {
	if c.halted.Load() && bytes.Contains(bytes.ToLower(b), []byte("ping")) {
		c.asked.Store(true)
	}
	return c.Conn.Write(b)
}

// What a program wrote may look like a message, and come after a pause.
func TestTheRestOfAMessageIsNotTakenForAnother(t *testing.T) {
	server, prefix := testenv.Redis(t), testenv.Unique(t)
	direct := newBus(t, server, redisbus.Config{Prefix: prefix})
	channel := prefix + ":{t}:events"
	publish(t, direct, 66, 66)
	page, err := server.XRange(t.Context(), channel, "-", "+").Result()
	require.NoError(t, err)
	require.NoError(t, direct.Delete(t.Context(), "t"))
	message := fmt.Sprintf("0-0 1-1 %s", page[0].Values["e"])
	forged := fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(channel), channel, len(message), message)

	opts := *server.Options()
	var halted, asked atomic.Bool
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &halting{Conn: c, mark: forged, halted: &halted, asked: &asked}, err
	}
	client := redis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	b.SetBeat(20 * time.Millisecond)
	other, err := b.Subscribe(t.Context(), "other", ports.Position{})
	require.NoError(t, err)
	defer other.Close()
	s := subscribe(t, b, ports.Position{})
	got := make(chan ports.Event, 1)
	go func() {
		e, err := s.Next(t.Context())
		assert.NoError(t, err)
		got <- e
	}()
	require.Eventually(t, func() bool {
		n, err := server.PubSubNumSub(t.Context(), channel, prefix+":{other}:events").Result()
		return err == nil && len(n) == 2 && n[channel] == 1 && n[prefix+":{other}:events"] == 1
	}, time.Minute, time.Millisecond)
	_, err = direct.Publish(t.Context(), ports.Event{Task: "other", Data: []byte("written: " + forged)})
	require.NoError(t, err)
	require.Eventually(t, asked.Load, time.Minute, time.Millisecond)
	publish(t, direct, 1, 1)
	require.EqualValues(t, 1, (<-got).Offset)
}

// behindProxy returns a bus that reaches the server through a proxy, and gives up
// on an answer soon.
func behindProxy(t *testing.T, prefix string) (*redisbus.Bus, *testenv.NetProxy) {
	t.Helper()
	opts := *testenv.Redis(t).Options()
	proxy := testenv.TCPProxy(t, opts.Addr)
	opts.Addr, opts.ReadTimeout, opts.WriteTimeout, opts.DialTimeout = proxy.Addr(), 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	client := redis.NewClient(&opts)
	t.Cleanup(func() { _ = client.Close() })
	return newBus(t, client, redisbus.Config{Prefix: prefix}), proxy
}

func TestConnectionsThatAreCutLoseAndRepeatNothing(t *testing.T) {
	prefix := testenv.Unique(t)
	b, proxy := behindProxy(t, prefix)
	direct := newBus(t, testenv.Redis(t), redisbus.Config{Prefix: prefix})
	const events, readers = 400, 4
	var wg sync.WaitGroup
	for range readers {
		s := subscribe(t, b, ports.Position{})
		wg.Go(func() { assertNumbers(t, s, events) })
	}
	for n := 1; n <= events; n++ {
		publish(t, direct, n, n)
		if n%20 == 0 {
			proxy.Cut()
		}
	}
	wg.Wait()
}

// assertNumbers is requireNumbers from 1, for another goroutine.
func assertNumbers(t *testing.T, s ports.Subscription, last int) {
	for n := 1; n <= last; {
		e, err := s.Next(t.Context())
		switch {
		case err == nil:
			if !assert.EqualValues(t, n, e.Offset) {
				return
			}
			n++
		case t.Context().Err() != nil || !assert.NotErrorIs(t, err, ports.ErrGone):
			return
		}
	}
}

func TestPublishingThroughConnectionsThatAreCut(t *testing.T) {
	prefix := testenv.Unique(t)
	b, proxy := behindProxy(t, prefix)
	direct := newBus(t, testenv.Redis(t), redisbus.Config{Prefix: prefix})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				proxy.Cut()
			case <-stop:
				return
			}
		}
	})
	published := map[ports.EventID]int{}
	for n := 1; n <= 300; n++ {
		id, err := b.Publish(t.Context(), event(n))
		if err == nil {
			published[id] = n
		}
	}
	close(stop)
	wg.Wait()
	require.NotEmpty(t, published)
	last, err := direct.Publish(t.Context(), event(0))
	require.NoError(t, err)
	s := subscribe(t, direct, ports.Position{})
	before := 0
	for {
		e, err := s.Next(t.Context())
		require.NoError(t, err)
		if e.ID == last {
			break
		}
		require.Greater(t, int(e.Offset), before, "an event came twice or out of order")
		before = int(e.Offset)
		if n, ok := published[e.ID]; ok {
			require.EqualValues(t, n, e.Offset)
			delete(published, e.ID)
		}
	}
	require.Empty(t, published, "events that were taken are not there")
}

func TestANetworkThatFallsSilent(t *testing.T) {
	prefix := testenv.Unique(t)
	b, proxy := behindProxy(t, prefix)
	direct := newBus(t, testenv.Redis(t), redisbus.Config{Prefix: prefix})
	s := subscribe(t, b, ports.Position{})
	publish(t, b, 1, 3)
	requireNumbers(t, s, 1, 3)

	proxy.Freeze()
	publish(t, direct, 4, 200)
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan error, 1)
	go func() {
		_, err := b.Publish(ctx, ports.Event{Task: "other"})
		published <- err
	}()
	cancel()
	require.ErrorIs(t, <-published, context.Canceled)
	// All tries of this one are on their way when the network comes back.
	_, err := b.Publish(t.Context(), event(201))
	require.Error(t, err)

	proxy.Thaw()
	requireNumbers(t, s, 4, 200)
	publish(t, b, 202, 300)
	e, err := s.Next(t.Context())
	for err != nil {
		require.NotErrorIs(t, err, ports.ErrGone)
		e, err = s.Next(t.Context())
	}
	// It may have been taken, and then once, or not.
	if e.Offset == 201 {
		requireNumbers(t, s, 202, 300)
	} else {
		require.EqualValues(t, 202, e.Offset)
		requireNumbers(t, s, 203, 300)
	}
}

func TestARedisThatLostATopic(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	keys := []string{prefix + ":{t}:events", prefix + ":{t}:facts"}
	reader := func() ports.Subscription {
		s := subscribe(t, b, ports.Position{})
		requireNumbers(t, s, 1, 5)
		return s
	}
	old := publish(t, b, 1, 5)
	t.Run("tells whoever waits when events come again", func(t *testing.T) {
		s := reader()
		require.NoError(t, client.Del(t.Context(), keys...).Err())
		publish(t, b, 1, 10)
		requireGone(t, s)
	})
	t.Run("tells whoever resumes", func(t *testing.T) {
		for _, id := range old {
			_, err := b.Subscribe(t.Context(), "t", ports.Position{After: id})
			require.ErrorIs(t, err, ports.ErrGone)
		}
	})
}

// A crash may undo the last second.
func TestARedisThatLostTheLastEvents(t *testing.T) {
	client, prefix := testenv.Redis(t), testenv.Unique(t)
	b := newBus(t, client, redisbus.Config{Prefix: prefix})
	keys := []string{prefix + ":{t}:events", prefix + ":{t}:facts"}
	kept := publish(t, b, 1, 5)
	dumps := make([]string, len(keys))
	for i, key := range keys {
		var err error
		dumps[i], err = client.Dump(t.Context(), key).Result()
		require.NoError(t, err)
	}
	lost := publish(t, b, 6, 8)
	ahead := subscribe(t, b, ports.Position{})
	requireNumbers(t, ahead, 1, 8)
	for i, key := range keys {
		require.NoError(t, client.RestoreReplace(t.Context(), key, 0, dumps[i]).Err())
	}
	again := publish(t, b, 6, 8)
	for _, id := range lost {
		assert.NotContains(t, again, id)
		_, err := b.Subscribe(t.Context(), "t", ports.Position{After: id})
		require.ErrorIs(t, err, ports.ErrGone)
	}
	requireGone(t, ahead)
	requireNumbers(t, subscribe(t, b, ports.Position{After: kept[4]}), 6, 8)
}

// A reader that has had no event finds no place in the stream that is missing.
func TestAReaderThatHadNoEventMissesNoDelete(t *testing.T) {
	prefix := testenv.Unique(t)
	direct := newBus(t, testenv.Redis(t), redisbus.Config{Prefix: prefix})
	for what, again := range map[string]bool{"when there is no topic any more": false, "when there is another topic": true} {
		t.Run(what, func(t *testing.T) {
			b, proxy := behindProxy(t, prefix)
			s := subscribe(t, b, ports.Position{})
			proxy.Freeze()
			publish(t, direct, 1, 3)
			require.NoError(t, direct.Delete(t.Context(), "t"))
			if again {
				publish(t, direct, 4, 6)
			}
			proxy.Cut()
			proxy.Thaw()
			_, err := s.Next(t.Context())
			for err != nil && !errors.Is(err, ports.ErrGone) {
				_, err = s.Next(t.Context())
			}
			require.ErrorIs(t, err, ports.ErrGone)
			requireGone(t, s)
			require.NoError(t, direct.Delete(t.Context(), "t"))
			published := publish(t, direct, 1, 3)
			requireNumbers(t, subscribe(t, direct, ports.Position{}), 1, 3)
			requireNumbers(t, subscribe(t, direct, ports.Position{After: published[0]}), 2, 3)
			require.NoError(t, direct.Delete(t.Context(), "t"))
		})
	}
}
