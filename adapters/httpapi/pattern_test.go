package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWhatStandsBeforeTheAPILearnsTheRoute(t *testing.T) {
	s := assemble(t, idle)
	for target, pattern := range map[string]string{
		"/api/v1/tasks/none": "GET /api/v1/tasks/{id}",
		"/healthz":           "GET /healthz",
		"/nothing/here":      "",
		"/api/v1/../healthz": "", // redirected to its own path
	} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+target, nil)
		s.api.ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, pattern, r.Pattern, target)
	}
}
