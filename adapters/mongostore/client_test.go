package mongostore

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/event"
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
	c, err := mongo.Connect(o.SetMonitor(oneWriteAtATime()))
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

// oneWriteAtATime gives FerretDB what MongoDB has: an update or delete that is one
// step. FerretDB 1 looks for the document first and then writes it as it found it,
// whatever happened in between. Everything else interleaves as it does in earnest.
func oneWriteAtATime() *event.CommandMonitor {
	var turn sync.Mutex
	isOne := func(command string) bool { return command == "update" || command == "delete" }
	done := func(command string) {
		if isOne(command) {
			turn.Unlock()
		}
	}
	return &event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if isOne(e.CommandName) {
				turn.Lock()
			}
		},
		Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) { done(e.CommandName) },
		Failed:    func(_ context.Context, e *event.CommandFailedEvent) { done(e.CommandName) },
	}
}
