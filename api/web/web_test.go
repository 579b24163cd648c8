package web

import (
	"io/fs"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func newPage(t *testing.T) *Page {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(p *Page, method, at string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, at, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func TestEveryFileIsServed(t *testing.T) {
	p := newPage(t)
	n := 0
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		at := "/web/" + strings.TrimPrefix(name, "files/")
		if path.Base(name) == index {
			at = "/"
		}
		got := ask(p, "GET", at)
		if got.Code != 200 || got.Body.Len() == 0 {
			t.Errorf("GET %s: %d, %d bytes", at, got.Code, got.Body.Len())
		}
		for name, want := range map[string]string{
			"Content-Security-Policy":      Policy,
			"X-Content-Type-Options":       "nosniff",
			"Cache-Control":                "no-cache",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := got.Header().Get(name); got != want {
				t.Errorf("GET %s: %s is %q, want %q", at, name, got, want)
			}
		}
		return nil
	})
	if err != nil || n == 0 || n != len(p.Paths()) {
		t.Errorf("%d files, %d paths, %v", n, len(p.Paths()), err)
	}
}

func TestAnswers(t *testing.T) {
	p := newPage(t)
	etag := ask(p, "GET", "/").Header().Get("Etag")
	tests := []struct {
		name, method, at string
		header           []string
		status           int
		contentType      string
	}{
		{"the page", "GET", "/", nil, 200, "text/html; charset=utf-8"},
		{"a script", "GET", "/web/main.js", nil, 200, "text/javascript; charset=utf-8"},
		{"a style", "GET", "/web/style.css", nil, 200, "text/css; charset=utf-8"},
		{"an icon", "GET", "/web/icon.svg", nil, 200, "image/svg+xml"},
		{"HEAD", "HEAD", "/", nil, 200, "text/html; charset=utf-8"},
		{"not changed", "GET", "/", []string{"If-None-Match", etag}, 304, ""},
		{"one of a list, weakened", "GET", "/", []string{"If-None-Match", `"x", W/` + etag}, 304, ""},
		{"anything", "GET", "/", []string{"If-None-Match", "*"}, 304, ""},
		{"changed", "GET", "/", []string{"If-None-Match", `"x"`}, 200, "text/html; charset=utf-8"},
		{"the page under its file's name", "GET", "/web/index.html", nil, 404, ""},
		{"nothing", "GET", "/web/none.js", nil, 404, ""},
		{"the folder", "GET", "/web/", nil, 404, ""},
		{"climbing out", "GET", "/web/../web.go", nil, 404, ""},
		{"POST", "POST", "/", nil, 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(p, tt.method, tt.at, tt.header...)
			if got.Code != tt.status || got.Header().Get("Content-Type") != tt.contentType {
				t.Errorf("%d %q, want %d %q", got.Code, got.Header().Get("Content-Type"), tt.status, tt.contentType)
			}
		})
	}
}

// TestPageObeysItsPolicy looks for what the policy would stop, and for ways in
// which a peer's text could become HTML.
func TestPageObeysItsPolicy(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		".html": regexp.MustCompile(`(?i)<script(?:[^>]*[^>/])?>\s*[^<\s]|<style|\sstyle=|\son[a-z]+=|https?:`),
		".css":  regexp.MustCompile(`(?i)url\(|@import|https?:`),
		".js": regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\(|` +
			`new Function|DOMParser|setAttribute\("style"|https?://`),
	}
	svg := "http://www.w3.org/2000/svg" // a name, never asked for
	for _, name := range names(t) {
		body, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		re := forbidden[path.Ext(name)]
		if re == nil {
			continue
		}
		if found := re.FindString(strings.ReplaceAll(string(body), svg, "")); found != "" {
			t.Errorf("%s has %q", name, found)
		}
	}
}

// TestImportsAreServed follows what the files name.
func TestImportsAreServed(t *testing.T) {
	p := newPage(t)
	reference := regexp.MustCompile(`(?:from "\./|(?:src|href)="/web/)([^"]+)"`)
	used := map[string]bool{"/": true}
	for _, name := range names(t) {
		body, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reference.FindAllStringSubmatch(string(body), -1) {
			used["/web/"+m[1]] = true
		}
	}
	served := p.Paths()
	for at := range used {
		if !slices.Contains(served, at) {
			t.Errorf("%s is named but not served", at)
		}
	}
	for _, at := range served {
		if !used[at] {
			t.Errorf("%s is served but never named", at)
		}
	}
}

func names(t *testing.T) []string {
	t.Helper()
	all, err := fs.Glob(files, "files/*")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	return all
}
