package mongostore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/task-runner/task-runner/ports"
)

// What MongoDB answers and FerretDB does not.
func TestAnswersOfAServer(t *testing.T) {
	t.Parallel()
	open := t.Context()
	bounded, cancel := context.WithTimeout(open, time.Hour)
	defer cancel()
	done, cancel := context.WithCancel(open)
	cancel()
	broken := errors.New("the connection is broken")
	expired := mongo.CommandError{Code: 50, Name: "MaxTimeMSExpired", Message: "operation exceeded time limit"}
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want error // nil: none of ours
	}{
		"a server that had no room for a command is full":       {open, mongo.CommandError{Code: 14031, Name: "OutOfDiskSpace"}, ports.ErrFull},
		"so is one that had none for a write":                   {open, mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 14031}}}, ports.ErrFull},
		"and a hosted one whose quota is used up":               {open, mongo.CommandError{Code: 8000, Message: "you are over your space quota, using 513 MB of 512 MB"}, ports.ErrFull},
		"a server may find that a deadline has passed":          {bounded, expired, context.DeadlineExceeded},
		"also while it waits for a majority":                    {bounded, mongo.WriteException{WriteConcernError: &mongo.WriteConcernError{Code: 50}}, context.DeadlineExceeded},
		"a limit of the server's own is nobody's deadline":      {open, expired, nil},
		"in a context that is done that is the reason":          {done, broken, context.Canceled},
		"anything else is what it is":                           {bounded, broken, nil},
		"and so is what a server says that is not one of these": {bounded, mongo.CommandError{Code: 13, Name: "Unauthorized"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := cause(c.ctx, c.err)
			assert.ErrorContains(t, got, c.err.Error(), "the cause is kept")
			for _, sentinel := range []error{ports.ErrFull, context.DeadlineExceeded, context.Canceled} {
				assert.Equal(t, sentinel == c.want, errors.Is(got, sentinel), "%v", sentinel)
			}
		})
	}
	assert.NoError(t, cause(done, nil), "what was done was done")
}

// FerretDB 1 has no roles, and refuses nobody for lack of one.
func TestWhatIsRefusedAtTheStartSaysHowToMendIt(t *testing.T) {
	t.Parallel()
	for says, err := range map[string]error{
		"check user, password and authSource": mongo.CommandError{Code: 18, Name: "AuthenticationFailed"},
		"give the user the role readWrite":    mongo.CommandError{Code: 13, Name: "Unauthorized"},
		"check hosts, tls and replicaSet":     errors.New("server selection timeout"),
	} {
		got := refused(t.Context(), err)
		assert.ErrorContains(t, got, says)
		assert.ErrorContains(t, got, err.Error(), "the cause is kept")
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	assert.NotContains(t, refused(done, errors.New("the connection is broken")).Error(), "check", "nothing is to be mended")
}
