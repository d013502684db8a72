//go:build unix

package serve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// actAsProgram is the variable that turns the tests' own program into a service.
const actAsProgram = "SERVE_TEST_PROGRAM"

// stubborn serves until it is told to stop, and then does not end before its standard
// input does.
func stubborn(ctx context.Context, _ *Process) error {
	fmt.Println("serving")
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		again bool
		code  int
		by    syscall.Signal
	}{
		"the first one lets it end in its own time": {false, 0, -1},
		"the second one ends it at once":            {true, -1, syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			program := exec.CommandContext(ctx, os.Args[0])
			program.Env = append(os.Environ(), actAsProgram+"=1")
			stdin, err := program.StdinPipe()
			require.NoError(t, err)
			stdout, err := program.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, program.Start())
			says := bufio.NewReader(stdout)
			line := func() string {
				s, err := says.ReadString('\n')
				require.NoError(t, err)
				return s
			}
			require.Equal(t, "serving\n", line())
			require.NoError(t, program.Process.Signal(syscall.SIGTERM))
			require.Equal(t, "terminated\n", line())
			if tt.again {
				require.NoError(t, program.Process.Signal(syscall.SIGTERM))
			} else {
				require.NoError(t, stdin.Close())
			}
			_ = program.Wait()
			assert.Equal(t, tt.code, program.ProcessState.ExitCode())
			status, ok := program.ProcessState.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			assert.Equal(t, tt.by, status.Signal())
		})
	}
}
