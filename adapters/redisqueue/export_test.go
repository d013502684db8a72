package redisqueue

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
