package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redis/go-redis/v9"
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
)

// Connections are the connections to Servers. They come back by themselves when a server
// was away.
type Connections struct {
	mongo *mongo.Client
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
	for field, value := range map[string]string{
		"mongo_db_name": s.MongoDB, "minio_access_key": s.MinIOAccessKey, "minio_secret_key": s.MinIOSecretKey, "minio_bucket": s.MinIOBucket,
	} {
		if value == "" {
			return nil, ports.Invalid(field, "must not be empty")
		}
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
		public = s.MinIOPublicEndpoint
	}
	// The causes of these two may quote a password.
	redisOptions, err := redis.ParseURL(s.RedisURL)
	if err != nil {
		return nil, ports.Invalid("redis_url", "must be redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS, where a password has its special characters percent-encoded")
	}
	mongoOptions := options.Client().ApplyURI(s.MongoURI)
	if mongoOptions.Validate() != nil {
		return nil, ports.Invalid("mongo_uri", "must be mongodb://USER:PASSWORD@HOST:PORT/, or mongodb+srv://, where a password has its special characters percent-encoded")
	}

	c := &Connections{redis: redis.NewClient(redisOptions)}
	if c.mongo, err = mongo.Connect(mongoOptions); err != nil {
		return nil, errors.Join(ports.Invalid("mongo_uri", "cannot be used"), c.redis.Close())
	}
	secure := endpoint.Scheme == "https"
	if c.http, err = minio.DefaultTransport(secure); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing connections to MinIO: %w", err), c.Close(context.Background()))
	}
	objects, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s.MinIOAccessKey, s.MinIOSecretKey, ""), Secure: secure, Transport: c.http,
	})
	if err != nil {
		return nil, errors.Join(ports.Invalid("minio_endpoint", "cannot be used: %v", err), c.Close(context.Background()))
	}

	c.all = []*dependency{
		{
			name: "mongodb",
			open: func(ctx context.Context) (err error) {
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
	var reaching sync.WaitGroup
	for _, d := range c.all {
		reaching.Go(func() { d.reach(ctx, log) })
	}
	reaching.Wait()
	return c.backend, ctx.Err()
}

// reach opens the dependency, however long that takes.
func (d *dependency) reach(ctx context.Context, log *slog.Logger) {
	told := ""
	for {
		attempt, cancel := context.WithTimeout(ctx, reachTimeout)
		err := d.open(attempt)
		cancel()
		if err == nil {
			d.ready.Store(true)
			log.InfoContext(ctx, "reached", "server", d.name)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != told { // not the same every second
			log.WarnContext(ctx, "cannot be used yet; trying again", "server", d.name, "error", err)
			told = text
		}
		pause := time.NewTimer(retryEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
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

// Close closes all connections. Nothing may use the backend any more.
func (c *Connections) Close(ctx context.Context) error {
	var errs []error
	if c.bus != nil {
		errs = append(errs, c.bus.Close())
	}
	errs = append(errs, c.redis.Close(), c.mongo.Disconnect(ctx))
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	return errors.Join(errs...)
}
