package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// patience bounds the waits for what normally takes seconds at most.
const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 10*time.Millisecond, what)
}

// logged is what a logger has said.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// about returns the errors that were logged of a server.
func (l *logged) about(t *testing.T, server string) []string {
	t.Helper()
	var errs []string
	for dec := json.NewDecoder(strings.NewReader(l.String())); ; {
		var line struct{ Msg, Server, Error string }
		err := dec.Decode(&line)
		if err == io.EOF {
			return errs
		}
		require.NoError(t, err)
		if line.Server == server && line.Error != "" {
			assert.Equal(t, "cannot be used yet; trying again", line.Msg)
			errs = append(errs, line.Error)
		}
	}
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// somewhere are places that are well written, where there need be nobody.
func somewhere() Servers {
	return Servers{
		MongoURI: "mongodb://127.0.0.1:1/", MongoDB: "tasks",
		RedisURL: "redis://127.0.0.1:1/0", EventRetention: time.Hour,
		MinIOEndpoint: "http://127.0.0.1:1", MinIOAccessKey: "key", MinIOSecretKey: "a-secret", MinIOBucket: "logs",
	}
}

func TestMalformedPlacesOfServersAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Servers)
		field  string
	}{
		"no URI of MongoDB":                        {func(s *Servers) { s.MongoURI = "" }, "mongo_uri"},
		"a URI of something else":                  {func(s *Servers) { s.MongoURI = "http://u:a-secret@h" }, "mongo_uri"},
		"a URI without a host":                     {func(s *Servers) { s.MongoURI = "mongodb://u:a-secret@/" }, "mongo_uri"},
		"a URI with a password that is not quoted": {func(s *Servers) { s.MongoURI = "mongodb://u:a-secret/@h" }, "mongo_uri"},
		"a URI with an option that is none":        {func(s *Servers) { s.MongoURI = "mongodb://u:a-secret@h/?maxPoolSize=some" }, "mongo_uri"},
		"no database":                              {func(s *Servers) { s.MongoDB = "" }, "mongo_db_name"},
		"a database with a dot":                    {func(s *Servers) { s.MongoDB = "a.b" }, "mongo_db_name"},
		"a database with a long name":              {func(s *Servers) { s.MongoDB = strings.Repeat("a", 64) }, "mongo_db_name"},
		"no URL of Redis":                          {func(s *Servers) { s.RedisURL = "" }, "redis_url"},
		"a host alone":                             {func(s *Servers) { s.RedisURL = "a-secret@h:6379" }, "redis_url"},
		"a URL with a password that is not quoted": {func(s *Servers) { s.RedisURL = "redis://:a-secret%@h" }, "redis_url"},
		"no timeout of Redis":                      {func(s *Servers) { s.RedisURL = "redis://:a-secret@h?read_timeout=-1" }, "redis_url"},
		"a URL whose database is a name":           {func(s *Servers) { s.RedisURL = "redis://:a-secret@h/tasks" }, "redis_url"},
		"events that are kept for no time":         {func(s *Servers) { s.EventRetention = 0 }, "event_retention"},
		"no endpoint of MinIO":                     {func(s *Servers) { s.MinIOEndpoint = "" }, "minio_endpoint"},
		"an endpoint without a scheme":             {func(s *Servers) { s.MinIOEndpoint = "127.0.0.1:9000" }, "minio_endpoint"},
		"an endpoint without a host":               {func(s *Servers) { s.MinIOEndpoint = "http://:9000" }, "minio_endpoint"},
		"an endpoint with a path":                  {func(s *Servers) { s.MinIOEndpoint = "http://h/logs" }, "minio_endpoint"},
		"an endpoint with a password":              {func(s *Servers) { s.MinIOEndpoint = "http://u:a-secret@h" }, "minio_endpoint"},
		"an endpoint whose host is none":           {func(s *Servers) { s.MinIOEndpoint = "http://-h-:9000" }, "minio_endpoint"},
		"a public endpoint that is a word":         {func(s *Servers) { s.MinIOPublicEndpoint = "here" }, "minio_public_endpoint"},
		"a public endpoint with a password":        {func(s *Servers) { s.MinIOPublicEndpoint = "https://u:a-secret@h" }, "minio_public_endpoint"},
		"no access key":                            {func(s *Servers) { s.MinIOAccessKey = "" }, "minio_access_key"},
		"no secret key":                            {func(s *Servers) { s.MinIOSecretKey = "" }, "minio_secret_key"},
		"no bucket":                                {func(s *Servers) { s.MinIOBucket = "" }, "minio_bucket"},
		"a bucket that is no name":                 {func(s *Servers) { s.MinIOBucket = "The Logs" }, "minio_bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := somewhere()
			tt.change(&s)
			_, err := Connect(s)
			var field *ports.FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, tt.field, field.Field)
			assert.NotEmpty(t, field.Problem)
			assert.NotContains(t, err.Error(), "a-secret")
		})
	}
	c, err := Connect(somewhere())
	require.NoError(t, err, "what the others are changed from is good")
	c.Close()
}

func TestANameServiceThatIsAwayIsNoMalformedURI(t *testing.T) {
	t.Parallel()
	s := somewhere()
	s.MongoURI = "mongodb+srv://u:a-secret@nowhere.invalid/"
	c, err := Connect(s)
	require.NoError(t, err)
	defer c.Close()
	err = c.all[0].open(t.Context())
	require.ErrorContains(t, err, "nowhere.invalid")
	assert.NotContains(t, err.Error(), "secret")
}

// own are servers of a test's own.
type own struct {
	mongo *testenv.MongoServer
	redis *testenv.RedisServer
	minio *testenv.MinIOServer
}

func ownServers(t *testing.T) own {
	t.Helper()
	return own{testenv.OwnMongo(t, testenv.MongoOptions{}), testenv.OwnRedis(t, testenv.RedisOptions{}), testenv.OwnMinIO(t, testenv.MinIOOptions{})}
}

func (o own) places() Servers {
	s := somewhere()
	s.MongoURI, s.RedisURL = o.mongo.URI, "redis://"+o.redis.Addr()
	s.MinIOEndpoint, s.MinIOAccessKey, s.MinIOSecretKey = "http://"+o.minio.Endpoint, o.minio.AccessKey, o.minio.SecretKey
	return s
}

// byName are the servers by the names of their checks.
func (o own) byName() map[string]*testenv.Server {
	return map[string]*testenv.Server{"mongodb": o.mongo.Server, "redis": o.redis.Server, "minio": o.minio.Server}
}

func TestServersMayComeLateAndGoAndComeBack(t *testing.T) {
	t.Parallel()
	servers := ownServers(t)
	for _, server := range servers.byName() {
		server.Kill(t)
	}
	c, err := Connect(servers.places())
	require.NoError(t, err)
	defer c.Close()
	var log logged
	var backend ports.Backend
	opened := make(chan error, 1)
	go func() {
		var err error
		backend, err = c.Open(t.Context(), log.logger())
		opened <- err
	}()
	checks := map[string]func(context.Context) error{}
	for _, check := range c.Checks() {
		checks[check.Name] = check.Ready
		assert.EqualError(t, check.Ready(t.Context()), "it has not been reached yet", check.Name)
	}
	require.Len(t, checks, 3)
	for name, server := range servers.byName() {
		eventually(t, name+" is told of", func() bool { return len(log.about(t, name)) > 0 })
		server.Start(t)
		eventually(t, name+" is reached", func() bool { return checks[name](t.Context()) == nil })
	}
	require.NoError(t, <-opened)
	assert.True(t, backend.Store != nil && backend.Queue != nil && backend.Events != nil && backend.Logs != nil, "%+v", backend)

	for name, server := range servers.byName() {
		server.Kill(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // as readiness gives them
		assert.Error(t, checks[name](ctx), name)
		cancel()
		server.Start(t)
		eventually(t, name+" is back", func() bool { return checks[name](t.Context()) == nil })
	}
	_, err = backend.Store.Get(t.Context(), "t")
	assert.ErrorIs(t, err, ports.ErrNotFound)
}

func TestServersThatRefuseUsAreToldOfOnceAndTriedAgain(t *testing.T) {
	t.Parallel()
	evicting := testenv.OwnRedis(t, testenv.RedisOptions{Args: []string{"--maxmemory-policy", "allkeys-lru"}})
	for name, tt := range map[string]struct {
		change func(*testing.T, *Servers)
		server string
		tells  string
		mend   func(*testing.T) // nil: the operator has to start it anew
	}{
		"nobody at the address of MongoDB": {func(*testing.T, *Servers) {}, "mongodb", "connection refused", nil},
		"nobody at the address of Redis":   {func(*testing.T, *Servers) {}, "redis", "check its address", nil},
		"nobody at the address of MinIO":   {func(*testing.T, *Servers) {}, "minio", "connection refused", nil},
		"a Redis that drops what it has": {
			func(_ *testing.T, s *Servers) { s.RedisURL = "redis://" + evicting.Addr() }, "redis", "CONFIG SET maxmemory-policy noeviction",
			func(t *testing.T) {
				require.NoError(t, evicting.Client(t).ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
			},
		},
		"a password of Redis that is another": {func(t *testing.T, s *Servers) {
			s.RedisURL = "rediss://:a-secret@" + testenv.OwnRedis(t, testenv.RedisOptions{Secure: true}).Addr() + "?skip_verify=true"
		}, "redis", "check the user and the password", nil},
		"a password of MongoDB that is another": {func(t *testing.T, s *Servers) {
			s.MongoURI = "mongodb://test:a-secret@" + testenv.OwnMongo(t, testenv.MongoOptions{Secure: true}).Addr() + "/?tls=true&tlsInsecure=true"
		}, "mongodb", "authenticat", nil},
		"a secret key of MinIO that is another": {func(t *testing.T, s *Servers) {
			server := testenv.OwnMinIO(t, testenv.MinIOOptions{})
			s.MinIOEndpoint, s.MinIOAccessKey = "http://"+server.Endpoint, server.AccessKey
		}, "minio", "key", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			places := somewhere()
			tt.change(t, &places)
			c, err := Connect(places)
			require.NoError(t, err)
			defer c.Close()
			d := c.all[slices.IndexFunc(c.all, func(d *dependency) bool { return d.name == tt.server })]
			var tries atomic.Int32
			open := d.open
			d.open = func(ctx context.Context) error {
				defer tries.Add(1)
				return open(ctx)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var log logged
			reached := make(chan struct{})
			go func() {
				defer close(reached)
				d.reach(ctx, log.logger())
			}()
			eventually(t, "it is tried again and again", func() bool { return tries.Load() >= 2 })
			if tt.mend != nil {
				tt.mend(t)
			} else {
				cancel()
			}
			<-reached
			assert.Equal(t, tt.mend != nil, d.ready.Load())
			told := log.about(t, tt.server)
			require.Len(t, told, 1)
			assert.Contains(t, told[0], tt.tells)
			assert.NotContains(t, log.String(), "a-secret")
		})
	}
}

func TestOpeningAndClosingEndWhoeverDoesNotAnswer(t *testing.T) {
	t.Parallel()
	servers := ownServers(t)
	c, err := Connect(servers.places())
	require.NoError(t, err)
	_, err = c.Open(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	late, err := Connect(servers.places())
	require.NoError(t, err)

	for _, server := range servers.byName() {
		server.Pause(t)
		defer server.Resume(t)
	}
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error, 1)
	go func() {
		_, err := late.Open(ctx, slog.New(slog.DiscardHandler))
		opened <- err
	}()
	cancel()
	assert.ErrorIs(t, <-opened, context.Canceled)
	late.Close()
	c.Close() // goleak looks for what they leave behind
}
