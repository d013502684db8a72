package chaos

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/adapters/miniolog"
	"github.com/task-runner/task-runner/adapters/mongostore"
	"github.com/task-runner/task-runner/adapters/redisbus"
	"github.com/task-runner/task-runner/adapters/redisqueue"
	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
)

// server is one of the servers, as far as faults go.
type server interface {
	Kill(testing.TB)
	Start(testing.TB)
	Pause(testing.TB)
	Resume(testing.TB)
}

// servers are one of each, a world's own.
type servers struct{ redis, mongo, minio server }

// addresses say where the servers are, and what of them is the world's. They are what
// a process needs to take part.
type addresses struct {
	Redis, Mongo, MinIO  string // host and port
	AccessKey, SecretKey string
	Name                 string // of the database and the bucket, and the prefix of keys
}

// start starts servers. Redis keeps every write before it answers: what a Redis
// server forgets is another story than what Task Runner forgets.
func start(t *testing.T, redisOptions testenv.RedisOptions) (servers, addresses) {
	t.Helper()
	redisOptions.Args = append(redisOptions.Args, "--appendonly", "yes", "--appendfsync", "always")
	r := testenv.OwnRedis(t, redisOptions)
	m := testenv.OwnMongo(t, testenv.MongoOptions{})
	l := testenv.OwnMinIO(t, testenv.MinIOOptions{})
	return servers{r, m, l}, addresses{
		Redis: r.Addr(), Mongo: m.Addr(), MinIO: l.Addr(),
		AccessKey: l.AccessKey, SecretKey: l.SecretKey,
		Name: testenv.Unique(t),
	}
}

// open connects to the servers. What shut closes is there in part if there is an error.
func (a addresses) open(ctx context.Context) (b ports.Backend, shut func(), err error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	redisClient := redis.NewClient(&redis.Options{Addr: a.Redis})
	var mongoClient *mongo.Client
	var bus *redisbus.Bus
	shut = func() {
		if bus != nil {
			_ = bus.Close()
		}
		if mongoClient != nil {
			end, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = mongoClient.Disconnect(end)
		}
		_ = redisClient.Close()
		transport.CloseIdleConnections()
	}
	if mongoClient, err = mongo.Connect(options.Client().ApplyURI("mongodb://" + a.Mongo + "/")); err != nil {
		return b, shut, fmt.Errorf("making a client of MongoDB: %w", err)
	}
	minioClient, err := minio.New(a.MinIO, &minio.Options{
		Creds: credentials.NewStaticV4(a.AccessKey, a.SecretKey, ""), Transport: transport,
	})
	if err != nil {
		return b, shut, fmt.Errorf("making a client of MinIO: %w", err)
	}
	if b.Store, err = mongostore.New(ctx, mongoClient.Database(a.Name)); err != nil {
		return b, shut, err
	}
	if b.Queue, err = redisqueue.New(ctx, redisClient, redisqueue.Config{Prefix: a.Name}); err != nil {
		return b, shut, err
	}
	if bus, err = redisbus.New(ctx, redisClient, redisbus.Config{Prefix: a.Name}); err != nil {
		return b, shut, err
	}
	b.Events = bus
	b.Logs, err = miniolog.New(ctx, minioClient, miniolog.Config{Bucket: a.Name})
	return b, shut, err
}
