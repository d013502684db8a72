package httpapi

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/swaggest/swgui/v5/static"
)

// describe returns what huma needs, with all that it would serve by itself turned
// off: its documentation loads scripts from elsewhere, and its description is
// made while it serves.
func (a *API) describe() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	// huma describes every error as its own type.
	schemas.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	server := a.cfg.PublicURL
	if server == "" {
		server = "/"
	}
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Task Runner",
				Version:     a.cfg.Version,
				Description: "Runs code that nobody trusts, each time in a fresh sandbox, and tells everything that happens, live.",
				License:     &huma.License{Name: "MIT", Identifier: "MIT"},
			},
			Servers:    []*huma.Server{{URL: server}},
			Components: &huma.Components{Schemas: schemas},
			Tags: []*huma.Tag{
				{Name: "tasks", Description: "Submit, find and cancel tasks"},
				{Name: "output", Description: "What programs write, live and afterwards"},
				{Name: "service", Description: "What this service is and can do"},
			},
		},
		Formats:       map[string]huma.Format{"application/json": {Marshal: encodeJSON}, "json": {Marshal: encodeJSON}},
		DefaultFormat: "application/json",
	}
	// Clients should not break when an answer gets another field.
	cfg.AllowAdditionalPropertiesByDefault = true
	return cfg
}

// encodeJSON is how every answer is written. It encodes before it writes; that a
// client is gone by then is nobody's error.
func encodeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, _ = w.Write(b.Bytes())
	return nil
}

//go:embed assets
var assets embed.FS

// docsPolicy lets the page of /docs run what this server serves, and call it.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// documents adds the description and the page that shows it.
func (a *API) documents(openapi *huma.OpenAPI) error {
	spec, err := json.Marshal(openapi)
	if err != nil {
		return fmt.Errorf("describing the API: %w", err)
	}
	page, err := fs.ReadFile(assets, "assets/docs.html")
	if err != nil {
		return fmt.Errorf("reading the page of the API's description: %w", err)
	}
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(spec)
	})
	a.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", docsPolicy)
		_, _ = w.Write(page)
	})
	for _, f := range []struct {
		name, media string
		from        fs.FS
		path        string
	}{
		{"docs.js", "text/javascript; charset=utf-8", assets, "assets/docs.js"},
		{"swagger-ui-bundle.js", "text/javascript; charset=utf-8", static.FS, "swagger-ui-bundle.js.gz"},
		{"swagger-ui.css", "text/css; charset=utf-8", static.FS, "swagger-ui.css.gz"},
		{"favicon-32x32.png", "image/png", static.FS, "favicon-32x32.png"},
	} {
		data, err := fs.ReadFile(f.from, f.path)
		if err != nil {
			return fmt.Errorf("reading a file of the API's description: %w", err)
		}
		a.mux.HandleFunc("GET /docs/"+f.name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", f.media)
			w.Header().Set("Cache-Control", "private, max-age=3600")
			if strings.HasSuffix(f.path, ".gz") {
				serveGzip(w, r, data)
				return
			}
			_, _ = w.Write(data)
		})
	}
	return nil
}

// serveGzip serves a file that is compressed, to clients that do not take it so
// uncompressed.
func serveGzip(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Add("Vary", "Accept-Encoding")
	takes := slices.ContainsFunc(strings.Split(r.Header.Get("Accept-Encoding"), ","), func(coding string) bool {
		name, params, _ := strings.Cut(strings.TrimSpace(coding), ";")
		return name == "gzip" && strings.ReplaceAll(params, " ", "") != "q=0"
	})
	if takes {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(data)
		return
	}
	plain, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		panic(err) // an embedded file
	}
	_, _ = io.Copy(w, plain) //nolint:gosec // an embedded file is no bomb
}
