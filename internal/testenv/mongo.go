package testenv

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net/url"
	"os"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Mongo returns a fresh database on the server of MongoURI. It is dropped at the end of
// the test.
func Mongo(t testing.TB) *mongo.Database {
	t.Helper()
	return newDatabase(t, newMongo(t, options.Client().ApplyURI(MongoURI(t))))
}

// MongoURI returns the URI, with the password, of a server that tests share, the one that
// TASKRUNNER_TEST_MONGO_URI names or else one in a container. Use databases of your own;
// see Unique.
func MongoURI(t testing.TB) string {
	t.Helper()
	uri := os.Getenv("TASKRUNNER_TEST_MONGO_URI")
	if uri == "" {
		return sharedMongo.get(t).URI
	}
	opts := options.Client().ApplyURI(uri)
	if opts.Validate() != nil { // which may quote a password
		t.Fatalf("reading TASKRUNNER_TEST_MONGO_URI: it is not mongodb://USER:PASSWORD@HOST:PORT/")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := newMongo(t, opts).Ping(ctx, nil); err != nil {
		t.Fatalf("asking the MongoDB server that TASKRUNNER_TEST_MONGO_URI names: %v", err)
	}
	return uri
}

// newMongo returns a client that is closed at the end of the test.
func newMongo(t testing.TB, opts *options.ClientOptions) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(opts)
	if err != nil {
		t.Fatalf("making a client of MongoDB: %v", err)
	}
	t.Cleanup(func() { _ = c.Disconnect(context.Background()) })
	return c
}

// newDatabase returns a fresh database, which is dropped at the end of the test.
func newDatabase(t testing.TB, c *mongo.Client) *mongo.Database {
	t.Helper()
	db := c.Database(Unique(t))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := db.Drop(ctx); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
	return db
}

// MongoOptions say how a MongoDB server of one's own is.
type MongoOptions struct {
	Secure bool // TLS and a password
}

// MongoServer is a server of MongoDB's protocol of a test's own, with no password
// unless it is secure. Clients that go by its URI or address reach it through a gate
// that lets one write through at a time; a secure one has none.
type MongoServer struct {
	*Server
	URI  string      // with the password
	TLS  *tls.Config // nil without TLS
	addr string
}

// OwnMongo starts a server of MongoDB's protocol.
func OwnMongo(t testing.TB, o MongoOptions) *MongoServer {
	t.Helper()
	place, cert := newPlace(t), newCertificate(t, o.Secure)
	s := &MongoServer{TLS: cert.config(), addr: place.addr}
	// It is killed, and its machine is not: it need not wait for the disk.
	command := []string{"--handler=sqlite", "--sqlite-url=file:" + dataDir + "/?_pragma=synchronous(off)", "--state-dir=" + dataDir,
		"--telemetry=disable", "--debug-addr=-", "--log-level=WARN"}
	if o.Secure {
		user := url.UserPassword("test", rand.Text())
		password, _ := user.Password()
		s.URI = "mongodb://" + user.String() + "@" + place.addr + "/"
		command = append(command, "--listen-addr=", "--listen-tls="+place.addr,
			"--listen-tls-cert-file="+certFile, "--listen-tls-key-file="+keyFile,
			"--test-enable-new-auth=true", "--setup-database=admin", "--setup-username="+user.Username(), "--setup-password="+password)
	} else {
		s.addr = newWriteGate(t, place.addr).addr
		s.URI = "mongodb://" + s.addr + "/"
		command = append(command, "--listen-addr="+place.addr)
	}
	s.Server = run(t, spec{
		kind:    "ferretdb",
		place:   place,
		command: command,
		cert:    cert,
		ping: func(ctx context.Context) error {
			c, err := mongo.Connect(s.options())
			if err != nil {
				return err
			}
			defer func() { _ = c.Disconnect(context.Background()) }()
			_, err = c.ListDatabaseNames(ctx, bson.D{}) // a ping needs no password
			return err
		},
	})
	return s
}

// Addr returns where clients connect, as host and port.
func (s *MongoServer) Addr() string { return s.addr }

// Client returns a client that is closed at the end of the test.
func (s *MongoServer) Client(t testing.TB) *mongo.Client {
	t.Helper()
	return newMongo(t, s.options())
}

func (s *MongoServer) options() *options.ClientOptions {
	o := options.Client().ApplyURI(s.URI)
	if s.TLS != nil {
		o.SetTLSConfig(s.TLS.Clone())
	}
	return o
}

// Database returns a fresh database. It goes with the server.
func (s *MongoServer) Database(t testing.TB) *mongo.Database {
	t.Helper()
	return s.Client(t).Database(Unique(t))
}
