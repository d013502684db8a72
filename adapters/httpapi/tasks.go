package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/task-runner/task-runner/ports"
	"github.com/task-runner/task-runner/taskrunner"
)

// submitAnswer has an Accepted or, when the caller waited, a Task.
type submitAnswer struct {
	Status   int
	Location string `header:"Location"`
	Body     any
}

type taskAnswer struct{ Body Task }

type acceptedAnswer struct{ Body Accepted }

type metricsAnswer struct{ Body Metrics }

type listAnswer struct{ Body TaskList }

// TaskList is one page of tasks.
type TaskList struct {
	Tasks      []TaskSummary `json:"tasks" nullable:"false" doc:"Newest first."`
	NextCursor *string       `json:"next_cursor" doc:"The cursor of the next page; null on the last one."`
}

func (a *API) submit(x *exchange) (*submitAnswer, error) {
	wait, err := x.waitTime()
	if err != nil {
		return nil, err
	}
	key, err := x.idempotencyKey()
	if err != nil {
		return nil, err
	}
	task, err := a.accept(x, key)
	if err != nil {
		return nil, err
	}
	answer := &submitAnswer{Status: http.StatusAccepted, Location: a.cfg.PublicURL + taskPath(task.ID), Body: acceptedOf(task)}
	if wait > 0 {
		if task, err = a.await(x, task, wait); err != nil {
			return nil, err
		}
		answer.Body = taskOf(task)
		if task.Status.Terminal() {
			answer.Status = http.StatusOK
		}
	}
	return answer, nil
}

// accept reads the submission and submits it. Whoever waits for the task's end
// afterwards keeps nothing of the body.
func (a *API) accept(x *exchange, key string) (taskrunner.Task, error) {
	b := &body{all: &a.bodies}
	defer b.release()
	var asked Spec
	if err := x.readJSON(b, &asked); err != nil {
		return taskrunner.Task{}, err
	}
	spec, issues := asked.toSpec()
	if len(issues) > 0 {
		return taskrunner.Task{}, invalid(issues...)
	}
	spec.IdempotencyKey = key
	task, err := a.client.Submit(x.context(), spec)
	x.task = task.ID
	if errors.Is(err, ports.ErrConflict) {
		return task, newProblem(http.StatusConflict, "idempotency_conflict", "The Idempotency-Key was used with another body.")
	}
	return task, err
}

// await waits until the task is terminal, but no longer than d nor than the
// server serves, and returns it as it is then. With too many readers it does not
// wait at all: the caller looks again, as after any wait that ran out.
func (a *API) await(x *exchange, task taskrunner.Task, d time.Duration) (taskrunner.Task, error) {
	leave, ok := a.enter()
	if !ok {
		return task, nil
	}
	defer leave()
	draining, stop := a.untilDrain(x.context())
	defer stop()
	ctx, cancel := context.WithTimeout(draining, d)
	defer cancel()
	done, err := a.client.Wait(ctx, task.ID)
	if err != nil && ctx.Err() != nil && x.context().Err() == nil {
		return a.client.Get(x.context(), task.ID)
	}
	return done, err
}

// waitTime returns the value of the parameter wait, 0 if there is none.
func (x *exchange) waitTime() (time.Duration, error) {
	text := x.query.get("wait")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if seconds, serr := strconv.ParseUint(text, 10, 31); serr == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if longest := x.api.cfg.MaxWait; err != nil || d < 0 || d > longest {
		return 0, issue("wait", `must be a duration such as "30s", at most %v`, longest)
	}
	return d, nil
}

func (x *exchange) idempotencyKey() (string, error) {
	const name = "Idempotency-Key"
	keys := x.r.Header.Values(name)
	printable := func(c rune) bool { return c >= ' ' && c <= '~' }
	switch {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", issue(name, "must not appear twice")
	case keys[0] == "" || len(keys[0]) > 255 || strings.ContainsFunc(keys[0], func(c rune) bool { return !printable(c) }):
		return "", issue(name, "must be 1 to 255 printable ASCII characters")
	}
	return keys[0], nil
}

// taskID returns the ID in the path. What cannot be an ID is not found.
func (x *exchange) taskID() (taskrunner.TaskID, error) {
	id := taskrunner.TaskID(x.r.PathValue("id"))
	if id.Validate() != nil {
		return "", ports.ErrNotFound
	}
	x.task = id
	return id, nil
}

func taskPath(id taskrunner.TaskID) string { return "/api/v1/tasks/" + url.PathEscape(string(id)) }

// task returns the task that the path names.
func (a *API) task(x *exchange) (taskrunner.Task, error) {
	id, err := x.taskID()
	if err != nil {
		return taskrunner.Task{}, err
	}
	return a.client.Get(x.context(), id)
}

func (a *API) get(x *exchange) (*taskAnswer, error) {
	task, err := a.task(x)
	if err != nil {
		return nil, err
	}
	return &taskAnswer{taskOf(task)}, nil
}

func (a *API) metrics(x *exchange) (*metricsAnswer, error) {
	task, err := a.task(x)
	if err != nil {
		return nil, err
	}
	return &metricsAnswer{metricsOf(task)}, nil
}

func (a *API) cancel(x *exchange) (*acceptedAnswer, error) {
	id, err := x.taskID()
	if err != nil {
		return nil, err
	}
	task, err := a.client.Cancel(x.context(), id)
	if errors.Is(err, ports.ErrConflict) {
		return nil, newProblem(http.StatusConflict, "finished", "The task is finished already.")
	}
	if err != nil {
		return nil, err
	}
	return &acceptedAnswer{acceptedOf(task)}, nil
}

func (a *API) list(x *exchange) (*listAnswer, error) {
	q, err := x.listQuery()
	if err != nil {
		return nil, err
	}
	page, err := a.client.List(x.context(), q)
	if err != nil {
		return nil, err
	}
	list := TaskList{Tasks: make([]TaskSummary, len(page.Tasks)), NextCursor: orNull(page.Next)}
	for i, t := range page.Tasks {
		list.Tasks[i] = summaryOf(t)
	}
	return &listAnswer{list}, nil
}

func (x *exchange) listQuery() (taskrunner.ListQuery, error) {
	q := taskrunner.ListQuery{Language: x.query.get("language"), Cursor: x.query.get("cursor")}
	if text := x.query.get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > ports.MaxPage {
			return q, issue("limit", "must be an integer from 1 to %d", ports.MaxPage)
		}
		q.Limit = n
	}
	for _, list := range x.query["status"] {
		for s := range strings.SplitSeq(list, ",") {
			if !slices.Contains(ports.Statuses(), taskrunner.Status(s)) {
				return q, issue("status", "must be one or more of %v, separated by commas", ports.Statuses())
			}
			q.Statuses = append(q.Statuses, taskrunner.Status(s))
		}
	}
	for _, label := range x.query["label"] {
		name, value, ok := strings.Cut(label, "=")
		if !ok || name == "" {
			return q, issue("label", "must be a name, = and a value")
		}
		if other, ok := q.Labels[name]; ok && other != value {
			return q, issue("label", "must not ask for two values of one name")
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[name] = value
	}
	return q, nil
}
