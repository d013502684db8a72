package testenv

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/minio/minio-go/v7"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestUnique(t *testing.T) {
	a, b := Unique(t), Unique(t)
	assert.NotEqual(t, a, b)
	assert.Regexp(t, "^[a-z0-9-]{3,63}$", a, "also a bucket may be called so")
}

func TestSharedServers(t *testing.T) {
	ctx := t.Context()
	t.Run("tests share a Redis server while one uses it, and it ends with the last", func(t *testing.T) {
		t.Setenv("TASKRUNNER_TEST_REDIS_URL", "")
		var server *Server
		t.Cleanup(func() { assert.Error(t, server.connects(context.Background())) }) // after that of Redis
		a := Redis(t)
		server = sharedRedis.server.Server
		key := Unique(t)
		require.NoError(t, a.Set(ctx, key, "here", 0).Err())
		t.Run("another", func(t *testing.T) {
			got, err := Redis(t).Get(ctx, key).Result()
			require.NoError(t, err)
			assert.Equal(t, "here", got)
		})
		assert.NoError(t, a.Ping(ctx).Err(), "the end of the other one is not the server's")
	})
	t.Run("every call for MongoDB gives a database of its own", func(t *testing.T) {
		t.Setenv("TASKRUNNER_TEST_MONGO_URI", "")
		a, b := Mongo(t), Mongo(t)
		_, err := a.Collection("c").InsertOne(ctx, bson.D{{Key: "_id", Value: 1}})
		require.NoError(t, err)
		n, err := b.Collection("c").CountDocuments(ctx, bson.D{})
		require.NoError(t, err)
		assert.Zero(t, n)
	})
	t.Run("MinIO keeps buckets", func(t *testing.T) {
		t.Setenv("TASKRUNNER_TEST_MINIO_ENDPOINT", "")
		bucket := Unique(t)
		require.NoError(t, MinIO(t).Client(t).MakeBucket(ctx, bucket, minio.MakeBucketOptions{}))
		found, err := MinIO(t).Client(t).BucketExists(ctx, bucket)
		require.NoError(t, err)
		assert.True(t, found)
	})
}

func TestServersThatTheEnvironmentNames(t *testing.T) {
	ctx := t.Context()
	redisServer, mongoServer, minioServer := OwnRedis(t, RedisOptions{}), OwnMongo(t, MongoOptions{}), OwnMinIO(t, MinIOOptions{})
	t.Setenv("TASKRUNNER_TEST_REDIS_URL", "redis://"+redisServer.Addr()+"/0")
	t.Setenv("TASKRUNNER_TEST_MONGO_URI", mongoServer.URI)
	t.Setenv("TASKRUNNER_TEST_MINIO_ENDPOINT", minioServer.Endpoint)
	t.Setenv("TASKRUNNER_TEST_MINIO_ACCESS_KEY", minioServer.AccessKey)
	t.Setenv("TASKRUNNER_TEST_MINIO_SECRET_KEY", minioServer.SecretKey)

	t.Run("Redis", func(t *testing.T) {
		require.NoError(t, Redis(t).Set(ctx, "key", "value", 0).Err())
		assert.Equal(t, "value", redisServer.Client(t).Get(ctx, "key").Val())
	})
	t.Run("MongoDB, and the database is dropped at the end of the test", func(t *testing.T) {
		var name string
		t.Run("test", func(t *testing.T) {
			db := Mongo(t)
			name = db.Name()
			_, err := db.Collection("c").InsertOne(ctx, bson.D{{Key: "_id", Value: 1}})
			require.NoError(t, err)
			names, err := mongoServer.Client(t).ListDatabaseNames(ctx, bson.D{})
			require.NoError(t, err)
			assert.Contains(t, names, name)
		})
		names, err := mongoServer.Client(t).ListDatabaseNames(ctx, bson.D{})
		require.NoError(t, err)
		assert.NotContains(t, names, name)
	})
	t.Run("MinIO", func(t *testing.T) {
		require.NoError(t, MinIO(t).Client(t).MakeBucket(ctx, "bucket", minio.MakeBucketOptions{}))
		found, err := minioServer.Client(t).BucketExists(ctx, "bucket")
		require.NoError(t, err)
		assert.True(t, found)
	})
	t.Run("one that does not answer fails the test, and no password is told", func(t *testing.T) {
		redisServer.Kill(t)
		t.Setenv("TASKRUNNER_TEST_REDIS_URL", "redis://:secret@"+redisServer.Addr())
		assert.Contains(t, verdictOf(t, func(t testing.TB) { Redis(t) }),
			"failed: asking the Redis server that TASKRUNNER_TEST_REDIS_URL names: ")
		t.Setenv("TASKRUNNER_TEST_REDIS_URL", "redis://:secret@bad host")
		said := verdictOf(t, func(t testing.TB) { Redis(t) })
		assert.Contains(t, said, "failed: reading TASKRUNNER_TEST_REDIS_URL")
		assert.NotContains(t, said, "secret")

		t.Setenv("TASKRUNNER_TEST_MONGO_URI", "mongodb://test:secret@"+mongoServer.Addr()+"/?serverSelectionTimeoutMS=1000")
		said = verdictOf(t, func(t testing.TB) { MongoURI(t) })
		assert.Contains(t, said, "failed: asking the MongoDB server that TASKRUNNER_TEST_MONGO_URI names: ")
		assert.NotContains(t, said, "secret")
		t.Setenv("TASKRUNNER_TEST_MONGO_URI", "mongodb://test:secret")
		said = verdictOf(t, func(t testing.TB) { MongoURI(t) })
		assert.Contains(t, said, "failed: reading TASKRUNNER_TEST_MONGO_URI")
		assert.NotContains(t, said, "secret")
	})
}

// servers are one of each kind, with something to keep.
var servers = map[string]func(t *testing.T, secure bool) (s *Server, put, get func(context.Context) error){
	"Redis": func(t *testing.T, secure bool) (*Server, func(context.Context) error, func(context.Context) error) {
		s := OwnRedis(t, RedisOptions{Secure: secure, Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
		c := s.Client(t)
		return s.Server, func(ctx context.Context) error { return c.Set(ctx, "key", "value", 0).Err() },
			func(ctx context.Context) error { return c.Get(ctx, "key").Err() }
	},
	"MongoDB": func(t *testing.T, secure bool) (*Server, func(context.Context) error, func(context.Context) error) {
		s := OwnMongo(t, MongoOptions{Secure: secure})
		c := s.Database(t).Collection("c")
		doc := bson.D{{Key: "_id", Value: 1}}
		return s.Server, func(ctx context.Context) error { _, err := c.InsertOne(ctx, doc); return err },
			func(ctx context.Context) error { return c.FindOne(ctx, doc).Err() }
	},
	"MinIO": func(t *testing.T, secure bool) (*Server, func(context.Context) error, func(context.Context) error) {
		s := OwnMinIO(t, MinIOOptions{Secure: secure})
		c := s.Client(t)
		return s.Server, func(ctx context.Context) error { return c.MakeBucket(ctx, "bucket", minio.MakeBucketOptions{}) },
			func(ctx context.Context) error { _, err := c.GetBucketVersioning(ctx, "bucket"); return err }
	},
}

func TestOwnServers(t *testing.T) {
	for name, start := range servers {
		for _, secure := range []bool{false, true} {
			title := name
			if secure {
				title += " with TLS and a password"
			}
			t.Run(title+" keeps its address and its data", func(t *testing.T) {
				ctx := t.Context()
				s, put, get := start(t, secure)
				addr := s.Addr()
				require.NoError(t, put(ctx))
				s.Kill(t)
				assert.Error(t, s.connects(ctx), "it was killed")
				s.Start(t)
				assert.Equal(t, addr, s.Addr())
				assert.NoError(t, get(ctx))

				s.Pause(t)
				brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				assert.Error(t, s.ping(brief), "it is frozen")
				s.Resume(t)
				assert.NoError(t, get(ctx))

				s.Pause(t)
				s.Kill(t)
				s.Start(t)
				assert.NoError(t, get(ctx), "frozen ones can be killed")
			})
		}
	}
}

func TestSecureServers(t *testing.T) {
	ctx := t.Context()
	t.Run("Redis", func(t *testing.T) {
		s := OwnRedis(t, RedisOptions{Secure: true})
		opts := s.Options()
		opts.Password = "another"
		assert.ErrorContains(t, newRedis(t, opts).Ping(ctx).Err(), "WRONGPASS")
		opts = s.Options()
		opts.TLSConfig = newCertificate(t, true).config()
		assert.ErrorContains(t, newRedis(t, opts).Ping(ctx).Err(), "certificate")
	})
	t.Run("MongoDB", func(t *testing.T) {
		s := OwnMongo(t, MongoOptions{Secure: true})
		other := *s
		other.URI = "mongodb://test:another@" + s.Addr() + "/?serverSelectionTimeoutMS=1000"
		_, err := other.Client(t).ListDatabaseNames(ctx, bson.D{})
		assert.ErrorContains(t, err, "Authentication failed")
		other.URI = "mongodb://" + s.Addr() + "/"
		_, err = other.Database(t).Collection("c").InsertOne(ctx, bson.D{})
		assert.ErrorContains(t, err, "requires authentication")
		other = *s
		other.URI += "?serverSelectionTimeoutMS=1000"
		other.TLS = newCertificate(t, true).config()
		assert.ErrorContains(t, other.Client(t).Ping(ctx, nil), "certificate")
	})
	t.Run("MinIO", func(t *testing.T) {
		s := OwnMinIO(t, MinIOOptions{Secure: true})
		other := *s
		other.SecretKey = "another-secret"
		_, err := other.Client(t).ListBuckets(ctx)
		assert.Equal(t, "SignatureDoesNotMatch", minio.ToErrorResponse(err).Code)
		other = *s
		other.TLS = newCertificate(t, true).config()
		transport := other.transport()
		defer transport.CloseIdleConnections()
		c, err := other.client(&minio.Options{Transport: transport, MaxRetries: 1})
		require.NoError(t, err)
		_, err = c.ListBuckets(ctx)
		assert.ErrorContains(t, err, "certificate")
	})
}

func TestRedisSkew(t *testing.T) {
	for name, skew := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run("the clock of the server is an hour "+name, func(t *testing.T) {
			c := OwnRedis(t, RedisOptions{Skew: skew}).Client(t)
			now, err := c.Time(t.Context()).Result()
			require.NoError(t, err)
			assert.WithinDuration(t, time.Now().Add(skew), now, time.Minute)
			t.Run("and its timers go as ever", func(t *testing.T) {
				assert.Equal(t, redis.Nil, c.Do(t.Context(), "BLPOP", "nothing", "0.01").Err())
			})
		})
	}
}

func TestRedisCluster(t *testing.T) {
	c := RedisCluster(t)
	ctx := t.Context()
	masters := make(chan string, 100)
	require.NoError(t, c.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		masters <- master.Options().Addr
		return master.Ping(ctx).Err()
	}))
	assert.Len(t, masters, 3)
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} { // the slots of these are everywhere
		require.NoError(t, c.Set(ctx, key, "value", 0).Err())
		assert.Equal(t, "value", c.Get(ctx, key).Val())
	}
}

func TestServersAreRemoved(t *testing.T) {
	cli := Docker(t)
	at := func(t *testing.T, place string) int {
		t.Helper()
		found, err := cli.ContainerList(t.Context(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", placeLabel+"="+place))})
		require.NoError(t, err)
		return len(found)
	}
	for name, then := range map[string]func(*testing.T, *Server){
		"that runs":       func(*testing.T, *Server) {},
		"that was killed": func(t *testing.T, s *Server) { s.Kill(t) },
		"that is frozen":  func(t *testing.T, s *Server) { s.Pause(t) },
	} {
		t.Run("one "+name+", at the end of the test", func(t *testing.T) {
			var addr string
			t.Run("test", func(t *testing.T) {
				s := OwnRedis(t, RedisOptions{}).Server
				then(t, s)
				addr = s.Addr()
				assert.Equal(t, 1, at(t, addr))
			})
			assert.Zero(t, at(t, addr))
		})
	}
	t.Run("one whose test died, by another one", func(t *testing.T) {
		s, other := OwnRedis(t, RedisOptions{}).Server, OwnRedis(t, RedisOptions{}).Server
		require.NoError(t, s.place.leave()) // as the kernel does it for a process that ends
		removeOrphans(t, cli)
		assert.Zero(t, at(t, s.Addr()))
		assert.Equal(t, 1, at(t, other.Addr()), "its test lives")
	})
}

func TestWhatATestFailedToPrepareIsPreparedByTheNext(t *testing.T) {
	Docker(t) // skips
	was := prepared.done
	t.Cleanup(func() { prepared.done = was })
	prepared.done = false
	nowhere := newClient(t, client.WithHost("unix://"+t.TempDir()+"/none.sock"))
	for range 2 {
		assert.Contains(t, verdictOf(t, func(t testing.TB) { prepare(t, nowhere) }), "failed: looking for containers of tests that died")
	}
	prepare(t, Docker(t))
	assert.Equal(t, "passed", verdictOf(t, func(t testing.TB) { prepare(t, nowhere) }), "once is enough")
}

func TestServersThatAreNotThere(t *testing.T) {
	Docker(t)
	t.Setenv("TASKRUNNER_REQUIRE_SERVICES", "1")
	t.Setenv("TASKRUNNER_IMAGE_REDIS", "taskrunner-test/no-such-image")
	assert.Equal(t, "failed: the engine has no image taskrunner-test/no-such-image: "+
		"run .ci/images, or pull another one and name it in TASKRUNNER_IMAGE_REDIS",
		verdictOf(t, func(t testing.TB) { OwnRedis(t, RedisOptions{}) }))
}

func TestServerThatDoesNotStart(t *testing.T) {
	Docker(t)
	said := verdictOf(t, func(t testing.TB) { OwnRedis(t, RedisOptions{Args: []string{"--no-such-setting", "1"}}) })
	assert.Contains(t, said, "to answer: it ended with code 1")
	assert.Contains(t, said, "no-such-setting", "the server's log says why")
}

func TestPauseThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int // of the engine
		want    string
	}{
		"is tried again where a process did not freeze in time": {[]int{500, 500, 204}, "passed"},
		"fails the test where the engine refuses": {
			[]int{409}, "failed: freezing the server at 127.0.0.1:1: Error response from daemon: Conflict",
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/containers/id/pause") {
					return
				}
				status := c.answers[asked]
				asked++
				w.WriteHeader(status)
				if status != http.StatusNoContent {
					_, _ = io.WriteString(w, http.StatusText(status))
				}
			}))
			defer engine.Close()
			s := &Server{place: &place{addr: "127.0.0.1:1"}, cli: newClient(t, client.WithHost("tcp://"+engine.Listener.Addr().String())), id: "id"}
			assert.Equal(t, c.want, verdictOf(t, func(t testing.TB) { s.Pause(t) }))
			assert.Len(t, c.answers, asked)
		})
	}
}

// A test that asks for a server pays for its start.
func BenchmarkStart(b *testing.B) {
	for name, start := range map[string]func(testing.TB){
		"Redis":        func(t testing.TB) { OwnRedis(t, RedisOptions{}) },
		"MongoDB":      func(t testing.TB) { OwnMongo(t, MongoOptions{}) },
		"MinIO":        func(t testing.TB) { OwnMinIO(t, MinIOOptions{}) },
		"RedisCluster": func(t testing.TB) { RedisCluster(t) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				start(b)
			}
		})
	}
}
