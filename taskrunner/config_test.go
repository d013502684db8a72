package taskrunner_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/memory"
	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
	"github.com/task-runner/task-runner/testing/fakes"
)

func TestAConfigIsRefusedByTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	type config = taskrunner.Config
	for name, test := range map[string]struct {
		change func(*config)
		field  string
	}{
		"no store":                      {func(c *config) { c.Backend.Store = nil }, "backend.store"},
		"no queue":                      {func(c *config) { c.Backend.Queue = nil }, "backend.queue"},
		"no logs":                       {func(c *config) { c.Backend.Logs = nil }, "backend.logs"},
		"no events":                     {func(c *config) { c.Backend.Events = nil }, "backend.events"},
		"no executor":                   {func(c *config) { c.Executor = nil }, "executor"},
		"no languages":                  {func(c *config) { c.Languages = []taskrunner.Language{} }, "languages"},
		"a language without a name":     {func(c *config) { c.Languages = []taskrunner.Language{{}} }, "languages[0].name"},
		"an allowed language not there": {func(c *config) { c.Policy.Languages = []string{"python", "cobol"} }, "policy.languages[1]"},
		"a negative concurrency":        {func(c *config) { c.Concurrency = -1 }, "concurrency"},
		"a tiny lease":                  {func(c *config) { c.LeaseTTL = time.Millisecond }, "lease_ttl"},
		"a negative lease":              {func(c *config) { c.LeaseTTL = -1 }, "lease_ttl"},
		"a negative retry delay":        {func(c *config) { c.RetryDelay = -1 }, "retry_delay"},
		"a negative retention":          {func(c *config) { c.Retention = -1 }, "retention"},
		"a queue with an odd name":      {func(c *config) { c.Queues = []string{"a", "b c"} }, "queues[1]"},
		"a default above the maximum":   {func(c *config) { c.Policy.Default.Memory = 4 << 30 }, "policy.default.memory_limit"},
		"a negative default":            {func(c *config) { c.Policy.Default.Timeout = -1 }, "policy.default.timeout"},
		"a maximum that is no number":   {func(c *config) { c.Policy.Max.CPU = math.NaN() }, "policy.max.cpu_limit"},
		"an absurd maximum":             {func(c *config) { c.Policy.Max.Memory = math.MaxInt64 }, "policy.max.memory_limit"},
		"a negative code size":          {func(c *config) { c.Policy.MaxCode = -1 }, "policy.max_code"},
		"a negative number of files":    {func(c *config) { c.Policy.MaxFiles = -1 }, "policy.max_files"},
		"an absurd input size":          {func(c *config) { c.Policy.MaxInput = 1 << 40 }, "policy.max_input"},
		"a queue of the system's own":   {func(c *config) { c.Queues = []string{"~reconcile"} }, "queues[0]"},
		"a negative queue depth":        {func(c *config) { c.Policy.QueueDepth = -1 }, "policy.queue_depth"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config{Backend: memory.New(), Executor: fakes.NewExecutor()}
			test.change(&cfg)
			_, err := taskrunner.NewWorker(cfg)
			require.ErrorIs(t, err, taskrunner.ErrInvalid)
			var field *taskrunner.FieldError
			require.ErrorAs(t, err, &field)
			assert.Equal(t, test.field, field.Field)
		})
	}
}

func TestAPolicyIsCompleted(t *testing.T) {
	t.Parallel()
	client := func(p taskrunner.Policy) *taskrunner.Client {
		c, err := taskrunner.NewClient(taskrunner.Config{Backend: memory.New(), Policy: p})
		require.NoError(t, err)
		return c
	}
	t.Run("an empty one is the default one, with all languages", func(t *testing.T) {
		want := taskrunner.DefaultPolicy()
		want.Languages = []string{"bash", "javascript", "python"}
		assert.Equal(t, want, client(taskrunner.Policy{}).Policy())
	})
	t.Run("a default that is left out stays below a lower maximum", func(t *testing.T) {
		p := client(taskrunner.Policy{Max: ports.Limits{Memory: 64 << 20}}).Policy()
		assert.EqualValues(t, 64<<20, p.Default.Memory)
	})
	t.Run("only the allowed languages are there", func(t *testing.T) {
		c := client(taskrunner.Policy{Languages: []string{"py"}})
		assert.Equal(t, []string{"python"}, c.Policy().Languages)
		require.Len(t, c.Languages(), 1)
		_, err := c.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true"})
		var field *taskrunner.FieldError
		require.ErrorAs(t, err, &field)
		assert.Equal(t, "language", field.Field)
	})
	t.Run("only the queues that are served take tasks", func(t *testing.T) {
		c := client(taskrunner.Policy{Queues: []string{"default", "slow"}})
		_, err := c.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true", Queue: "slow"})
		require.NoError(t, err)
		_, err = c.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true", Queue: "nobody's"})
		require.Error(t, err)
		_, err = c.Submit(t.Context(), taskrunner.Spec{Language: "bash", Code: "true", Queue: "other"})
		var field *taskrunner.FieldError
		require.ErrorAs(t, err, &field)
		assert.Equal(t, taskrunner.FieldError{Field: "queue", Problem: "must be one of default, slow"}, *field)
	})
	t.Run("a queue that cannot be is no queue to allow", func(t *testing.T) {
		_, err := taskrunner.NewClient(taskrunner.Config{Backend: memory.New(), Policy: taskrunner.Policy{Queues: []string{"a/b"}}})
		require.ErrorContains(t, err, "policy.queues[0]")
	})
	t.Run("what is returned is the caller's", func(t *testing.T) {
		c := client(taskrunner.Policy{})
		c.Policy().Languages[0] = "changed"
		c.Languages()[0].Run[0] = "changed"
		assert.Equal(t, "bash", c.Policy().Languages[0])
		assert.Equal(t, "bash", c.Languages()[0].Run[0])
	})
}
