package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/filters"

	"github.com/task-runner/task-runner/adapters/dockerexec"
	"github.com/task-runner/task-runner/ports"
)

// call is something that workers may ask of the engine. What is none is refused.
type call struct {
	method, path string
	// why says what a worker needs it for.
	why string
	// params are the parameters that it may have, and what each may be.
	params map[string]*regexp.Regexp
	// maxBody is how large its body may be; without it, it has none. content is the
	// body's type.
	maxBody int64
	content string
	// check looks at the rest, and changes the request to what the engine gets. Without
	// it, there is no more to look at.
	check func(context.Context, *gate, *request) error
	// line says that its connection becomes one to the container.
	line bool
}

// request is what a worker asks, as far as it was understood: nothing else of it gets to
// the engine.
type request struct {
	*call
	version string // "/v1.41", or nothing
	name    string // what its path names, if it names something
	query   url.Values
	body    []byte
}

var (
	anything = regexp.MustCompile(`(?s)^.*$`)
	one      = regexp.MustCompile(`^1$`)
	folder   = regexp.MustCompile(`^/\.taskrunner$`)
	filtered = map[string]*regexp.Regexp{"filters": anything}
)

const (
	// jsonBody is how large a body of JSON may be: that of a container has the policy of
	// system calls in it. tarBody is how large an archive: that of the supervisor.
	jsonBody = 128 << 10
	tarBody  = 4 << 20

	asJSON = "application/json"
	asTar  = "application/x-tar"
)

// calls are all that there are.
var calls = []call{
	{method: "HEAD", path: "/_ping", why: "the version to speak"},
	{method: "GET", path: "/_ping", why: "the same, and whether the engine is there"},
	{method: "GET", path: "/info", why: "what the engine can enforce; its clock"},
	{method: "GET", path: "/version", why: "its runtime's version"},
	{method: "GET", path: "/networks/{id}", why: "whether the one network that tasks may have is fit for them", check: theNetwork},

	{method: "GET", path: "/distribution/{name}/json", why: "whether an allowed image is in its registry", check: allowedImage},
	{method: "GET", path: "/images/{name}/json", why: "what an allowed image declares", check: imageToLookAt},
	{method: "GET", path: "/images/json", why: "what deliveries of the supervisor have left", params: filtered, check: imagesOfDeliveries},
	{method: "DELETE", path: "/images/{name}", why: "removing that", check: imageOfADelivery},
	{method: "POST", path: "/images/create", why: "pulling an allowed image; the empty image that the supervisor is delivered with",
		params:  map[string]*regexp.Regexp{"fromImage": anything, "tag": anything, "fromSrc": anything, "repo": anything, "changes": anything},
		maxBody: 64 << 10, content: asTar, check: pullOrImport},

	{method: "POST", path: "/volumes/create", why: "the supervisor's volume", maxBody: jsonBody, content: asJSON, check: volumeAsExecutorsMakeIt},
	{method: "GET", path: "/volumes/{name}", why: "where the host has it", check: ownVolume},
	{method: "GET", path: "/volumes", why: "finding those of other versions", params: filtered, check: ownVolumes},
	{method: "DELETE", path: "/volumes/{name}", why: "removing those", check: ownVolume},

	{method: "POST", path: "/containers/create", why: "tasks, and the delivery of the supervisor; exactly as executors make them",
		params: map[string]*regexp.Regexp{"name": anything}, maxBody: jsonBody, content: asJSON, check: containerAsExecutorsMakeIt},
	{method: "POST", path: "/containers/{id}/attach", why: "the line to the supervisor of a task",
		params: map[string]*regexp.Regexp{"stream": one, "stdin": one, "stdout": one, "stderr": one}, check: ofATask, line: true},
	{method: "POST", path: "/containers/{id}/start", why: "starting a task's", check: ofATask},
	{method: "POST", path: "/containers/{id}/update", why: "other limits than the pool's", maxBody: jsonBody, content: asJSON, check: otherLimits},
	{method: "POST", path: "/containers/{id}/wait", why: "its end",
		params: map[string]*regexp.Regexp{"condition": regexp.MustCompile(`^(not-running|removed)$`)}, check: ownContainer},
	{method: "GET", path: "/containers/{id}/json", why: "how it ended", check: ownContainer},
	{method: "GET", path: "/containers/json", why: "finding leftovers",
		params: map[string]*regexp.Regexp{"all": one, "filters": anything}, check: ownContainers},
	{method: "DELETE", path: "/containers/{id}", why: "the end of every task", params: map[string]*regexp.Regexp{"v": one, "force": one}, check: ownContainer},
	{method: "PUT", path: "/containers/{id}/archive", why: "filling the supervisor's volume, with the supervisor and nothing else",
		params:  map[string]*regexp.Regexp{"path": folder, "noOverwriteDirNonDir": regexp.MustCompile(`^true$`)},
		maxBody: tarBody, content: asTar, check: theSupervisor},
	{method: "GET", path: "/containers/{id}/archive", why: "comparing it", params: map[string]*regexp.Regexp{"path": folder}, check: ofADelivery},
}

// many are the parameters that may be repeated.
var many = []string{"changes"}

func theNetwork(_ context.Context, g *gate, q *request) error {
	if g.network == "" || q.name != g.network {
		return ports.Invalid("the network", "%.100q is not the one of tasks (--docker-network)", q.name)
	}
	return nil
}

func allowedImage(_ context.Context, g *gate, q *request) error {
	name, err := g.requests.Image(q.name)
	if err == nil {
		q.name = name.String()
	}
	return err
}

func imageToLookAt(ctx context.Context, g *gate, q *request) error {
	return g.requests.LooksAt(ctx, q.name)
}

func imageOfADelivery(ctx context.Context, g *gate, q *request) error {
	return g.requests.Removes(ctx, q.name)
}

func pullOrImport(_ context.Context, g *gate, q *request) error {
	if q.query.Has("fromImage") {
		return pull(g, q)
	}
	if len(q.query["tag"]) > 0 || q.query.Get("fromSrc") != "-" {
		return ports.Invalid("fromSrc", "must be -, and the tag part of repo")
	}
	changes, err := g.requests.Import(q.query.Get("repo"), q.query["changes"], q.body)
	if err == nil {
		q.query["changes"] = changes
	}
	return err
}

func pull(g *gate, q *request) error {
	name, tag := q.query.Get("fromImage"), q.query.Get("tag")
	if len(q.query) != 2 || tag == "" || len(q.body) > 0 {
		return ports.Invalid("fromImage", "must come with a tag and with nothing else")
	}
	separator := ":"
	if strings.Contains(tag, ":") { // a digest
		separator = "@"
	}
	full, err := g.requests.Image(name + separator + tag)
	if err == nil && full.String() != full.Name()+separator+tag {
		err = ports.Invalid("fromImage", "%.100q must have no tag of its own", name)
	}
	if err == nil {
		q.query.Set("fromImage", full.Name())
	}
	return err
}

func volumeAsExecutorsMakeIt(_ context.Context, g *gate, q *request) (err error) {
	q.body, err = g.requests.Volume(q.body)
	return err
}

func ownVolume(_ context.Context, g *gate, q *request) error { return g.requests.OwnVolume(q.name) }

func containerAsExecutorsMakeIt(ctx context.Context, g *gate, q *request) (err error) {
	q.body, err = g.requests.Container(ctx, q.query.Get("name"), q.body)
	return err
}

func otherLimits(ctx context.Context, g *gate, q *request) (err error) {
	if q.body, err = g.requests.Update(q.body); err != nil {
		return err
	}
	return ofATask(ctx, g, q)
}

func theSupervisor(ctx context.Context, g *gate, q *request) error {
	return cmp.Or(g.requests.Archive(q.body), ofADelivery(ctx, g, q))
}

func ownContainer(ctx context.Context, g *gate, q *request) error {
	_, err := g.own(ctx, q)
	return err
}

func ofATask(ctx context.Context, g *gate, q *request) error {
	task, err := g.own(ctx, q)
	if err == nil && !task {
		err = ports.Invalid("the container", "%.100q is not one of a task", q.name)
	}
	return err
}

func ofADelivery(ctx context.Context, g *gate, q *request) error {
	task, err := g.own(ctx, q)
	if err == nil && task {
		err = ports.Invalid("the container", "%.100q is one of a task", q.name)
	}
	return err
}

func imagesOfDeliveries(_ context.Context, _ *gate, q *request) error {
	return q.filter(dockerexec.OwnRunner)
}

func ownVolumes(_ context.Context, _ *gate, q *request) error {
	return q.filter(dockerexec.OwnRunner, "dangling")
}

func ownContainers(_ context.Context, _ *gate, q *request) error {
	return q.filter(dockerexec.OwnLabel, "volume")
}

// filter has a list show what has the label and no more, whatever else it is filtered
// by: other labels, and what more is allowed.
func (q *request) filter(label string, more ...string) error {
	args, err := filters.FromJSON(q.query.Get("filters"))
	if err != nil {
		return ports.Invalid("filters", "cannot be read: %v", err)
	}
	for _, key := range args.Keys() {
		if key != "label" && !slices.Contains(more, key) {
			return ports.Invalid("filters", "has %.100q, which executors do not use", key)
		}
	}
	args.Add("label", label)
	text, err := json.Marshal(args)
	q.query.Set("filters", string(text))
	return err
}
