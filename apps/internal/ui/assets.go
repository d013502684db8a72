package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"time"
)

//go:embed static
var staticFiles embed.FS

// contentTypes are fixed here, because the system's table of types is not to be
// relied on and nosniff makes a wrong one fatal.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// assets serves the embedded files by name. Browsers ask each time, and get a
// 304 while the file is the same.
type assets map[string]asset

type asset struct {
	body              []byte
	contentType, etag string
}

func loadAssets() (assets, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	all := make(assets, len(entries))
	for _, entry := range entries {
		body, err := staticFiles.ReadFile("static/" + entry.Name())
		if err != nil {
			return nil, err
		}
		contentType, ok := contentTypes[path.Ext(entry.Name())]
		if !ok {
			return nil, fmt.Errorf("%s has no content type", entry.Name())
		}
		all[entry.Name()] = asset{body, contentType, fmt.Sprintf(`"%.16x"`, sha256.Sum256(body))}
	}
	return all, nil
}

func (all assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := all[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}
