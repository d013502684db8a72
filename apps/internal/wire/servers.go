package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/adapters/httpapi"
	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/adapters/mongostore"
	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/ports"
)

// Servers says where the servers are that the processes of a system share. Every field
// but the public endpoint is required.
type Servers struct {
	// MongoURI and MongoDB are of the MongoDB that keeps tasks, and its database.
	MongoURI, MongoDB string
	// RedisURL is of the Redis that has the queue and the events.
	RedisURL string
	// EventRetention is how long Redis keeps the events of a task after the last one;
	// at least a second.
	EventRetention time.Duration
	// MinIOEndpoint is the URL of the store that keeps logs, of http or https, and
	// MinIOPublicEndpoint that under which browsers reach it. Default: the same.
	MinIOEndpoint, MinIOPublicEndpoint string
	// MinIOAccessKey, MinIOSecretKey and MinIOBucket are of that store, too.
	MinIOAccessKey, MinIOSecretKey, MinIOBucket string
	// LogsExpire is when the store removes by itself what a crash left behind; longer
	// than finished tasks are kept. 0: its rules are left as they are.
	LogsExpire time.Duration
}

const (
	// reachTimeout bounds one attempt to reach a server, and retryEvery is the pause
	// before the next one.
	reachTimeout = 10 * time.Second
	retryEvery   = time.Second
	// closeTimeout bounds the farewell to servers, which may not answer any more.
	closeTimeout = 3 * time.Second
	// connectTimeout is how long MongoDB may take to answer a new connection, unless its
	// URI says another time. The driver's own is 30 s, for which a close waits, too.
	connectTimeout = 5 * time.Second
	// maxDatabase is how long the name of a MongoDB database may be.
	maxDatabase = 63
)

// Connections are the connections to Servers. They come back by themselves when a server
// was away.
type Connections struct {
	mongo *mongo.Client // nil until its servers are known
	redis *redis.Client
	http  *http.Transport // MinIO's

	all     []*dependency
	backend ports.Backend // whole once all are open
	bus     *redisbus.Bus
}

// dependency is a server that is reached, sooner or later.
type dependency struct {
	name  string
	open  func(context.Context) error // makes the adapter, which looks at the server first
	ping  func(context.Context) error
	ready atomic.Bool // it has been opened
}

// Connect prepares the connections and makes none yet. A *ports.FieldError names what
// cannot be: "mongo_uri", "redis_url", "minio_endpoint" and so on, and shows no secret.
func Connect(s Servers) (*Connections, error) {
	for field, value := range map[string]string{"minio_access_key": s.MinIOAccessKey, "minio_secret_key": s.MinIOSecretKey} {
		if value == "" {
			return nil, ports.Invalid(field, "must not be empty")
		}
	}
	if s.MongoDB == "" || len(s.MongoDB) > maxDatabase || strings.ContainsAny(s.MongoDB, "/\\. \"$*<>:|?\x00") {
		return nil, ports.Invalid("mongo_db_name", "must be the name of a database: 1 to %d bytes, without blanks or any of /\\.\"$*<>:|?", maxDatabase)
	}
	if err := s3utils.CheckValidBucketNameStrict(s.MinIOBucket); err != nil {
		return nil, ports.Invalid("minio_bucket", "must be the name of a bucket, such as taskrunner-logs: %v", err)
	}
	if s.EventRetention < time.Second {
		return nil, ports.Invalid("event_retention", "must be at least 1s")
	}
	endpoint, err := httpURL("minio_endpoint", s.MinIOEndpoint)
	if err != nil {
		return nil, err
	}
	public := ""
	if s.MinIOPublicEndpoint != "" {
		if _, err := httpURL("minio_public_endpoint", s.MinIOPublicEndpoint); err != nil {
			return nil, err
		}
		public = strings.TrimSuffix(s.MinIOPublicEndpoint, "/")
	}
	redisOptions, err := redis.ParseURL(s.RedisURL)
	if err != nil { // which may quote a password
		return nil, ports.Invalid("redis_url", "must be redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS, where a password has its special characters percent-encoded")
	}
	if redisOptions.ReadTimeout < 0 && !redisOptions.ContextTimeoutEnabled {
		return nil, ports.Invalid("redis_url", "must not switch off its read_timeout: an answer would be waited for without an end")
	}
	// A feature of hosted servers, whose handshake others complain of.
	redisOptions.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if _, err := mongoOptions(s.MongoURI); errors.Is(err, ports.ErrInvalid) {
		return nil, err
	}
	secure := endpoint.Scheme == "https"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("preparing connections to MinIO: %w", err)
	}
	objects, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s.MinIOAccessKey, s.MinIOSecretKey, ""), Secure: secure, Transport: transport,
	})
	if err != nil {
		return nil, ports.Invalid("minio_endpoint", "cannot be used: %v", err)
	}

	c := &Connections{redis: redis.NewClient(redisOptions), http: transport}
	c.all = []*dependency{
		{
			name: "mongodb",
			open: func(ctx context.Context) (err error) {
				if c.mongo == nil {
					o, err := mongoOptions(s.MongoURI)
					if err != nil {
						return err
					}
					if c.mongo, err = mongo.Connect(o); err != nil {
						return err
					}
				}
				c.backend.Store, err = mongostore.New(ctx, c.mongo.Database(s.MongoDB))
				return err
			},
			ping: func(ctx context.Context) error { return c.mongo.Ping(ctx, nil) },
		},
		{
			name: "redis",
			open: func(ctx context.Context) (err error) {
				if c.backend.Queue, err = redisqueue.New(ctx, c.redis, redisqueue.Config{}); err != nil {
					return err
				}
				if c.bus, err = redisbus.New(ctx, c.redis, redisbus.Config{TTL: s.EventRetention}); err != nil {
					return err
				}
				c.backend.Events = c.bus
				return nil
			},
			ping: func(ctx context.Context) error { return c.redis.Ping(ctx).Err() },
		},
		{
			name: "minio",
			open: func(ctx context.Context) (err error) {
				c.backend.Logs, err = miniolog.New(ctx, objects, miniolog.Config{Bucket: s.MinIOBucket, PublicURL: public, Expire: s.LogsExpire})
				return err
			},
			ping: func(ctx context.Context) error {
				found, err := objects.BucketExists(ctx, s.MinIOBucket)
				if err == nil && !found {
					err = fmt.Errorf("the bucket %s is gone", s.MinIOBucket)
				}
				return err
			},
		},
	}
	return c, nil
}

// mongoOptions reads a URI. One of mongodb+srv:// needs the name service for that: an error
// of this, which may be away, is not a *ports.FieldError.
func mongoOptions(uri string) (*options.ClientOptions, error) {
	o := options.Client().ApplyURI(uri)
	err := o.Validate() // which may quote a password
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return nil, dns
	}
	if err != nil {
		return nil, ports.Invalid("mongo_uri", "must be mongodb://USER:PASSWORD@HOST:PORT/, or mongodb+srv://, where a password has its special characters percent-encoded")
	}
	if o.ConnectTimeout == nil {
		o.SetConnectTimeout(connectTimeout)
	}
	return o, nil
}

// httpURL returns a URL of nothing but a scheme and a host.
func httpURL(field, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, ports.Invalid(field, "must be http:// or https://, a host and perhaps a port, such as http://127.0.0.1:9000")
	}
	return u, nil
}

// Open reaches every server and returns the backend on them. One that is away, or that
// refuses us, is tried again and again until ctx is done, which is the only error.
func (c *Connections) Open(ctx context.Context, log *slog.Logger) (ports.Backend, error) {
	redis.SetLogger(redisLog{log})
	var reaching sync.WaitGroup
	for _, d := range c.all {
		reaching.Go(func() { d.reach(ctx, log) })
	}
	reaching.Wait()
	return c.backend, ctx.Err()
}

// redisLog has the client's own words, which are one for each connection that fails, among
// those that nobody needs to see: whatever comes of it is told elsewhere.
type redisLog struct{ *slog.Logger }

// Printf implements the client's interface.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	if l.Enabled(ctx, slog.LevelDebug) {
		l.DebugContext(ctx, fmt.Sprintf(format, v...))
	}
}

// reach opens the dependency, however long that takes.
func (d *dependency) reach(ctx context.Context, log *slog.Logger) {
	log = log.With("server", d.name)
	err := persist(ctx, log, retryEvery, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, reachTimeout)
		defer cancel()
		return d.open(ctx)
	}, func(error) bool { return false })
	if err == nil {
		d.ready.Store(true)
		log.InfoContext(ctx, "reached")
	}
}

// persist does what cannot be done for now again and again, until it is done, ctx is, or
// its error is final. It tells what is in the way, and not each time the same.
func persist(ctx context.Context, log *slog.Logger, every time.Duration, do func(context.Context) error, final func(error) bool) error {
	told := ""
	for {
		err := do(ctx)
		if err == nil || ctx.Err() != nil || final(err) {
			return err
		}
		if text := err.Error(); text != told {
			log.WarnContext(ctx, "cannot be used yet; trying again", "error", err)
			told = text
		}
		pause := time.NewTimer(every)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// check is whether the server answers now.
func (d *dependency) check(ctx context.Context) error {
	if !d.ready.Load() {
		return errors.New("it has not been reached yet")
	}
	return d.ping(ctx)
}

// Checks are whether each server can be used now, by name.
func (c *Connections) Checks() []httpapi.Check {
	checks := make([]httpapi.Check, len(c.all))
	for i, d := range c.all {
		checks[i] = httpapi.Check{Name: d.name, Ready: d.check}
	}
	return checks
}

// Close closes all connections. Nothing may use the backend any more. It does not wait
// for servers that do not answer, whose farewell is nobody's trouble.
func (c *Connections) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if c.bus != nil {
		_ = c.bus.Close()
	}
	_ = c.redis.Close()
	if c.mongo != nil {
		_ = c.mongo.Disconnect(ctx)
	}
	c.http.CloseIdleConnections()
}
