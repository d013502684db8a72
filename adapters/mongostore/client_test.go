package mongostore

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/internal/testenv"
)

// newClient returns a client of the shared server, changed by the functions.
func newClient(t testing.TB, change ...func(*options.ClientOptions)) *mongo.Client {
	t.Helper()
	o := options.Client().ApplyURI(os.Getenv("TASKRUNNER_TEST_MONGO_URI"))
	if o.GetURI() == "" {
		o = options.Client().ApplyURI(testenv.OwnMongo(t, testenv.MongoOptions{}).URI)
	}
	for _, f := range change {
		f(o)
	}
	return connect(t, o)
}

func connect(t testing.TB, o *options.ClientOptions) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Disconnect(context.Background()) })
	return c
}

// newDatabase returns a fresh database of the client.
func newDatabase(t testing.TB, c *mongo.Client) *mongo.Database {
	t.Helper()
	db := c.Database(testenv.Unique(t))
	t.Cleanup(func() { require.NoError(t, db.Drop(context.Background())) })
	return db
}

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := New(t.Context(), newDatabase(t, newClient(t)))
	require.NoError(t, err)
	return s
}
