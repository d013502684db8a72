package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/task-runner/task-runner/ports"
)

// What spans tell of a run.
const (
	attrTask     = attribute.Key("taskrunner.task.id")
	attrAttempt  = attribute.Key("taskrunner.task.attempt")
	attrLanguage = attribute.Key("taskrunner.task.language")
	attrQueue    = attribute.Key("taskrunner.task.queue")
	attrCause    = attribute.Key("taskrunner.task.cause")
	attrExitCode = attribute.Key("taskrunner.task.exit_code")
	attrSignal   = attribute.Key("taskrunner.task.signal")
	attrCPUTime  = attribute.Key("taskrunner.task.cpu_time_seconds")
	attrWallTime = attribute.Key("taskrunner.task.wall_time_seconds")
	attrMemory   = attribute.Key("taskrunner.task.peak_memory_bytes")
)

// Executor makes a span of every run, in the trace of the task's submission, and of the
// wait in the queue before the first one.
func (t *Tracing) Executor(e ports.Executor) ports.Executor {
	if t.provider == nil {
		return e
	}
	return &executor{Executor: e, tracer: t.tracer()}
}

// executor is a ports.Executor with spans.
type executor struct {
	ports.Executor
	tracer trace.Tracer
}

// Run implements ports.Executor. The executor behind does not see the span: clients of
// engines would make spans of every call, and go another way for it.
func (e *executor) Run(ctx context.Context, job ports.Job) (outcome ports.Outcome, err error) {
	span := e.start(ctx, job)
	returned := false
	defer func() {
		if !returned {
			span.SetStatus(codes.Error, "panic")
		}
		span.End()
	}()
	outcome, err = e.Executor.Run(ctx, job)
	returned = true
	describe(span, outcome)
	switch {
	case err != nil && ctx.Err() == nil:
		span.SetStatus(codes.Error, cut(err.Error()))
	case outcome.Cause == ports.CauseInfrastructure:
		span.SetStatus(codes.Error, cut(outcome.Message))
	}
	return outcome, err
}

// start starts the span of a run.
func (e *executor) start(ctx context.Context, job ports.Job) trace.Span {
	now := time.Now()
	ctx = propagator.Extract(ctx, propagation.MapCarrier{"traceparent": job.TraceParent})
	about := trace.WithAttributes(
		attrTask.String(string(job.Task)), attrAttempt.Int(job.Attempt),
		attrLanguage.String(job.Language.Name), attrQueue.String(job.Spec.Queue))
	// A later attempt follows others, and what it waited for is not only the queue. Two
	// machines' clocks may say that the task was accepted after this.
	if job.Attempt == 1 && job.CreatedAt.Before(now) && trace.SpanContextFromContext(ctx).IsValid() {
		_, wait := e.tracer.Start(ctx, "wait in queue", trace.WithTimestamp(job.CreatedAt), about)
		wait.End(trace.WithTimestamp(now))
	}
	_, span := e.tracer.Start(ctx, "run task", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(now), about)
	return span
}

// describe tells how a run ended. A program that fails is no error of the system's, and
// what is unknown is left out.
func describe(span trace.Span, o ports.Outcome) {
	if o.Cause != "" {
		span.SetAttributes(attrCause.String(string(o.Cause)))
	}
	if o.Cause == ports.CauseExit {
		span.SetAttributes(attrExitCode.Int(o.ExitCode))
	}
	if o.Signal != "" {
		span.SetAttributes(attrSignal.String(o.Signal))
	}
	if d := o.Usage.CPUTime; d != nil {
		span.SetAttributes(attrCPUTime.Float64(d.Seconds()))
	}
	if d := o.Usage.WallTime; d != nil {
		span.SetAttributes(attrWallTime.Float64(d.Seconds()))
	}
	if n := o.Usage.PeakMemory; n != nil {
		span.SetAttributes(attrMemory.Int64(*n))
	}
}
