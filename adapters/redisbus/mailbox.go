package redisbus

import "sync"

// maxMail is how many events wait for one reader. What is too much is left in the
// stream, and the reader looks there.
const maxMail = 64

// mailbox is what a reader has been told and has not seen yet. Whoever puts
// something in never waits.
type mailbox struct {
	bell chan struct{} // rings when something was put in

	mu   sync.Mutex
	mail []*message
	look bool // the stream is not as mail says
}

// newMailbox returns a mailbox whose reader begins by looking at the stream.
func newMailbox() mailbox { return mailbox{bell: make(chan struct{}, 1), look: true} }

func (b *mailbox) put(change func()) {
	b.mu.Lock()
	change()
	b.mu.Unlock()
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// tell puts in an event.
func (b *mailbox) tell(m *message) {
	b.put(func() {
		switch {
		case b.look: // it is in the stream
		case len(b.mail) == maxMail:
			b.lookInstead()
		default:
			b.mail = append(b.mail, m)
		}
	})
}

// stale says that there is more to know than the events that were told.
func (b *mailbox) stale() { b.put(b.lookInstead) }

// lookInstead throws away the mail, all of which is in the stream.
func (b *mailbox) lookInstead() { b.mail, b.look = nil, true }

// takeLook reports whether to look at the stream.
func (b *mailbox) takeLook() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	look := b.look
	b.look = false
	return look
}

// takeMail returns the next event, nil if there is none.
func (b *mailbox) takeMail() *message {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mail) == 0 {
		return nil
	}
	m := b.mail[0]
	n := copy(b.mail, b.mail[1:])
	b.mail[n] = nil
	b.mail = b.mail[:n]
	return m
}
