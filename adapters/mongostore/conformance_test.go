package mongostore

import (
	"testing"

	"github.com/task-runner/task-runner/internal/testenv"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/testing/conformance"
)

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	testenv.MongoURI(t) // the server is there until the last of them has ended
	conformance.Store(t, conformance.StoreHarness{New: func(t *testing.T) ports.Store { return newStore(t) }})
}
