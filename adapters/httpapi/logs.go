package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// Logs says where the whole outputs of a task are.
type Logs struct {
	Stdout    Log   `json:"stdout"`
	Stderr    Log   `json:"stderr"`
	ExpiresAt *Time `json:"expires_at" nullable:"true" doc:"When the URLs stop working; null if they do not."`
}

// Log says where one output is.
type Log struct {
	URL       string `json:"url" format:"uri" doc:"Where to GET the text. It needs no other header." example:"http://127.0.0.1:8000/api/v1/tasks/0199b2a0-5c1e-7c3a-9f6e-2b7d9a1c4e50/logs/stdout"`
	Bytes     int64  `json:"bytes" doc:"How long the log is now."`
	Truncated bool   `json:"truncated" doc:"Whether the program wrote more than was kept."`
}

type logsAnswer struct{ Body Logs }

func (a *API) logs(x *exchange) (*logsAnswer, error) {
	task, err := a.task(x)
	if err != nil {
		return nil, err
	}
	answer := &logsAnswer{}
	if answer.Body.Stdout, err = a.logOf(x, task, ports.LogStdout, &answer.Body.ExpiresAt); err != nil {
		return nil, err
	}
	answer.Body.Stderr, err = a.logOf(x, task, ports.LogStderr, &answer.Body.ExpiresAt)
	return answer, err
}

// logOf describes one log. If its URL expires, it sets expires to no later than
// that.
func (a *API) logOf(x *exchange, task taskrunner.Task, stream string, expires **Time) (Log, error) {
	info, err := a.logInfo(x, task.ID, stream)
	if err != nil {
		return Log{}, err
	}
	log := Log{Bytes: info.Size}
	if r := task.Result; r != nil {
		written := r.StdoutBytes
		if stream == ports.LogStderr {
			written = r.StderrBytes
		}
		log.Truncated = written > info.Size
	}
	until := time.Now().Add(a.cfg.LogURLTTL)
	log.URL, err = a.client.LogURL(x.context(), task.ID, stream, a.cfg.LogURLTTL)
	// A task that has not started has no log to sign a URL for.
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, ports.ErrNotFound) {
		log.URL = x.publicURL(taskPath(task.ID) + "/logs/" + stream)
		return log, nil
	}
	if *expires == nil {
		*expires = timeOf(until)
	}
	return log, err
}

func (a *API) logInfo(x *exchange, id taskrunner.TaskID, stream string) (taskrunner.LogInfo, error) {
	body, info, err := a.client.Logs(x.context(), id, stream, 0, 0)
	if errors.Is(err, ports.ErrNotFound) {
		return info, newProblem(http.StatusNotFound, "log_not_found", "The log of "+stream+" is not kept any more.")
	}
	if err != nil {
		return info, err
	}
	return info, body.Close()
}

// logText serves one whole output, or a range of it, as plain text.
func (a *API) logText(x *exchange) error {
	stream := x.r.PathValue("stream")
	if stream != ports.LogStdout && stream != ports.LogStderr {
		return newProblem(http.StatusNotFound, "not_found", "There is no such log: it is stdout or stderr.")
	}
	task, err := a.task(x)
	if err != nil {
		return err
	}
	info, err := a.logInfo(x, task.ID, stream)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Accept-Ranges", "bytes")
	// Logs of one attempt only grow, so that its number and the size name the text.
	etag := fmt.Sprintf(`"%d-%d"`, task.Attempt, info.Size)
	status, offset, length := http.StatusOK, int64(0), info.Size
	if ranges := x.r.Header.Get("Range"); ranges != "" && (x.r.Header.Get("If-Range") == "" || x.r.Header.Get("If-Range") == etag) {
		first, last, ok, err := parseRange(ranges, info.Size)
		if err != nil {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size))
			return err
		}
		if ok {
			status, offset, length = http.StatusPartialContent, first, last-first+1
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, info.Size))
		}
	}
	body, _, err := a.client.Logs(x.context(), task.ID, stream, offset, length)
	if err != nil {
		h.Del("Content-Range")
		return err
	}
	defer body.Close()
	h.Set("ETag", etag)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fileName(string(task.ID))+"-"+stream+".txt"))
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.CopyN(struct{ io.Writer }{x.w}, body, length); err != nil {
		// The header is out: only a cut connection can say that bytes are missing.
		if x.context().Err() == nil {
			a.log.WarnContext(x.context(), "a log was cut off", "request_id", x.id, "task", task.ID, "stream", stream, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// parseRange reads a Range header (RFC 9110, section 14.2) for a text of size
// bytes. One range is served; several, or what is no byte range at all, are ignored
// (ok is false), as the standard allows. A range of which nothing exists is an error.
func parseRange(header string, size int64) (first, last int64, ok bool, err error) {
	spec, isBytes := strings.CutPrefix(header, "bytes=")
	from, to, isRange := strings.Cut(strings.TrimSpace(spec), "-")
	if !isBytes || !isRange || strings.Contains(spec, ",") {
		return 0, 0, false, nil
	}
	number := func(s string) int64 {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return -1
		}
		return int64(n)
	}
	last = size - 1
	switch {
	case from == "": // the last bytes
		n := number(to)
		if n < 0 {
			return 0, 0, false, nil
		}
		first = max(size-n, 0)
		if n == 0 {
			first = size
		}
	case to == "":
		first = number(from)
	default:
		first, last = number(from), number(to)
		if last < first {
			return 0, 0, false, nil
		}
		last = min(last, size-1)
	}
	if first < 0 {
		return 0, 0, false, nil
	}
	if first >= size {
		return 0, 0, false, newProblem(http.StatusRequestedRangeNotSatisfiable, "bad_range",
			fmt.Sprintf("The log is %d bytes long.", size))
	}
	return first, last, true, nil
}

// fileName replaces what a file's name cannot have everywhere.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_", r) {
			return r
		}
		return '_'
	}, id)
}
