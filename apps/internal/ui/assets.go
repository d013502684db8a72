package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"strings"
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
	contentType   string
	plain, zipped encoded
}

// encoded is a file in one encoding.
type encoded struct {
	content []byte
	etag    string
}

func encode(content []byte) encoded {
	return encoded{content, fmt.Sprintf(`"%.16x"`, sha256.Sum256(content))}
}

func loadAssets() (assets, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	all := make(assets, len(entries))
	for _, entry := range entries {
		content, err := staticFiles.ReadFile("static/" + entry.Name())
		if err != nil {
			return nil, err
		}
		contentType, ok := contentTypes[path.Ext(entry.Name())]
		if !ok {
			return nil, fmt.Errorf("%s has no content type", entry.Name())
		}
		zipped, err := zip(content)
		if err != nil {
			return nil, fmt.Errorf("compressing %s: %w", entry.Name(), err)
		}
		all[entry.Name()] = asset{contentType, encode(content), encode(zipped)}
	}
	return all, nil
}

func zip(content []byte) ([]byte, error) {
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zipped.Bytes(), nil
}

func (all assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := all[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	b := a.plain
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		b = a.zipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", b.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.content))
}

// takesGzip reports whether an Accept-Encoding names gzip, and not with a weight of 0.
func takesGzip(accept string) bool {
	for coding := range strings.SplitSeq(accept, ",") {
		name, weight, weighed := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			_, q, _ := strings.Cut(weight, "=")
			return !weighed || strings.Trim(q, " 0.") != ""
		}
	}
	return false
}
