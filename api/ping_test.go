package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"p2ping/api/client"
	"p2ping/node"
	"p2ping/node/entry"
	"p2ping/node/ledger"
)

func TestPingTakesTextHoweverItIsSent(t *testing.T) {
	const form, plain, object = "application/x-www-form-urlencoded", "text/plain", "application/json"
	long := strings.Repeat("x", entry.MaxText)
	escaped := `{"text":"` + strings.Repeat(`\u0041`, entry.MaxText) + `"}`
	for _, test := range []struct {
		name, method, path, contentType, body string
		want                                  string // the text published; "" for none
		status                                int    // when none
	}{
		{name: "the tutorial's curl", method: "GET", path: "/ping", want: DefaultText},
		{name: "a query", method: "GET", path: "/ping?text=caf%C3%A9+%26", want: "café &"},
		{name: "an empty query", method: "GET", path: "/ping?text=", status: 400},
		{name: "a query twice", method: "GET", path: "/ping?text=a&text=b", status: 400},
		{name: "a mistyped query", method: "GET", path: "/ping?txt=a", status: 400},
		{name: "a broken query", method: "GET", path: "/ping?text=%zz", status: 400},
		{name: "a query not in UTF-8", method: "GET", path: "/ping?text=%ff", status: 400},
		{name: "no body", method: "POST", path: "/ping", want: DefaultText},
		{name: "no body, a query", method: "POST", path: "/ping?text=a", status: 400},
		{name: "curl -d", method: "POST", path: "/ping", contentType: form, body: "hello world & more=", want: "hello world & more="},
		{name: "curl --data-urlencode", method: "POST", path: "/ping", contentType: form, body: "text=hello%20world", want: "hello world"},
		{name: "a form with more", method: "POST", path: "/ping", contentType: form, body: "text=a&b=c", status: 400},
		{name: "a broken form", method: "POST", path: "/ping", contentType: form, body: "text=%zz", status: 400},
		{name: "an empty form field", method: "POST", path: "/ping", contentType: form, body: "text=", status: 400},
		{name: "plain", method: "POST", path: "/ping", contentType: plain, body: "text=a\n", want: "text=a\n"},
		{name: "plain, charset", method: "POST", path: "/ping", contentType: "text/plain; charset=UTF-8", body: "ä", want: "ä"},
		{name: "plain, charset in another case", method: "POST", path: "/ping", contentType: "text/plain; charset=Utf-8", body: "ä", want: "ä"},
		{name: "plain, another charset", method: "POST", path: "/ping", contentType: "text/plain; charset=latin1", body: "a", status: 415},
		{name: "plain, not UTF-8", method: "POST", path: "/ping", contentType: plain, body: "\xff", status: 400},
		{name: "JSON", method: "POST", path: "/ping", contentType: object, body: `{"text":"a\n\"b\""}`, want: "a\n\"b\""},
		{name: "JSON, charset", method: "POST", path: "/ping", contentType: object + "; charset=utf-8", body: `{"text":"a"}`, want: "a"},
		{name: "JSON without text", method: "POST", path: "/ping", contentType: object, body: `{}`, want: DefaultText},
		{name: "JSON, empty text", method: "POST", path: "/ping", contentType: object, body: `{"text":""}`, status: 400},
		{name: "JSON, null", method: "POST", path: "/ping", contentType: object, body: `{"text":null}`, status: 400},
		{name: "JSON, a number", method: "POST", path: "/ping", contentType: object, body: `{"text":1}`, status: 400},
		{name: "JSON, another field", method: "POST", path: "/ping", contentType: object, body: `{"message":"a"}`, status: 400},
		{name: "JSON, two values", method: "POST", path: "/ping", contentType: object, body: `{"text":"a"}{}`, status: 400},
		{name: "JSON, nothing but null", method: "POST", path: "/ping", contentType: object, body: `null`, status: 400},
		{name: "JSON, a pair of surrogates", method: "POST", path: "/ping", contentType: object, body: `{"text":"\ud83d\ude00 \\ud800 \ufffd"}`, want: "\U0001f600 \\ud800 \ufffd"},
		{name: "JSON, half a character", method: "POST", path: "/ping", contentType: object, body: `{"text":"\ud83d"}`, status: 400},
		{name: "JSON, another case", method: "POST", path: "/ping", contentType: object, body: `{"Text":"a"}`, status: 400},
		{name: "JSON, a list", method: "POST", path: "/ping", contentType: object, body: `["a"]`, status: 400},
		{name: "JSON, not UTF-8", method: "POST", path: "/ping", contentType: object, body: "{\"text\":\"\xff\"}", status: 400},
		{name: "another type", method: "POST", path: "/ping", contentType: "image/png", body: "a", status: 415},
		{name: "multipart", method: "POST", path: "/ping", contentType: "multipart/form-data; boundary=x", body: "a", status: 415},
		{name: "the longest", method: "POST", path: "/ping", contentType: plain, body: long, want: long},
		{name: "the longest, escaped", method: "POST", path: "/ping", contentType: object, body: escaped, want: strings.Repeat("A", entry.MaxText)},
		{name: "too long", method: "POST", path: "/ping", contentType: plain, body: long + "x", status: 413},
		{name: "far too long", method: "POST", path: "/ping", contentType: plain, body: strings.Repeat("x", maxBody+1), status: 413},
		{name: "HEAD", method: "HEAD", path: "/ping", status: 405},
		{name: "PUT", method: "PUT", path: "/ping", body: "a", status: 405},
		{name: "OPTIONS", method: "OPTIONS", path: "/ping", status: 405},
		{name: "a slash more", method: "GET", path: "/ping/", status: 404},
		{name: "two slashes", method: "GET", path: "//ping", status: 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := start(t)
			var headers []string
			if test.contentType != "" {
				headers = []string{"Content-Type", test.contentType}
			}
			answer, body := a.do(t, test.method, test.path, test.body, headers...)
			got := a.node.texts(t)
			if test.want == "" {
				if answer.StatusCode != test.status || len(got) != 0 {
					t.Fatalf("got %d %s and published %.40q, want %d and none", answer.StatusCode, body, got, test.status)
				}
				if test.method != http.MethodHead {
					checkProblem(t, answer, body)
				}
				return
			}
			if answer.StatusCode != 200 || !slices.Equal(got, []string{test.want}) {
				t.Fatalf("got %d %s and published %.40q, want %.40q", answer.StatusCode, body, got, test.want)
			}
			var p client.Published
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Text != test.want || p.TopicPeers != 2 || p.Author != a.node.id.String() {
				t.Fatalf("answered %s (%v)", body, err)
			}
		})
	}
}

// checkProblem checks that the answer is a problem document that says as much
// as its status line.
func checkProblem(t *testing.T, answer reply, body string) {
	t.Helper()
	var doc client.Error
	if got := answer.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("an error of type %q: %s", got, body)
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || doc.Status != answer.StatusCode || doc.Title == "" || doc.Detail == "" {
		t.Errorf("the problem document of a %d is %s (%v)", answer.StatusCode, body, err)
	}
	want := map[int]string{401: "Www-Authenticate", 405: "Allow", 415: "Accept-Post", 429: "Retry-After", 503: "Retry-After"}
	if name := want[answer.StatusCode]; name != "" && answer.Header.Get(name) == "" {
		t.Errorf("a %d without %s", answer.StatusCode, name)
	}
	for _, h := range commonHeaders() {
		if got := answer.Header.Get(h.name); got != h.values[0] {
			t.Errorf("%s: %q", h.name, got)
		}
	}
}

func TestPublishingErrorsHaveTheirStatus(t *testing.T) {
	a := start(t)
	for _, test := range []struct {
		err    error
		status int
		retry  bool
	}{
		{fmt.Errorf("%w: bad", entry.ErrInvalid), 400, false},
		{fmt.Errorf("storing: %w", ledger.ErrFull), 507, false},
		{node.ErrBusy, 503, true},
		{node.ErrStopped, 503, true},
		{errors.New("something else"), 500, false},
	} {
		a.node.failWith(test.err)
		_, err := a.Ping(t.Context(), "x")
		e := wantError(t, err, test.status)
		if (e.RetryAfter > 0) != test.retry || !strings.Contains(e.Detail, test.err.Error()) {
			t.Errorf("%v became %+v", test.err, e)
		}
	}
	a.node.failWith(nil)
	if _, err := a.Ping(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
}

func TestAPanicIsKeptToItsRequest(t *testing.T) {
	a := start(t)
	a.node.onPublish = func() {
		a.node.onPublish = nil
		panic("in a test")
	}
	_, err := a.Ping(t.Context(), "x")
	wantError(t, err, http.StatusInternalServerError)
	if _, err := a.Ping(t.Context(), "y"); err != nil {
		t.Fatal(err)
	}
}

func TestEachOfManyPingsGetsItsOwnAnswer(t *testing.T) {
	a := start(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			text := fmt.Sprint("ping ", i)
			p, err := a.Ping(t.Context(), text)
			if err != nil || p.Text != text {
				t.Errorf("published %q, answered %+v, %v", text, p, err)
			}
		})
	}
	wg.Wait()
	if got := len(a.node.texts(t)); got != 200 {
		t.Errorf("%d pings in the ledger", got)
	}
}

func TestAppendPublishedWritesWhatEncodingJSONWould(t *testing.T) {
	n := newFakeNode(t)
	s, err := New(Config{Node: n})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"plain", "", "\"\\\b\f\n\r\t\x00\x1f\x7f", "<&>", "日本\u2028", "a\"", "\"a"} {
		for _, at := range []time.Time{time.UnixMicro(0), time.UnixMicro(1700000000123456), time.UnixMicro(1700000000000000)} {
			p := node.Published{Entry: entry.ID{1, 0xff}, Index: 12, Text: text, Author: n.id, SentAt: at, TopicPeers: 3}
			var got, want client.Published
			if err := json.Unmarshal(append(s.appendPublished(nil, &clock{}, &p), '}'), &got); err != nil {
				t.Fatal(err)
			}
			want = client.Published{
				ID: p.Entry.String() + "-12", Text: text, Author: n.id.String(), SentAt: client.Time{Time: at.UTC()}, TopicPeers: 3,
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	}
}

// FuzzClock holds times written one after the other to what the client writes.
func FuzzClock(f *testing.F) {
	f.Add(int64(0), int64(1))
	f.Add(int64(1_795_366_800_123_456), int64(999_999))
	f.Fuzz(func(t *testing.T, us, step int64) {
		const years = 253402300799999999 // up to 9999, from 1970
		var c clock
		for i := range int64(4) {
			at := time.UnixMicro(int64(uint64(us+i*step) % years))
			want, err := client.Time{Time: at}.AppendText(nil)
			if got := c.append([]byte("x"), at.Add(time.Duration(i))); err != nil || string(got) != "x"+string(want) {
				t.Errorf("%d is %s, not %s", at.UnixMicro(), got, want)
			}
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\n\x01é")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil || got != s {
			t.Fatalf("%q became %q: %v", s, got, err)
		}
	})
}

// BenchmarkPing measures a request from handler to answer, without a network.
func BenchmarkPing(b *testing.B) {
	a := start(b)
	b.Run("append", func(b *testing.B) {
		p := node.Published{Text: DefaultText, Author: a.node.id, SentAt: time.Now()}
		b.ReportAllocs()
		var out []byte
		var c clock
		for b.Loop() {
			out = a.server.appendPublished(out[:0], &c, &p)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		p := node.Published{Text: DefaultText, Author: a.node.id, SentAt: time.Now()}
		b.ReportAllocs()
		for b.Loop() {
			_, err := marshal(client.Published{
				ID: p.Entry.String() + "-0", Text: p.Text, Author: a.server.author, SentAt: client.Time{Time: p.SentAt}, TopicPeers: p.TopicPeers,
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
