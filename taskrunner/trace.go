package taskrunner

import (
	"context"
	"regexp"
)

// traceParentForm is a traceparent of version 00. Its IDs may not be zero, which
// whoever reads it looks at.
var traceParentForm = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceParent returns what the record of a task that is submitted in ctx keeps of
// its trace.
func (c Config) traceParent(ctx context.Context) string {
	if c.TraceParent == nil {
		return ""
	}
	trace := c.TraceParent(ctx)
	if !traceParentForm.MatchString(trace) {
		return ""
	}
	return trace
}
