package mongostore

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/task-runner/task-runner/internal/testenv"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	return openStore(t, testenv.Mongo(t))
}

// newStoreThrough returns a store whose client was changed.
func newStoreThrough(t testing.TB, change func(*options.ClientOptions)) *Store {
	t.Helper()
	o := options.Client().ApplyURI(testenv.MongoURI(t))
	change(o)
	return openStore(t, connect(t, o).Database(testenv.Mongo(t).Name()))
}

func openStore(t testing.TB, db *mongo.Database) *Store {
	t.Helper()
	s, err := New(t.Context(), db)
	require.NoError(t, err)
	return s
}

func connect(t testing.TB, o *options.ClientOptions) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Disconnect(context.Background()) })
	return c
}
