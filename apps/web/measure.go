package main

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// measure measures the requests that next serves, by the route that a mux in it gave
// them. No label comes from a caller.
func measure(metrics prometheus.Registerer, next http.Handler) http.Handler {
	requests := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "taskrunner_web_request_duration_seconds",
		Help: "How long requests took, waits and whole streams included.",
		// From a page out of memory to the greatest wait.
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"route", "method", "code"})
	metrics.MustRegister(requests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, res, code := time.Now(), &response{ResponseWriter: w}, "aborted" // unless the handler returns
		defer func() {
			requests.WithLabelValues(routeOf(r.Pattern), methodOf(r.Method), code).Observe(time.Since(begin).Seconds())
		}()
		next.ServeHTTP(res, r)
		code = strconv.Itoa(cmp.Or(res.status, http.StatusOK)/100) + "xx"
	})
}

// response knows the status.
type response struct {
	http.ResponseWriter
	status int // 0 until it is set
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// routeOf returns the path in a pattern of a mux.
func routeOf(pattern string) string {
	return cmp.Or(pattern[strings.IndexByte(pattern, ' ')+1:], "none")
}

// methodOf returns a method that this site knows.
func methodOf(method string) string {
	if slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, method) {
		return method
	}
	return "other"
}
