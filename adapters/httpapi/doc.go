// Package httpapi is the REST and Server-Sent-Events API of Task Runner as one
// http.Handler over a *taskrunner.Client. It keeps no state of its own: any
// number of instances may serve the same backing parts.
//
//	api, err := httpapi.New(httpapi.Config{Client: client})
//	if err != nil { ... }
//	srv := httpapi.NewServer("127.0.0.1:8000", api)
//	err = srv.ListenAndServe()
//
// The description of every operation is at /openapi.json (OpenAPI 3.1) and, to
// read and try, at /docs; nothing there is loaded from another server.
//
// # Input
//
// One door, body.go, takes what comes from outside, and it is strict: one JSON
// object of the media type application/json in valid UTF-8, no unknown or
// repeated member, no null, nothing behind it, no unknown query parameter. Every
// refusal is a problem (RFC 9457) with a code for programs and, for bad input,
// the fields to mend. An explicit zero for a limit is an error, since absence is
// what asks for the default. Sizes are bytes, or strings as Docker writes them.
//
// # Streams
//
// GET /api/v1/tasks/{id}/stream sends what the event bus has for the task, each
// event under the bus's ID of it. The core cuts text between characters, so that
// every event is text by itself, and a reader who resumes from any id misses no
// byte and sees none twice; a byte that is part of no character is U+FFFD. The id
// of the end has "~end" behind it: reconnecting with it gets 204. To readers all
// ids are opaque.
//
// A reader whose position was trimmed gets a snapshot: a status event with
// "snapshot": true and then the output so far, which replace all it had; then
// what is new.
//
// # Back-pressure
//
// Whatever there can be too much of has a bound, beyond which the answer is 503
// with Retry-After: waiting tasks, streams and waiting submissions, the bytes of all
// submissions that are read at once, and connections. It is never 429, which blames
// the one who asks: no bound here is a client's own. A reader that takes too long for
// one write is cut off and resumes.
//
// # Security
//
// What programs print comes back as JSON or text/plain, never to be sniffed, and
// under a policy that lets a browser run nothing. Calls from foreign web pages
// are refused unless Config.AllowedOrigins names them. A server that listens on
// a loopback address sets Config.AllowedHosts, so that no foreign name can be
// made to point at it (DNS rebinding). Errors of backing parts are logged with
// the request's ID and never shown.
//
// # Metrics
//
// /metrics has, in the format of Prometheus, how long requests took by route,
// method and class of status, the streams that are open and those that were
// dropped, each queue's length and oldest wait, and what Config.Metrics has
// besides. A queue whose figures cannot be had costs those figures alone. A proxy
// in front of the API does not pass /metrics on.
//
// # Health
//
// /healthz says that the process serves; /readyz asks what Config.Ready names, and
// says which part fails, not why. Probes serve the same, and the metrics, for a
// service that has no API, or none until its parts have been reached.
//
// # Timeouts
//
// The handler sets a deadline for each write and for reading a body. The rest is
// the server's: NewServer has the values recommended. It leaves ReadTimeout and
// WriteTimeout unset, as both would cut streams.
package httpapi
