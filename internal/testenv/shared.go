package testenv

import (
	"slices"
	"sync"
	"testing"
)

// shared is a server that the tests of a process share: it is started for the first
// test that asks for it, and removed with the last.
type shared[S any] struct {
	start func(testing.TB) S

	mu     sync.Mutex
	users  int
	server S
	owner  *owner
}

var (
	sharedRedis = &shared[*RedisServer]{start: func(t testing.TB) *RedisServer { return OwnRedis(t, RedisOptions{}) }}
	sharedMongo = &shared[*MongoServer]{start: func(t testing.TB) *MongoServer { return OwnMongo(t, MongoOptions{}) }}
	sharedMinIO = &shared[*MinIOServer]{start: func(t testing.TB) *MinIOServer { return OwnMinIO(t, MinIOOptions{}) }}
)

// get returns the server, which is there until the end of the test at least.
func (s *shared[S]) get(t testing.TB) S {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	t.Cleanup(func() { s.release(t) })
	if s.owner == nil {
		owner := &owner{TB: t}
		// What a start that failed has left ends with this test.
		started := false
		defer func() {
			if !started {
				owner.end(t)
			}
		}()
		s.server = s.start(owner)
		s.owner, started = owner, true
	}
	return s.server
}

func (s *shared[S]) release(t testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	if s.users == 0 && s.owner != nil {
		s.owner.end(t)
		s.owner = nil
	}
}

// owner is the test that started a shared server, whose cleanup is left to the last that
// uses it.
type owner struct {
	testing.TB
	cleanups []func()
}

// Cleanup keeps f for the end of the server.
func (o *owner) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }

// end does what was to be done at the end of a test, and says what fails to t.
func (o *owner) end(t testing.TB) {
	o.TB = t
	for _, f := range slices.Backward(o.cleanups) {
		f()
	}
}
