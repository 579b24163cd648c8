// Package web is the page that a node serves at /: who it is, its pings, its
// network and whether it is in sync, live. It is files that are embedded as they
// are: no build step, nothing vendored, nothing fetched from elsewhere.
//
// # Safety
//
// The page holds no secret and is the same for everyone, so it may be served
// without a token; what it shows it asks the API for. Its policy lets it run
// its own scripts and styles and speak to its own origin, and nothing else: no
// inline code, no forms, no frames around it. Whatever comes from peers is put
// into the page as text, never as HTML.
//
// # Concurrency
//
// A [Page] is read only and may be used by any number of goroutines.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed files
var files embed.FS

// Policy is the Content-Security-Policy of every file of the page.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// index is the file that / stands for.
const index = "index.html"

// Page serves the page's files, each at a path of its own: the page itself at
// /, what it loads under /web/. Make it with [New].
type Page struct {
	files map[string]file // by request path
}

// file is one embedded file, ready to be sent. It is read only.
type file struct {
	contentType string
	etag        string // strong: of the content
	body        []byte
}

// New reads the embedded files. It fails only when they are of no known type,
// which no built program can come to: its test would have failed.
func New() (*Page, error) {
	p := &Page{files: make(map[string]file)}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		contentType, err := typeOf(name)
		if err != nil {
			return err
		}
		at := "/web/" + strings.TrimPrefix(name, "files/")
		if name == "files/"+index {
			at = "/"
		}
		sum := sha256.Sum256(body)
		p.files[at] = file{contentType, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, body}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the page: %w", err)
	}
	return p, nil
}

// typeOf does not ask the machine's own table, which differs between machines.
func typeOf(name string) (string, error) {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8", nil
	case ".css":
		return "text/css; charset=utf-8", nil
	case ".js":
		return "text/javascript; charset=utf-8", nil
	case ".svg":
		return "image/svg+xml", nil
	}
	return "", fmt.Errorf("%s is of no type that the page has", name)
}

// Paths returns the paths that the page has files at, in no order.
func (p *Page) Paths() []string {
	paths := make([]string, 0, len(p.files))
	for at := range p.files {
		paths = append(paths, at)
	}
	return paths
}

// ServeHTTP answers GET and HEAD for [Page.Paths], with 304 where the browser
// has the file already, and 404 or 405 without a body for all else.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := p.files[r.URL.Path]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // keep it, but ask each time
	h.Set("Etag", f.etag)
	if has(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	if r.Method == http.MethodHead {
		return
	}
	w.Write(f.body)
}

// has tells whether the list of an If-None-Match header names etag. Weak tags
// count, as proxies weaken them.
func has(list, etag string) bool {
	for candidate := range strings.SplitSeq(list, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}
