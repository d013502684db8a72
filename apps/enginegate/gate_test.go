package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/task-runner/task-runner/adapters/dockerexec"
)

// engine is one that has a container of a task, one of a delivery, one of somebody else
// and some images. It notes what a gate passes on.
type engine struct {
	*httptest.Server
	mu     sync.Mutex
	passed []*http.Request
	bodies []string
}

var (
	aTask     = strings.Repeat("a", 64)
	aDelivery = strings.Repeat("b", 64)
	another   = strings.Repeat("c", 64)
	anImage   = "sha256:" + strings.Repeat("1", 64)
	ofOne     = "sha256:" + strings.Repeat("2", 64) // of a delivery
)

// what the gate itself asks, which it does in the version that it has settled with the
// engine. The tests' own requests have no version.
var own = regexp.MustCompile(`^/v1\.41/`)

func newEngine(t *testing.T) *engine {
	e := &engine{}
	container := func(id, role string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"Id": id, "Config": map[string]any{"Labels": map[string]string{"com.github.task-runner.role": role}}})
		}
	}
	known := http.NewServeMux()
	known.Handle("/v1.41/containers/"+aTask+"/json", container(aTask, "sandbox"))
	known.Handle("/v1.41/containers/its-name/json", container(aTask, "sandbox"))
	known.Handle("/v1.41/containers/"+aDelivery+"/json", container(aDelivery, "runner"))
	known.Handle("/v1.41/containers/"+another+"/json", container(another, "mongo"))
	known.HandleFunc("/v1.41/images/"+ofOne+"/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Id":"`+ofOne+`","Config":{"Labels":{"com.github.task-runner.role":"runner"}}}`)
	})
	known.HandleFunc("/v1.41/images/"+anImage+"/json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Id":"`+anImage+`","RepoTags":["secrets:latest"]}`)
	})
	known.HandleFunc("/v1.41/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"No such thing"}`)
	})
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if own.MatchString(r.URL.Path) {
			known.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/_ping" || r.Header.Get("User-Agent") == "" { // the gate's own client has a name
			e.mu.Lock()
			e.passed, e.bodies = append(e.passed, r), append(e.bodies, string(body))
			e.mu.Unlock()
		}
	}))
	t.Cleanup(e.Close)
	return e
}

// taken returns what was passed on since it was last asked.
func (e *engine) taken() ([]*http.Request, []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	passed, bodies := e.passed, e.bodies
	e.passed, e.bodies = nil, nil
	return passed, bodies
}

func (e *engine) client(t *testing.T) *client.Client {
	cli, err := client.NewClientWithOpts(client.WithHost("tcp://"+e.Listener.Addr().String()), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { _ = cli.Close() })
	return cli
}

// worker sends requests to a gate, as they are.
type worker struct {
	t      *testing.T
	socket string
	*http.Transport
}

func newWorker(t *testing.T, socket string) *worker {
	w := &worker{t, socket, &http.Transport{DialContext: dialSocket(socket)}}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

// ask sends a request, and returns the status and the message of what comes back.
func (w *worker) ask(method, target, body string, header ...string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://engine/", strings.NewReader(body))
	require.NoError(w.t, err)
	r.URL.Opaque = target // nothing is cleaned
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := w.RoundTrip(r)
	require.NoError(w.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(w.t, err)
	var said struct{ Message string }
	if answer.StatusCode >= 400 && method != http.MethodHead {
		require.NoError(w.t, json.Unmarshal(text, &said), "an error is as an engine writes it: %s", text)
	}
	return answer.StatusCode, said.Message
}

const labelled = `{"label":{"com.github.task-runner.executor=x":true}}`

func TestWhatIsNotForTasksIsRefused(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	w := newWorker(t, opened(t, e.client(t), dockerexec.RequestsConfig{AllowedImages: []string{"python:*"}, Network: "tasks"}))
	privileged := `{"Image":"x","Labels":{"com.github.task-runner.role":"sandbox"},"HostConfig":{"Privileged":true,"Binds":["/:/host"]}}`
	for name, tt := range map[string]struct {
		ask, body string
		header    []string
		want      string
	}{
		"a container that is privileged":              {ask: "POST /containers/create?name=x", body: privileged, want: "Labels.com.github.task-runner.executor must be"},
		"a container without a word":                  {ask: "POST /containers/create", body: "{}", want: "HostConfig is missing"},
		"a container whose body is too large":         {ask: "POST /containers/create?name=x", body: strings.Repeat(" ", jsonBody) + privileged, want: "the body cannot be read: http: request body too large"},
		"a container for another platform":            {ask: "POST /containers/create?name=x&platform=linux/386", body: privileged, want: `the parameter "platform" is none`},
		"a container with two names":                  {ask: "POST /containers/create?name=x&name=y", body: privileged, want: `the parameter "name" must be there once`},
		"a form":                                      {ask: "POST /containers/" + aTask + "/start", body: "checkpoint=x", header: []string{"Content-Type", "application/x-www-form-urlencoded"}, want: "the body must be empty"},
		"a checkpoint of the host":                    {ask: "POST /containers/" + aTask + "/start?checkpoint=x&checkpoint-dir=/", want: "is none that executors use"},
		"starting somebody else's":                    {ask: "POST /containers/" + another + "/start", want: "is not one of this project's"},
		"starting a delivery's":                       {ask: "POST /containers/" + aDelivery + "/start", want: "is not one of a task"},
		"attaching to somebody else's":                {ask: "POST /containers/" + another + "/attach?stream=1&stdin=1", header: []string{"Connection", "Upgrade", "Upgrade", "tcp"}, want: "is not one of this project's"},
		"attaching to a delivery's":                   {ask: "POST /containers/" + aDelivery + "/attach?stream=1", header: []string{"Connection", "Upgrade", "Upgrade", "tcp"}, want: "is not one of a task"},
		"attaching without an upgrade":                {ask: "POST /containers/" + aTask + "/attach?stream=1", want: "the connection must be upgraded to tcp"},
		"attaching to what was logged":                {ask: "POST /containers/" + aTask + "/attach?logs=1", header: []string{"Connection", "Upgrade", "Upgrade", "tcp"}, want: `the parameter "logs" is none`},
		"attaching by WebSocket":                      {ask: "GET /containers/" + aTask + "/attach/ws", want: "is none of the calls"},
		"looking at somebody else's":                  {ask: "GET /containers/" + another + "/json", want: "is not one of this project's"},
		"removing somebody else's":                    {ask: "DELETE /containers/" + another + "?force=1", want: "is not one of this project's"},
		"removing a link":                             {ask: "DELETE /containers/" + aTask + "?link=1", want: `the parameter "link" is none`},
		"waiting for somebody else's":                 {ask: "POST /containers/" + another + "/wait", want: "is not one of this project's"},
		"waiting for something else":                  {ask: "POST /containers/" + aTask + "/wait?condition=next-exit", want: `the parameter "condition" must not be "next-exit"`},
		"other limits of somebody else's":             {ask: "POST /containers/" + another + "/update", body: `{"Memory":100000000,"MemorySwap":100000000,"NanoCpus":1000000000,"PidsLimit":5}`, want: "is not one of this project's"},
		"no limits":                                   {ask: "POST /containers/" + aTask + "/update", body: `{"PidsLimit":-1}`, want: "Memory must be at least"},
		"a command in a container":                    {ask: "POST /containers/" + aTask + "/exec", body: `{"Cmd":["sh"],"Privileged":true}`, want: "is none of the calls"},
		"a command that there is":                     {ask: "POST /exec/x/start", body: "{}", want: "is none of the calls"},
		"killing":                                     {ask: "POST /containers/" + aTask + "/kill", want: "is none of the calls"},
		"what a container has logged":                 {ask: "GET /containers/" + aTask + "/logs?stdout=1", want: "is none of the calls"},
		"the files of a container":                    {ask: "GET /containers/" + aTask + "/export", want: "is none of the calls"},
		"a file of a task":                            {ask: "GET /containers/" + aTask + "/archive?path=/.taskrunner", want: "is one of a task"},
		"another folder of a delivery":                {ask: "GET /containers/" + aDelivery + "/archive?path=/etc", want: `the parameter "path" must not be "/etc"`},
		"writing another folder":                      {ask: "PUT /containers/" + aDelivery + "/archive?path=/", body: "x", want: `the parameter "path" must not be "/"`},
		"writing anything else":                       {ask: "PUT /containers/" + aDelivery + "/archive?path=/.taskrunner", body: "x", want: "the archive must be the supervisor"},
		"writing for other users":                     {ask: "PUT /containers/" + aDelivery + "/archive?path=/.taskrunner&copyUIDGID=true", body: "x", want: `the parameter "copyUIDGID" is none`},
		"a list with sizes":                           {ask: "GET /containers/json?size=1", want: `the parameter "size" is none`},
		"a list by other things":                      {ask: `GET /containers/json?filters={"name":{"x":true}}`, want: `filters has "name"`},
		"a list by nonsense":                          {ask: `GET /containers/json?filters=x`, want: "filters cannot be read"},
		"images that hang about":                      {ask: `GET /images/json?filters={"dangling":{"true":true}}`, want: `filters has "dangling"`},
		"a pull that is not allowed":                  {ask: "POST /images/create?fromImage=evil.example.com/x&tag=1", want: "is not among those allowed (--docker-allowed-images)"},
		"a pull of all tags":                          {ask: "POST /images/create?fromImage=python", want: "must come with a tag"},
		"a pull with two tags":                        {ask: "POST /images/create?fromImage=python:3&tag=4", want: "the image"},
		"a pull with a digest and a tag":              {ask: "POST /images/create?fromImage=python@sha256:" + strings.Repeat("1", 64) + "&tag=3", want: "the image"},
		"a pull for another platform":                 {ask: "POST /images/create?fromImage=python&tag=3&platform=windows", want: `the parameter "platform" is none`},
		"a pull with an import":                       {ask: "POST /images/create?fromImage=python&tag=3&fromSrc=-", want: "with nothing else"},
		"two pulls":                                   {ask: "POST /images/create?fromImage=python&fromImage=evil&tag=3", want: `the parameter "fromImage" must be there once`},
		"an import from elsewhere":                    {ask: "POST /images/create?fromSrc=http://169.254.169.254/&repo=x", want: "fromSrc must be -"},
		"an import of a name of others":               {ask: "POST /images/create?fromSrc=-&repo=python", want: "must be"},
		"an image that is not allowed":                {ask: "GET /images/docker.io/library/secrets:latest/json", want: "is not among those allowed"},
		"an image by something short":                 {ask: "GET /images/python:3/json", want: "must be named in full"},
		"an image by a path that leads elsewhere":     {ask: "GET /images/python/../../containers/x/json", want: "has no name that is one"},
		"removing an image":                           {ask: "DELETE /images/docker.io/library/python:3", want: "must be named by its ID"},
		"removing an image by its ID":                 {ask: "DELETE /images/" + anImage, want: "is not one of this project's"},
		"removing an image by force":                  {ask: "DELETE /images/" + ofOne + "?force=1", want: `the parameter "force" is none`},
		"giving an image a name":                      {ask: "POST /images/" + anImage + "/tag?repo=python&tag=3", want: "is none of the calls"},
		"images from a file":                          {ask: "POST /images/load", body: "x", want: "is none of the calls"},
		"images to a file":                            {ask: "GET /images/" + anImage + "/get", want: "is none of the calls"},
		"an image of a container":                     {ask: "POST /commit?container=" + aTask, want: "is none of the calls"},
		"building":                                    {ask: "POST /build?remote=http://169.254.169.254/", want: "is none of the calls"},
		"asking a registry that is not allowed":       {ask: "GET /distribution/169.254.169.254/x/json", want: "is not among those allowed"},
		"another network":                             {ask: "GET /networks/bridge", want: "is not the one of tasks"},
		"all networks":                                {ask: "GET /networks", want: "is none of the calls"},
		"making a network":                            {ask: "POST /networks/create", body: "{}", want: "is none of the calls"},
		"joining a network":                           {ask: "POST /networks/tasks/connect", body: "{}", want: "is none of the calls"},
		"a volume that is a folder of the host":       {ask: "POST /volumes/create", body: `{"Name":"taskrunner-runner-000000000000","DriverOpts":{"device":"/","o":"bind","type":"none"}}`, want: "Name must be that of the supervisor's volume"},
		"somebody else's volume":                      {ask: "GET /volumes/mongo", want: "is not one of this project's"},
		"removing somebody else's volume":             {ask: "DELETE /volumes/mongo", want: "is not one of this project's"},
		"removing a volume that is in use":            {ask: "DELETE /volumes/taskrunner-runner-000000000000?force=1", want: `the parameter "force" is none`},
		"removing all volumes":                        {ask: "POST /volumes/prune", want: "is none of the calls"},
		"a plugin":                                    {ask: "POST /plugins/pull?remote=x", body: "[]", want: "is none of the calls"},
		"a swarm":                                     {ask: "POST /swarm/init", body: "{}", want: "is none of the calls"},
		"a session of the builder":                    {ask: "POST /session", header: []string{"Connection", "Upgrade", "Upgrade", "h2c"}, want: "is none of the calls"},
		"what happens in the engine":                  {ask: "GET /events", want: "is none of the calls"},
		"another method":                              {ask: "POST /info", want: "is none of the calls"},
		"a method in lower case":                      {ask: "get /info", want: "is none of the calls"},
		"a path that is escaped":                      {ask: "GET /containers/" + aTask + "%2Fjson", want: "the path must have nothing escaped in it"},
		"a path that goes up":                         {ask: "GET /images/../info", want: "is none of the calls"},
		"a path with two slashes":                     {ask: "GET //info", want: "is none of the calls"},
		"a path with two versions":                    {ask: "GET /v1.41/v1.41/info", want: "is none of the calls"},
		"a path that ends otherwise":                  {ask: "GET /info/", want: "is none of the calls"},
		"a version that leaves limits out":            {ask: "POST /v1.39/containers/" + aTask + "/update", body: "{}", want: "the version must be at least 1.41"},
		"a version that is none":                      {ask: "GET /v1/info", want: "is none of the calls"},
		"a query that is none":                        {ask: "GET /info?%zz", want: "the query cannot be read"},
		"a query with other separators":               {ask: "GET /info?a;b", want: "the query cannot be read"},
		"a parameter where there is none":             {ask: "GET /info?x=1", want: `the parameter "x" is none`},
		"a body where there is none":                  {ask: "GET /info", body: "x", want: "the body must be empty"},
		"a container whose name looks like a command": {ask: "DELETE /containers/json/../x", want: "is none of the calls"},
	} {
		t.Run(name, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.ask, " ")
			status, message := w.ask(method, target, tt.body, tt.header...)
			assert.Equal(t, http.StatusForbidden, status)
			assert.Contains(t, message, tt.want)
			path, _, _ := strings.Cut(target, "?")
			if !strings.Contains(path, "%") && !strings.HasPrefix(path, "//") {
				assert.Contains(t, message, "enginegate refuses "+method+" "+path+": ", "it says what was refused")
			}
			passed, _ := e.taken()
			assert.Empty(t, passed, "what came to the engine")
		})
	}
}

func TestWhatTasksNeedIsLetThrough(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	w := newWorker(t, opened(t, e.client(t), dockerexec.RequestsConfig{AllowedImages: []string{"python:*", "python@*"}, Network: "tasks"}))
	digest := "sha256:" + strings.Repeat("1", 64)
	for name, tt := range map[string]struct{ ask, body, want, sent string }{
		"whether the engine is there":     {ask: "HEAD /_ping", want: "HEAD /_ping?"},
		"what it can":                     {ask: "GET /info", want: "GET /info?"},
		"its version":                     {ask: "GET /version", want: "GET /version?"},
		"in a version of the API":         {ask: "GET /v1.51/version", want: "GET /v1.51/version?"},
		"the network":                     {ask: "GET /networks/tasks", want: "GET /networks/tasks?"},
		"an image":                        {ask: "GET /images/docker.io/library/python:3/json", want: "GET /images/docker.io/library/python:3/json?"},
		"an image of a delivery":          {ask: "GET /images/" + ofOne + "/json", want: "GET /images/" + ofOne + "/json?"},
		"removing it":                     {ask: "DELETE /images/" + ofOne, want: "DELETE /images/" + ofOne + "?"},
		"a registry":                      {ask: "GET /distribution/python:3/json", want: "GET /distribution/docker.io/library/python:3/json?"},
		"a pull":                          {ask: "POST /images/create?fromImage=docker.io/library/python&tag=3", want: "POST /images/create?fromImage=docker.io/library/python&tag=3"},
		"a pull by a digest":              {ask: "POST /images/create?fromImage=python&tag=" + digest, want: "POST /images/create?fromImage=docker.io/library/python&tag=" + digest},
		"volumes, of this project alone":  {ask: `GET /volumes?filters={"dangling":{"true":true}}`, want: `GET /volumes?filters={"dangling":{"true":true},"label":{"com.github.task-runner.role=runner":true}}`},
		"images, of deliveries alone":     {ask: "GET /images/json", want: `GET /images/json?filters={"label":{"com.github.task-runner.role=runner":true}}`},
		"containers, of this one alone":   {ask: "GET /containers/json?all=1", want: `GET /containers/json?all=1&filters={"label":{"com.github.task-runner.role":true}}`},
		"containers by a label, as well":  {ask: "GET /containers/json?filters=" + labelled, want: `GET /containers/json?filters={"label":{"com.github.task-runner.executor=x":true,"com.github.task-runner.role":true}}`},
		"a volume":                        {ask: "GET /volumes/taskrunner-runner-000000000000", want: "GET /volumes/taskrunner-runner-000000000000?"},
		"removing one of another version": {ask: "DELETE /volumes/taskrunner-runner-000000000000", want: "DELETE /volumes/taskrunner-runner-000000000000?"},
		"starting a task":                 {ask: "POST /containers/" + aTask + "/start", want: "POST /containers/" + aTask + "/start?"},
		"a container by its name, by ID":  {ask: "DELETE /containers/its-name?v=1&force=1", want: "DELETE /containers/" + aTask + "?force=1&v=1"},
		"waiting for a delivery":          {ask: "POST /containers/" + aDelivery + "/wait?condition=removed", want: "POST /containers/" + aDelivery + "/wait?condition=removed"},
		"comparing what was delivered":    {ask: "GET /containers/" + aDelivery + "/archive?path=/.taskrunner", want: "GET /containers/" + aDelivery + "/archive?path=/.taskrunner"},
		"other limits, written anew": {ask: "POST /containers/" + aTask + "/update",
			body: `{"NanoCpus":1,"nanocpus":1000000000,"PidsLimit":5,"memory":100000000,"MemorySwap":100000000}`,
			want: "POST /containers/" + aTask + "/update?", sent: `"Memory":100000000,"NanoCpus":1000000000,`},
	} {
		t.Run(name, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.ask, " ")
			status, message := w.ask(method, target, tt.body, "X-Registry-Auth", "secret", "Cookie", "x", "X-Forwarded-For", "x", "Upgrade", "h2c", "Connection", "Upgrade")
			require.Equal(t, http.StatusOK, status, message)
			passed, bodies := e.taken()
			require.Len(t, passed, 1)
			r := passed[0]
			query, err := url.QueryUnescape(r.URL.RawQuery)
			require.NoError(t, err)
			assert.Equal(t, tt.want, r.Method+" "+r.URL.Path+"?"+query)
			assert.Contains(t, bodies[0], tt.sent)
			assert.Equal(t, tt.sent == "", bodies[0] == "")
			for header := range r.Header {
				assert.Contains(t, []string{"Content-Type", "Content-Length", "Accept-Encoding"}, header, "nothing of what the worker sent")
			}
		})
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	w := newWorker(t, opened(t, e.client(t), dockerexec.RequestsConfig{}))
	status, message := w.ask("DELETE", "/containers/gone", "")
	assert.Equal(t, http.StatusNotFound, status)
	assert.Contains(t, message, "No such thing")
	passed, _ := e.taken()
	assert.Empty(t, passed)
}

func TestAnEngineThatIsAwayIsABadGateway(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	w := newWorker(t, opened(t, e.client(t), dockerexec.RequestsConfig{}))
	e.Close()
	for _, path := range []string{"/info", "/containers/" + aTask + "/json"} {
		status, message := w.ask("GET", path, "")
		assert.Equal(t, http.StatusBadGateway, status)
		assert.Contains(t, message, "enginegate: ")
	}
	status, _ := w.ask("HEAD", "/_ping", "")
	assert.Equal(t, http.StatusBadGateway, status)
}

func TestAContainerIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	looked := 0
	var mu sync.Mutex
	e := newEngine(t)
	inner := e.Config.Handler
	e.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own.MatchString(r.URL.Path) {
			mu.Lock()
			looked++
			mu.Unlock()
		}
		inner.ServeHTTP(w, r)
	})
	w := newWorker(t, opened(t, e.client(t), dockerexec.RequestsConfig{}))
	for range 3 {
		status, message := w.ask("POST", "/containers/"+aTask+"/start", "")
		require.Equal(t, http.StatusOK, status, message)
	}
	assert.Equal(t, 1, looked)
	for range 2 {
		_, _ = w.ask("POST", "/containers/its-name/start", "")
	}
	assert.Equal(t, 3, looked, "a name may be another's the next time")
}

func TestTheSupervisorFitsIntoTheBody(t *testing.T) {
	t.Parallel()
	r, err := dockerexec.NewRequests(nil, dockerexec.RequestsConfig{})
	require.NoError(t, err)
	assert.Less(t, r.MaxArchive(), int64(tarBody*3/4), "with room for later ones")
}

// endpoint is how docs/security.md writes a call's method and path.
var endpoint = regexp.MustCompile("`(GET|POST|PUT|DELETE) (/[a-z_{}/]+)")

func TestTheDocumentNamesEveryCallThatIsLetThrough(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "| Call | Endpoint |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	named, known := map[string]bool{}, map[string]bool{}
	for _, m := range endpoint.FindAllStringSubmatch(table, -1) {
		named[m[1]+" "+m[2]] = true
	}
	for _, c := range calls {
		assert.NotEmpty(t, c.why, c.path)
		if c.method != http.MethodHead {
			known[c.method+" "+c.path] = true
		}
	}
	// There, an ID or a name is as the engine's own documentation has it.
	assert.Equal(t, known, named)
}

func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	var mu sync.Mutex
	e := newEngine(t)
	w := newWorker(t, serveTestGate(t, newTestGate(t, e.client(t), dockerexec.RequestsConfig{}, writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}))))
	for range 200 {
		status, _ := w.ask("GET", "/events", "")
		require.Equal(t, http.StatusForbidden, status)
	}
	mu.Lock()
	defer mu.Unlock()
	lines := strings.Count(log.String(), "msg=refused method=GET path=/events why=")
	assert.Positive(t, lines)
	assert.Less(t, lines, 150)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestABodyThatDoesNotComeIsGivenUp(t *testing.T) {
	t.Parallel()
	g := newTestGate(t, newEngine(t).client(t), dockerexec.RequestsConfig{}, t.Output())
	g.patience = time.Millisecond
	c, err := dialSocket(serveTestGate(t, g))(t.Context(), "", "")
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST /volumes/create HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	require.NoError(t, err)
	said, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Contains(t, string(said), "the body cannot be read")
}
