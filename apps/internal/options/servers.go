package options

import (
	"time"

	"github.com/task-runner/task-runner/apps/internal/settings"
	"github.com/task-runner/task-runner/apps/internal/wire"
	"github.com/task-runner/task-runner/ports"
)

// Servers are the servers that processes on many machines share.
type Servers struct {
	mongoURI, mongoDB            *string
	redisURL                     *string
	endpoint, public             *string
	accessKey, secretKey, bucket *string
	events                       *time.Duration
}

// NewServers declares them.
func NewServers(s *settings.Set) Servers {
	s.Group("Servers")
	f := Servers{}
	f.mongoURI = settings.Secret(s, "mongo-uri", "URI", "mongodb://127.0.0.1:27017", "the MongoDB that keeps tasks", settings.Text)
	f.mongoDB = settings.Var(s, "mongo-db-name", "NAME", "taskrunner", "its database", settings.Text)
	f.redisURL = settings.Secret(s, "redis-url", "URL", "redis://127.0.0.1:6379/0", "the Redis that has the queue and the events", settings.Text)
	f.events = settings.Var(s, "event-retention", "TIME", "1h", "how long Redis keeps the events of a task after the last one; who comes later gets what the record has", settings.Duration)
	f.endpoint = settings.Var(s, "minio-endpoint", "URL", "http://127.0.0.1:9000", "the MinIO, or other S3 store, that keeps logs", settings.Text)
	f.public = settings.Var(s, "minio-public-endpoint", "URL", "", "where browsers reach that store", settings.Text)
	s.ShowDefault("minio-public-endpoint", "MINIO_ENDPOINT")
	f.accessKey = settings.Secret(s, "minio-access-key", "KEY", "taskrunner", "the name of its user", settings.Text)
	f.secretKey = settings.Secret(s, "minio-secret-key", "KEY", InsecureSecret, "the password of that user", settings.Text)
	f.bucket = settings.Var(s, "minio-bucket", "NAME", "taskrunner-logs", "its bucket", settings.Text)
	return f
}

// Config returns what was given.
func (f Servers) Config() wire.Servers {
	return wire.Servers{
		MongoURI: *f.mongoURI, MongoDB: *f.mongoDB, RedisURL: *f.redisURL, EventRetention: *f.events,
		MinIOEndpoint: *f.endpoint, MinIOPublicEndpoint: *f.public,
		MinIOAccessKey: *f.accessKey, MinIOSecretKey: *f.secretKey, MinIOBucket: *f.bucket,
	}
}

// Queues declares the names of the queues that a process serves; the default is the one
// of tasks that name none.
func Queues(s *settings.Set, usage string) *[]string {
	return settings.Var(s, "queues", "NAMES", ports.DefaultQueue, usage, settings.Names)
}
