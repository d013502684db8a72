package chaos

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

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
