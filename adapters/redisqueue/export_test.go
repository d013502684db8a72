package redisqueue

import (
	"context"
	"runtime"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// Sources returns the source of every script by its hash.
func Sources() map[string]string {
	sources := map[string]string{}
	for _, s := range []*script{enqueueScript, claimScript, extendScript, ackScript, nackScript, cancelScript, statsScript} {
		sources[s.hash] = s.source
	}
	return sources
}

// Waiting returns how many Claims wait.
func (q *Queue) Waiting() int {
	q.line.mu.Lock()
	defer q.line.mu.Unlock()
	return len(q.line.waiters)
}

// Prefix returns what every key begins with.
func (q *Queue) Prefix() string { return q.base[1 : len(q.base)-2] }

// Hold makes calls for the named queue gather, as if a run were under way, until
// they are released. Gathered is how many have.
func (q *Queue) Hold(queue string) (gathered func() int, release func()) {
	enqueues, releaseEnqueues := q.enqueues.hold(queue)
	claims, releaseClaims := q.claims.hold(keyOf([]string{queue}))
	acks, releaseAcks := q.acks.hold(queue)
	gathered = func() int { return enqueues() + claims() + acks() }
	return gathered, func() { releaseEnqueues(); releaseClaims(); releaseAcks() }
}

func (b *batches[In, Out]) hold(key string) (gathered func() int, release func()) {
	for !b.begin(key) {
		runtime.Gosched() // the last run has to end first
	}
	return func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.next[key])
	}, func() { go b.serve(key) }
}

// begin makes a run be under way, unless one is.
func (b *batches[In, Out]) begin(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, busy := b.next[key]; busy {
		return false
	}
	if b.next == nil {
		b.next = map[string][]*call[In, Out]{}
	}
	b.next[key] = nil
	return true
}

// EnqueueAll adds entries of one queue in one run.
func (q *Queue) EnqueueAll(entries ...ports.Entry) error {
	_, err := q.enqueueAll(context.Background(), entries)
	return err
}

// ClaimAll looks at these queues, which are sorted, once for each ttl in one run. It
// returns no lease for those for whom there is nothing, and how long that will be so.
func (q *Queue) ClaimAll(queues []string, ttls ...time.Duration) (leases []ports.Lease, next []time.Duration, err error) {
	var claims []claim
	for _, ttl := range ttls {
		claims = append(claims, claim{queues, ttl})
	}
	all, err := q.claimAll(context.Background(), claims)
	for _, f := range all {
		leases, next = append(leases, f.lease), append(next, f.next)
	}
	return leases, next, err
}

// AckAll acknowledges leases of one queue in one run, and returns what is said of each.
func (q *Queue) AckAll(leases ...ports.Lease) ([]error, error) {
	words, err := q.ackAll(context.Background(), leases)
	var verdicts []error
	for _, word := range words {
		verdicts = append(verdicts, verdict(word))
	}
	return verdicts, err
}
