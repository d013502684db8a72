package redisbus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// A connection is asked for a sign of life every beat, and given up after one in
// which nothing came. Tries to connect again are backoff apart, which doubles from
// the first to the last.
const (
	usualBeat    = 5 * time.Second
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second
)

// hub passes what is published to the mailboxes of all readers, from one
// connection.
//
// A channel that Redis confirms, at first or after a connection was lost, makes
// its readers look at the stream: what was published before is there, and what is
// published later will be told. So nobody has to wait for the confirmation.
type hub struct {
	client redis.UniversalClient
	beat   time.Duration

	mu      sync.Mutex
	readers map[string]map[*mailbox]struct{} // by channel
	changed map[string]struct{}              // the channels that got their first reader or lost their last one
	bell    chan struct{}                    // rings at a change
}

func newHub(client redis.UniversalClient) *hub {
	return &hub{
		client:  client,
		beat:    usualBeat,
		readers: map[string]map[*mailbox]struct{}{},
		changed: map[string]struct{}{},
		bell:    make(chan struct{}, 1),
	}
}

// add adds a reader to a channel.
func (h *hub) add(channel string, b *mailbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers[channel] == nil {
		h.readers[channel] = map[*mailbox]struct{}{}
		h.change(channel)
	}
	h.readers[channel][b] = struct{}{}
}

// remove removes a reader, if it is there.
func (h *hub) remove(channel string, b *mailbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	readers := h.readers[channel]
	if _, ok := readers[b]; !ok {
		return
	}
	delete(readers, b)
	if len(readers) == 0 {
		delete(h.readers, channel)
		h.change(channel)
	}
}

// change needs the lock.
func (h *hub) change(channel string) {
	h.changed[channel] = struct{}{}
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// each calls f for every reader of the channel.
func (h *hub) each(channel string, f func(*mailbox)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for b := range h.readers[channel] {
		f(b)
	}
}

// run keeps a connection until ctx is done.
func (h *hub) run(ctx context.Context) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		if h.link(ctx) {
			pause = 0
		}
		pause = min(max(2*pause, firstBackoff), lastBackoff)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// link serves one connection until it fails or ctx is done, and reports whether
// anything ever came over it.
func (h *hub) link(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	ps := h.client.Subscribe(ctx) // to nothing, so that it does not connect yet
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	h.mu.Lock()
	for channel := range h.readers {
		h.change(channel)
	}
	h.mu.Unlock()
	var heard atomic.Bool
	heard.Store(true) // it has a beat to connect
	wg.Go(func() {
		h.follow(ctx, ps, &heard)
		_ = ps.Close() // ends the receiving
	})
	// It waits without a timeout: go-redis would go on behind one in the middle of a
	// message, and take what a program wrote for the next.
	came := false
	for {
		m, err := ps.Receive(ctx)
		if err != nil || ctx.Err() != nil {
			return came
		}
		came = true
		heard.Store(true)
		h.pass(m)
	}
}

// follow keeps the channels of ps as those that have readers, until nothing is
// heard any more. It is the only one who changes them, so that they change in order.
func (h *hub) follow(ctx context.Context, ps *redis.PubSub, heard *atomic.Bool) {
	beat := time.NewTicker(h.beat)
	defer beat.Stop()
	for {
		select {
		case <-h.bell:
		case <-beat.C:
			if !heard.Swap(false) || ps.Ping(ctx) != nil {
				return
			}
			continue
		case <-ctx.Done():
			return
		}
		var wanted, unwanted []string
		h.mu.Lock()
		for channel := range h.changed {
			if h.readers[channel] != nil {
				wanted = append(wanted, channel)
			} else {
				unwanted = append(unwanted, channel)
			}
		}
		clear(h.changed)
		h.mu.Unlock()
		// Without a name these would mean all channels.
		if len(unwanted) > 0 && ps.Unsubscribe(ctx, unwanted...) != nil {
			return
		}
		if len(wanted) > 0 && ps.Subscribe(ctx, wanted...) != nil {
			return
		}
	}
}

// pass passes on one thing that came.
func (h *hub) pass(m any) {
	switch m := m.(type) {
	case *redis.Subscription:
		if m.Kind == "subscribe" {
			h.each(m.Channel, (*mailbox).stale)
		}
	case *redis.Message:
		msg, err := parseMessage(m.Payload)
		if err != nil { // the topic was deleted, or whatever: the stream is the truth
			h.each(m.Channel, (*mailbox).stale)
			return
		}
		h.each(m.Channel, func(b *mailbox) { b.tell(msg) })
	}
}
