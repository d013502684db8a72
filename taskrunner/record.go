package taskrunner

import (
	"log/slog"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
)

// recorder takes down everything that comes out of one attempt.
type recorder struct {
	stdout, stderr stream
	samples        sampler
	feed           *feed
	log            *slog.Logger
	patience       time.Duration // how long close may wait for the bus
}

// record starts the recorder of a running task: it tells that the attempt has
// begun, and opens its logs.
func (a *attempt) record(t Task) *recorder {
	backend := a.w.cfg.Backend
	feed := newFeed(a.hold.ctx, backend.Events, t, a.log)
	feed.tell(statusEvent(t))
	open := func(kind EventType, name string) stream {
		key := ports.LogKey{Task: t.ID, Attempt: t.Attempt, Name: name}
		return stream{kind: kind, limit: t.Spec.Limits.Output, feed: feed, log: openLog(a.hold.ctx, backend.Logs, key)}
	}
	return &recorder{
		stdout: open(ports.EventStdout, ports.LogStdout),
		stderr: open(ports.EventStderr, ports.LogStderr),
		feed:   feed, log: a.log, patience: a.hold.ttl / 3,
	}
}

// sample takes a Job's samples.
func (r *recorder) sample(s Sample) {
	if r.samples.add(s) {
		r.feed.observe(s)
	}
}

// close completes the logs, publishes what is left and returns the result.
func (r *recorder) close(o Outcome) Result {
	o = tidy(o)
	for _, s := range []*stream{&r.stdout, &r.stderr} {
		if err := s.log.close(); err != nil {
			r.log.Warn("the log of a task is not complete", "stream", s.kind, "error", err)
			o.Message = strings.TrimSpace(o.Message + " The full log of " + string(s.kind) + " is not complete.")
		}
	}
	if o.StdoutBytes > r.stdout.bytes {
		r.feed.cut(ports.EventStdout)
	}
	if o.StderrBytes > r.stderr.bytes {
		r.feed.cut(ports.EventStderr)
	}
	r.feed.close(r.patience)

	result := Result{Outcome: o}
	result.Stdout, result.Stderr = inline(&r.stdout.kept, &r.stderr.kept, o.StdoutBytes, o.StderrBytes)
	result.StdoutBytes, result.StderrBytes = result.Stdout.Bytes, result.Stderr.Bytes
	result.Usage.Samples = r.samples.samples()
	return result
}

// maxMessage bounds what an executor may say in a record.
const maxMessage = 4 * kiB

// tidy returns o as the contract has it, whatever the executor's arithmetic.
func tidy(o Outcome) Outcome {
	if o.Cause != ports.CauseExit {
		o.ExitCode = -1
	}
	o.Message = strings.ToValidUTF8(o.Message, "\uFFFD")
	o.Message = o.Message[:utf8Cut([]byte(o.Message[:min(len(o.Message), maxMessage)]))]
	o.Usage = o.Usage.Clone()
	return o
}
