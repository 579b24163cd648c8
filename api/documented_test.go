package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(documentedRun{m}) }

// document is the embedded document, for all tests.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	for _, contentType := range []string{ndjson, "application/jsonl", "application/x-www-form-urlencoded", "text/event-stream"} {
		openapi3filter.RegisterBodyDecoder(contentType, openapi3filter.PlainBodyDecoder)
	}
	return openapi3.NewLoader().LoadFromData(openAPI)
})

// seen has what was answered in all tests: operation and status.
var seen sync.Map

// unseen are documented answers that no test of this package can bring about.
var unseen = []string{
	"importEntries 507", // a full disk: package ledger tests that
}

// documentedRun runs the tests and then looks whether everything that is
// documented was seen.
type documentedRun struct{ m *testing.M }

func (d documentedRun) Run() int {
	code := d.m.Run()
	for _, name := range []string{"test.run", "test.skip", "test.bench", "test.list", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return code
		}
	}
	doc, err := document()
	if err != nil || code != 0 {
		return code
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				what := op.OperationID + " " + status
				if _, ok := seen.Load(what); !ok && status != "default" && !slices.Contains(unseen, what) {
					fmt.Fprintf(os.Stderr, "%s %s: no test brings about the documented status %s\n", method, path, status)
					code = 1
				}
			}
		}
	}
	return code
}

// documented is a transport that holds requests and answers to the document.
type documented struct {
	t         testing.TB
	transport *http.Transport
}

func newDocumented(tb testing.TB) *documented {
	tb.Helper()
	d := &documented{t: tb, transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	tb.Cleanup(d.transport.CloseIdleConnections)
	return d
}

func (d *documented) CloseIdleConnections() { d.transport.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper.
func (d *documented) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil && r.ContentLength >= 0 {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	answer, err := d.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	doc, err := document()
	if err != nil {
		d.t.Error(err)
		return answer, nil
	}
	item := doc.Paths.Find(r.URL.Path)
	var op *openapi3.Operation
	if item != nil {
		op = item.GetOperation(r.Method)
	}
	if op == nil {
		if !isPage(r.URL.Path) && !slices.Contains([]int{401, 403, 404, 405, 421}, answer.StatusCode) && r.Method != http.MethodHead {
			d.t.Errorf("%s %s is not documented, and answered with %s", r.Method, r.URL.Path, answer.Status)
		}
		return answer, nil
	}
	d.check(r, sent, answer, &routers.Route{Spec: doc, Path: r.URL.Path, PathItem: item, Method: r.Method, Operation: op})
	return answer, nil
}

// statusKey returns under which key an answer is documented.
func statusKey(op *openapi3.Operation, status int) string {
	if op.Responses.Status(status) != nil {
		return strconv.Itoa(status)
	}
	return "default"
}

func (d *documented) check(r *http.Request, sent []byte, answer *http.Response, route *routers.Route) {
	op := route.Operation
	key := statusKey(op, answer.StatusCode)
	seen.Store(op.OperationID+" "+key, true)
	if key == "default" && !slices.Contains([]int{401, 403, 421, 500}, answer.StatusCode) {
		d.t.Errorf("%s: the status %d is not documented", op.OperationID, answer.StatusCode)
	}
	options := &openapi3filter.Options{
		IncludeResponseStatus: true,
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
		SkipSettingDefaults:   true,
	}
	copied := r.Clone(context.Background())
	copied.Body = io.NopCloser(bytes.NewReader(sent))
	copied.ContentLength = int64(len(sent))
	if r.ContentLength < 0 {
		options.ExcludeRequestBody = true
	}
	if len(sent) > 0 && copied.Header.Get("Content-Type") == "" {
		copied.Header.Set("Content-Type", "text/plain")
	}
	in := &openapi3filter.RequestValidationInput{Request: copied, Route: route, Options: options, QueryParams: r.URL.Query()}
	if answer.StatusCode < 300 {
		d.checkRequest(in)
	}
	streams := r.ContentLength < 0 || answer.Header.Get("Content-Type") == "text/event-stream" || r.URL.Query().Get("follow") == "1"
	var body []byte
	if streams && answer.StatusCode < 300 {
		options.ExcludeResponseBody = true
	} else {
		var err error
		if body, err = io.ReadAll(answer.Body); err != nil {
			d.t.Errorf("%s: %v", op.OperationID, err)
		}
		answer.Body.Close()
		answer.Body = io.NopCloser(bytes.NewReader(body))
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: answer.StatusCode, Header: answer.Header, Options: options}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		d.t.Errorf("%s: the answer %s is not as documented: %v: %.300s", op.OperationID, answer.Status, err, body)
	}
	d.checkLines(op.Responses.Value(key).Value.Content, answer.Header, body)
}

// checkRequest looks whether a request that was carried out is a documented one.
func (d *documented) checkRequest(in *openapi3filter.RequestValidationInput) {
	op := in.Route.Operation
	if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil && !strings.Contains(err.Error(), "maxLength") {
		d.t.Errorf("%s: the request is not documented, and was carried out: %v", op.OperationID, err)
	}
	for name := range in.QueryParams {
		if op.Parameters.GetByInAndName("query", name) == nil {
			d.t.Errorf("%s: the parameter %s is not documented", op.OperationID, name)
		}
	}
}

// checkLines holds the first lines of an NDJSON body to their own schema.
func (d *documented) checkLines(content openapi3.Content, header http.Header, body []byte) {
	contentType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if contentType != ndjson || len(body) == 0 {
		return
	}
	doc, err := document()
	if err != nil {
		d.t.Error(err)
		return
	}
	name, _ := content.Get(ndjson).Extensions["x-item-schema"].(string)
	schema := doc.Components.Schemas[name]
	if schema == nil {
		d.t.Errorf("no schema %q for the lines", name)
		return
	}
	n := 0
	for line := range bytes.Lines(body) {
		if n++; n > 20 {
			return
		}
		var v any
		if err := json.Unmarshal(line, &v); err != nil {
			d.t.Errorf("the line %s: %v", line, err)
		} else if err := schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			d.t.Errorf("the line %s is no %s: %v", line, name, err)
		}
	}
}
