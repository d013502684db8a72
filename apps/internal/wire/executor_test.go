package wire

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// option is an executor that may or may not be had.
type option struct {
	executor
	fails  error // to open
	opened int
	hangs  bool // until its context ends
}

func (o *option) open(ctx context.Context) (ports.Executor, error) {
	o.opened++
	if o.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if o.fails != nil {
		return nil, o.fails
	}
	return &o.executor, nil
}

func TestTheExecutorIsOneThatWorksOrThereIsNone(t *testing.T) {
	t.Parallel()
	broken, lacks, refused := errors.New("mount failed"), errors.New("the engine lacks bash:5"), errors.New("connection refused")
	bad := ports.Invalid("docker_runtime", "is none")
	for name, tt := range map[string]struct {
		asked           string
		docker, sandbox option
		probe           error
		want            Choice
		refusal         string
		opened          [2]int // how often Docker and the sandbox were tried
	}{
		"auto takes docker if it has all": {
			asked: "auto", opened: [2]int{1, 0},
			want: Choice{"docker", "chosen because its engine can enforce every limit and has every image"},
		},
		"auto takes the sandbox before it pulls": {
			asked: "auto", probe: lacks, opened: [2]int{0, 1},
			want: Choice{"sandbox", "chosen because it can enforce every limit here; not docker, because the engine lacks bash:5"},
		},
		"auto takes the sandbox where docker cannot be made": {
			asked: "auto", docker: option{fails: refused}, opened: [2]int{1, 1},
			want: Choice{"sandbox", "chosen because it can enforce every limit here; not docker, because connection refused"},
		},
		"auto takes the sandbox where docker fails its check": {
			asked: "auto", docker: option{executor: executor{broken: refused}}, opened: [2]int{1, 1},
			want: Choice{"sandbox", "chosen because it can enforce every limit here; not docker, because connection refused"},
		},
		"auto takes docker, which has to pull, where nothing else works": {
			asked: "auto", probe: lacks, sandbox: option{fails: broken}, opened: [2]int{1, 1},
			want: Choice{"docker", "chosen because its engine can enforce every limit, although the engine lacks bash:5; not sandbox, because mount failed"},
		},
		"auto refuses where nothing works, and says why of both": {
			asked: "auto", probe: lacks, docker: option{fails: refused}, sandbox: option{fails: broken}, opened: [2]int{1, 1},
			refusal: "executor cannot be auto: not sandbox, because mount failed; not docker, because connection refused",
		},
		"auto tries nothing twice": {
			asked: "auto", docker: option{fails: refused}, sandbox: option{executor: executor{broken: broken}}, opened: [2]int{1, 1},
			refusal: "executor cannot be auto: not sandbox, because mount failed; not docker, because connection refused",
		},
		"a setting that is invalid is no reason to take another one": {
			asked: "auto", docker: option{fails: bad}, opened: [2]int{1, 0}, refusal: "docker_runtime is none",
		},
		"a setting whose use the probe finds invalid": {asked: "auto", probe: bad, refusal: "docker_runtime is none"},
		"a setting that turns out to be invalid at last": {
			asked: "auto", probe: lacks, docker: option{fails: bad}, sandbox: option{fails: broken}, opened: [2]int{1, 1},
			refusal: "docker_runtime is none",
		},
		"the sandbox as asked": {asked: "sandbox", opened: [2]int{0, 1}, want: Choice{"sandbox", "as asked"}},
		"docker as asked, also if it has to pull": {
			asked: "docker", probe: lacks, opened: [2]int{1, 0}, want: Choice{"docker", "as asked"},
		},
		"a sandbox that cannot be made": {
			asked: "sandbox", sandbox: option{fails: broken}, opened: [2]int{0, 1}, refusal: "executor cannot be sandbox: mount failed",
		},
		"a sandbox that fails its check": {
			asked: "sandbox", sandbox: option{executor: executor{broken: broken}}, opened: [2]int{0, 1},
			refusal: "executor cannot be sandbox: mount failed",
		},
		"docker that cannot be made": {
			asked: "docker", docker: option{fails: refused}, opened: [2]int{1, 0}, refusal: "executor cannot be docker: connection refused",
		},
		"docker with a bad setting": {asked: "docker", docker: option{fails: bad}, opened: [2]int{1, 0}, refusal: "docker_runtime is none"},
		"docker with a setting that is wrong here": {
			asked: "docker", docker: option{fails: fmt.Errorf("--docker-runtime: %w", ports.ErrInvalid)}, opened: [2]int{1, 0},
			refusal: "executor cannot be docker: --docker-runtime: invalid",
		},
		"auto with a setting that is wrong here": {
			asked: "auto", docker: option{fails: fmt.Errorf("--docker-runtime: %w", ports.ErrInvalid)}, opened: [2]int{1, 0},
			refusal: "executor cannot be auto: --docker-runtime: invalid",
		},
		"a name that is none": {asked: "vm", refusal: `executor must be auto, docker or sandbox, not "vm"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docker, sandbox := &tt.docker, &tt.sandbox
			choice, got, err := candidates{
				docker: docker.open, sandbox: sandbox.open, probe: func(context.Context) error { return tt.probe },
			}.choose(t.Context(), tt.asked)
			assert.Equal(t, tt.want, choice)
			opened := [2]int{docker.opened, sandbox.opened}
			assert.Equal(t, tt.opened, opened)
			for _, o := range []*option{docker, sandbox} {
				assert.Equal(t, o.broken != nil && o.opened > 0, o.closed, "what was opened and does not work is closed")
			}
			if tt.refusal != "" {
				var field *ports.FieldError
				require.ErrorAs(t, err, &field)
				assert.Equal(t, tt.refusal, err.Error())
				return
			}
			require.NoError(t, err)
			assert.Same(t, map[string]*executor{"docker": &docker.executor, "sandbox": &sandbox.executor}[choice.Name], got)
		})
	}
}

func TestAnEngineThatHangsDoesNotHoldUpTheSandbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		docker, sandbox := &option{hangs: true}, &option{}
		choice, _, err := candidates{
			docker: docker.open, sandbox: sandbox.open, probe: func(context.Context) error { return nil },
		}.choose(t.Context(), ExecutorAuto)
		require.NoError(t, err)
		assert.Equal(t, ExecutorSandbox, choice.Name)
	})
}

func TestAChoiceThatIsInterruptedIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, asked := range Executors() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		docker, sandbox := &option{hangs: true}, &option{executor: executor{broken: ctx.Err()}}
		_, _, err := candidates{
			docker: docker.open, sandbox: sandbox.open, probe: func(ctx context.Context) error { return ctx.Err() },
		}.choose(ctx, asked)
		assert.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, ports.ErrInvalid)
		assert.Equal(t, sandbox.opened > 0, sandbox.closed)
	}
}

func TestASandboxIsNoneForTasksWithANetwork(t *testing.T) {
	t.Parallel()
	_, err := newSandbox(Config{Policy: taskrunner.Policy{Network: true}})
	assert.EqualError(t, err, "a sandbox has no network, and tasks may ask for one")
}
