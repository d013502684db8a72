package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/task-runner/task-runner/ports"
)

// This file has every route with its description.

func (a *API) routes() error {
	a.mux = http.NewServeMux()
	api := humago.New(a.mux, a.describe())
	schema := func(t reflect.Type) *huma.Schema { return api.OpenAPI().Components.Schemas.Schema(t, true, "") }
	str, integer := &huma.Schema{Type: huma.TypeString}, func(least, most float64) *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}
	}
	list := &huma.Schema{Type: huma.TypeArray, Items: str}
	id := pathParam("id", "The task_id.", &huma.Schema{Type: huma.TypeString, MaxLength: new(ports.MaxIDLen)})

	submit := huma.Operation{
		OperationID: "submit-task", Method: http.MethodPost, Path: "/api/v1/tasks", Tags: []string{"tasks"},
		Summary:     "Submit a task",
		Description: "Checks and queues a program and answers at once; with wait, when it is finished or the time is over (then with 202).",
		Parameters: []*huma.Param{
			queryParam("wait", `How long to wait for the end, such as "30s".`, str),
			headerParam("Idempotency-Key", "A repeated submission with the same key and the same body returns the first one's task; with another body it is refused.", str),
		},
		DefaultStatus: http.StatusAccepted,
		Responses: map[string]*huma.Response{
			"202": jsonResponse("Accepted; the whole task if there was a wait", &huma.Schema{AnyOf: []*huma.Schema{schema(reflect.TypeFor[Accepted]()), schema(reflect.TypeFor[Task]())}}),
			"200": jsonResponse("Finished within the wait", schema(reflect.TypeFor[Task]())),
		},
		Errors: []int{400, 403, 408, 409, 413, 415, 503},
	}
	route(api, submit, a.submit)
	// huma would read and check a body that it knows of, by rules of its own.
	api.OpenAPI().Paths[submit.Path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {Schema: schema(reflect.TypeFor[Spec]()), Examples: submissions},
	}}

	route(api, huma.Operation{
		OperationID: "list-tasks", Method: http.MethodGet, Path: "/api/v1/tasks", Tags: []string{"tasks"},
		Summary: "List tasks, newest first",
		Parameters: []*huma.Param{
			queryParam("limit", "How many to return; by default "+strconv.Itoa(ports.DefaultPage)+".", integer(1, ports.MaxPage)),
			queryParam("cursor", "The next_cursor of the page before.", str),
			queryParam("status", "Only tasks with one of these, separated by commas.", list),
			queryParam("language", "Only tasks in this language.", str),
			queryParam("label", `Only tasks with this label, as name=value. May be repeated, and all have to match.`, list),
		},
		Errors: []int{400},
	}, a.list)
	route(api, huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: "/api/v1/tasks/{id}", Tags: []string{"tasks"},
		Summary: "Get a task, with the output kept in its record", Parameters: []*huma.Param{id}, Errors: []int{404},
	}, a.get)
	route(api, huma.Operation{
		OperationID: "cancel-task", Method: http.MethodPost, Path: "/api/v1/tasks/{id}/cancel", Tags: []string{"tasks"},
		Summary:     "Cancel a task",
		Description: "A running task is cancelled once no process of it is left; watch its status. A finished one cannot be: 409.",
		Parameters:  []*huma.Param{id}, DefaultStatus: http.StatusAccepted, Errors: []int{403, 404, 409},
	}, a.cancel)
	route(api, huma.Operation{
		OperationID: "get-logs", Method: http.MethodGet, Path: "/api/v1/tasks/{id}/logs", Tags: []string{"output"},
		Summary: "Get the URLs of a task's whole outputs", Parameters: []*huma.Param{id}, Errors: []int{404},
	}, a.logs)
	routeRaw(api, huma.Operation{
		OperationID: "get-log-text", Method: http.MethodGet, Path: "/api/v1/tasks/{id}/logs/{stream}", Tags: []string{"output"},
		Summary: "Get a whole output as text",
		Parameters: []*huma.Param{id,
			pathParam("stream", "Which one.", &huma.Schema{Type: huma.TypeString, Enum: []any{ports.LogStdout, ports.LogStderr}}),
			headerParam("Range", "One range of bytes.", str)},
		Responses: map[string]*huma.Response{
			"200": answer("The output", "text/plain", str),
			"206": answer("The range asked for", "text/plain", str),
		},
		Errors: []int{404, 416},
	}, a.logText)
	route(api, huma.Operation{
		OperationID: "get-metrics", Method: http.MethodGet, Path: "/api/v1/tasks/{id}/metrics", Tags: []string{"tasks"},
		Summary: "Get what a task used", Parameters: []*huma.Param{id}, Errors: []int{404},
	}, a.metrics)
	routeRaw(api, huma.Operation{
		OperationID: "stream-task", Method: http.MethodGet, Path: "/api/v1/tasks/{id}/stream", Tags: []string{"output"},
		Summary: "Follow a task live (Server-Sent Events)",
		Description: "Events are status, stdout, stderr, usage and, last, end; their data is JSON. Without Last-Event-ID the stream starts at the task's beginning, with it just behind that event. " +
			"If what follows was trimmed, a status event with \"snapshot\": true and the output so far replace all before. A comment comes at least every 15 seconds.",
		Parameters: []*huma.Param{id,
			headerParam("Last-Event-ID", "The id of the last event that arrived.", str),
			queryParam("last_event_id", "The same, for readers that cannot set headers.", str)},
		Responses: map[string]*huma.Response{
			"200": answer("The events", "text/event-stream", &huma.Schema{Type: huma.TypeString, Extensions: map[string]any{
				"x-events": map[string]any{
					"status": schema(reflect.TypeFor[statusData]()), "stdout": schema(reflect.TypeFor[outputData]()), "stderr": schema(reflect.TypeFor[outputData]()),
					"usage": schema(reflect.TypeFor[usageData]()), "end": schema(reflect.TypeFor[endData]()),
				}}}),
			"204": {Description: "Nothing follows that event: it was the end"},
		},
		Errors: []int{400, 404, 503},
	}, a.streamEvents)
	route(api, huma.Operation{
		OperationID: "list-languages", Method: http.MethodGet, Path: "/api/v1/languages", Tags: []string{"service"},
		Summary: "List the languages that programs may be written in",
	}, a.languages)
	route(api, huma.Operation{
		OperationID: "get-limits", Method: http.MethodGet, Path: "/api/v1/limits", Tags: []string{"service"},
		Summary: "Get the limits that tasks have by default and at most",
	}, a.limits)
	route(api, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: "/healthz", Tags: []string{"service"},
		Summary: "Whether this process serves",
	}, a.healthz)
	ready := huma.Operation{
		OperationID: "get-readiness", Method: http.MethodGet, Path: "/readyz", Tags: []string{"service"},
		Summary:   "Whether this process and all it needs can serve",
		Responses: map[string]*huma.Response{"503": jsonResponse("It cannot", schema(reflect.TypeFor[Health]()))},
	}
	route(api, ready, a.readyz)
	// For operators, in the format of Prometheus, and so not in the description.
	a.mux.Handle("GET "+metricsPath, metricsHandler(a.cfg.Metrics, a.log))
	return a.documents(api.OpenAPI())
}

// route registers a handler that answers with JSON. Parameters and bodies are read
// by our handlers alone: huma gets an input without fields, so that its own
// validation, its statuses and its process-wide error type stay out of it.
func route[O any](api huma.API, op huma.Operation, handle func(*exchange) (*O, error)) {
	huma.Register(api, op, func(ctx context.Context, _ *struct{}) (*O, error) {
		x := exchangeOf(ctx)
		err := x.readQuery(&op)
		if err == nil {
			var out *O
			if out, err = handle(x); err == nil {
				return out, nil
			}
		}
		return nil, x.problem(err)
	})
}

// routeRaw registers a handler that writes the answer itself, unless it returns
// an error.
func routeRaw(api huma.API, op huma.Operation, handle func(*exchange) error) {
	huma.Register(api, op, func(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
		x := exchangeOf(ctx)
		return &huma.StreamResponse{Body: func(huma.Context) {
			err := x.readQuery(&op)
			if err == nil {
				err = handle(x)
			}
			if err != nil {
				x.fail(err)
			}
		}}, nil
	})
}

func (x *exchange) readQuery(op *huma.Operation) (err error) {
	x.query, err = parseQuery(x.r.URL.RawQuery, op)
	return err
}

func pathParam(name, doc string, s *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Description: doc, Schema: s}
}

func queryParam(name, doc string, s *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: s}
}

func headerParam(name, doc string, s *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: doc, Schema: s}
}

func jsonResponse(doc string, s *huma.Schema) *huma.Response {
	return answer(doc, "application/json", s)
}

func answer(doc, media string, s *huma.Schema) *huma.Response {
	return &huma.Response{Description: doc, Content: map[string]*huma.MediaType{media: {Schema: s}}}
}

// submissions are examples of bodies; a test submits each.
var submissions = map[string]*huma.Example{
	"code": {Summary: "One source", Value: map[string]any{
		"language": "python", "code": "print('hello')", "cpu_limit": 1.0, "memory_limit": "256m", "timeout": 30,
	}},
	"files": {Summary: "Several files, with input", Value: map[string]any{
		"language": "python",
		"files": []any{
			map[string]any{"path": "main.py", "content": "import sys, greet\ngreet.hello(sys.stdin.read())\n"},
			map[string]any{"path": "greet.py", "content": "def hello(name):\n    print('hello', name)\n"},
		},
		"entrypoint": "main.py", "stdin": "world", "timeout": 2.5, "labels": map[string]any{"course": "go-101"},
	}},
}
