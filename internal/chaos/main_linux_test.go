package chaos

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// long says that there is time for the long way.
var long = os.Getenv("TASKRUNNER_CHAOS") == "long"

// many returns how many there are of something: a few, or many where there is time.
func many(short, longer int) int {
	if long {
		return longer
	}
	return short
}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{}) // it would tell of every fault
	if text, ok := os.LookupEnv(orderVariable); ok {
		os.Exit(obey(text))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_, _ = fmt.Fprint(os.Stdout, figures.table())
		os.Exit(code)
	}))
}

// quiet is a logger of the Redis client that says nothing.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
