package testenv

import (
	"testing"
)

// Server is a server of a test's own in a container, which the test may kill and start
// again. Its address and its data stay the same.
type Server struct{ addr string }

// Addr returns where it listens, as host and port.
func (s *Server) Addr() string { return s.addr }

// Kill ends the server at once (SIGKILL).
func (s *Server) Kill(t testing.TB) { t.Helper() }

// Start starts the server again and waits until it answers.
func (s *Server) Start(t testing.TB) { t.Helper() }

// Pause freezes the server. Its connections stay, and nothing is answered.
func (s *Server) Pause(t testing.TB) { t.Helper() }

// Resume ends a pause.
func (s *Server) Resume(t testing.TB) { t.Helper() }

// shared is a server that the tests of a process share: it is started for the first
// that asks for it.
type shared[S any] struct{ own func(testing.TB) S }

func (s *shared[S]) get(t testing.TB) S { t.Helper(); return s.own(t) }

var (
	sharedRedis = shared[*RedisServer]{func(t testing.TB) *RedisServer { return OwnRedis(t, RedisOptions{}) }}
	sharedMongo = shared[*MongoServer]{func(t testing.TB) *MongoServer { return OwnMongo(t, MongoOptions{}) }}
	sharedMinIO = shared[*MinIOServer]{func(t testing.TB) *MinIOServer { return OwnMinIO(t, MinIOOptions{}) }}
)
