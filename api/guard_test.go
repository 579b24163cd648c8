package api

import (
	"net/http"
	"testing"
)

// TestCrossSiteMatrix sends what browsers and programs send, from wherever
// they may be, and looks at whether a ping came of it.
func TestCrossSiteMatrix(t *testing.T) {
	const own = "OWN" // stands for the node's own host and port
	type headers []string
	for _, test := range []struct {
		name    string
		headers headers
		get     int // status of the publishing GET
		post    int
		read    int // status of GET /id
	}{
		{"curl", nil, 200, 200, 200},
		{"curl, by name", headers{"Host", "localhost:3001"}, 200, 200, 200},
		{"curl, by name with a dot", headers{"Host", "LOCALHOST."}, 200, 200, 200},
		{"curl, 127.1.2.3", headers{"Host", "127.1.2.3"}, 200, 200, 200},
		{"curl, IPv6", headers{"Host", "[::1]:3001"}, 200, 200, 200},
		{"curl, a configured name", headers{"Host", "Node.Example:80"}, 200, 200, 200},
		{"rebound host", headers{"Host", "evil.example"}, 421, 421, 421},
		{"rebound host, same origin", headers{"Host", "evil.example:3001", "Origin", "http://evil.example:3001", "Sec-Fetch-Site", "same-origin"}, 421, 421, 421},
		{"host that begins well", headers{"Host", "localhost.evil.example"}, 421, 421, 421},
		{"host that looks like an address", headers{"Host", "127.0.0.1.evil.example"}, 421, 421, 421},
		{"0.0.0.0", headers{"Host", "0.0.0.0:3001"}, 421, 421, 421},
		{"another address", headers{"Host", "192.0.2.1:3001"}, 421, 421, 421},
		{"typed into the address bar", headers{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200, 200, 200},
		{"own page, fetch", headers{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + own, "Referer", "http://" + own + "/"}, 200, 200, 200},
		{"own page, old browser", headers{"Origin", "http://" + own, "Referer", "http://" + own + "/"}, 200, 200, 200},
		{"other origin, fetch", headers{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Origin", "https://evil.example"}, 403, 403, 403},
		{"other origin, no-cors", headers{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403, 403, 403},
		{"other origin, old browser", headers{"Origin", "https://evil.example"}, 403, 403, 403},
		{"other port", headers{"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:8080"}, 403, 403, 403},
		{"other port, old browser", headers{"Origin", "http://127.0.0.1:8080"}, 403, 403, 403},
		{"null origin", headers{"Origin", "null"}, 403, 403, 403},
		{"null origin, sandboxed frame", headers{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, 403, 403, 403},
		{"img tag", headers{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image", "Referer", "https://evil.example/"}, 403, 403, 403},
		{"img tag, old browser", headers{"Referer", "https://evil.example/"}, 403, 200, 200}, // no browser posts without Origin
		{"form post", headers{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Origin", "https://evil.example"}, 403, 403, 403},
		{"link followed", headers{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403, 403, 200},
		{"frame", headers{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403, 403, 403},
		{"prefetch", headers{"Sec-Purpose", "prefetch", "Sec-Fetch-Site", "none"}, 403, 200, 200},
		{"prerender", headers{"Sec-Purpose", "prefetch;prerender", "Sec-Fetch-Site", "none"}, 403, 200, 200},
		{"prefetch, older", headers{"Purpose", "prefetch"}, 403, 200, 200},
		{"prefetch, Firefox", headers{"X-Moz", "prefetch"}, 403, 200, 200},
		{"websocket origin", headers{"Origin", "ws://evil.example"}, 403, 403, 403},
		{"garbage", headers{"Sec-Fetch-Site", "whatever"}, 403, 403, 403},
		{"garbage origin", headers{"Origin", "::%%"}, 403, 403, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := start(t, func(cfg *Config) { cfg.Hosts = []string{"node.example"} })
			sent := make(headers, len(test.headers))
			for i, h := range test.headers {
				sent[i] = replaceOwn(h, own, a.url[len("http://"):])
			}
			published := 0
			for _, request := range []struct {
				method, path string
				want         int
				publishes    bool
			}{
				{"GET", "/ping", test.get, true},
				{"POST", "/ping", test.post, true},
				{"GET", "/id", test.read, false},
				{"HEAD", "/ping", 405, false},
			} {
				if request.publishes && request.want == http.StatusOK {
					published++
				}
				answer, body := a.do(t, request.method, request.path, "", sent...)
				if request.method == http.MethodHead {
					if answer.StatusCode == http.StatusOK {
						t.Error("HEAD /ping was carried out")
					}
				} else if answer.StatusCode != request.want {
					t.Errorf("%s %s: %d %s, want %d", request.method, request.path, answer.StatusCode, body, request.want)
				} else if request.want != http.StatusOK {
					checkProblem(t, answer, body)
				}
				for name := range answer.Header {
					if len(name) > 15 && name[:15] == "Access-Control-" {
						t.Errorf("%s lets other origins in", name)
					}
				}
			}
			if got := len(a.node.texts(t)); got != published {
				t.Errorf("%d pings were published, want %d", got, published)
			}
		})
	}
}

func replaceOwn(h, own, host string) string {
	for i := range len(h) - len(own) + 1 {
		if h[i:i+len(own)] == own {
			return h[:i] + host + h[i+len(own):]
		}
	}
	return h
}

func TestTokenIsAskedFor(t *testing.T) {
	a := start(t, func(cfg *Config) { cfg.Token = "secret" })
	for _, test := range []struct {
		path, authorization, host string
		want                      int
	}{
		{"/id", "", "", 401},
		{"/id", "Bearer wrong", "", 401},
		{"/id", "Bearer secret2", "", 401},
		{"/id", "Bearer ", "", 401},
		{"/id", "Basic secret", "", 401},
		{"/id", "Bearer secret", "", 200},
		{"/id", "bearer secret", "node.example", 200}, // who knows the token may call it what they like
		{"/nothing", "", "", 401},
		{"/livez", "", "", 200},
		{"/livez", "", "evil.example", 421},
		{"/readyz", "", "", 401},
		{"/metrics", "", "", 401},
	} {
		headers := []string{"Authorization", test.authorization}
		if test.host != "" {
			headers = append(headers, "Host", test.host)
		}
		answer, body := a.do(t, "GET", test.path, "", headers...)
		if answer.StatusCode != test.want {
			t.Errorf("%+v: %d %s", test, answer.StatusCode, body)
		} else if test.want != 200 {
			checkProblem(t, answer, body)
		}
	}
	if _, err := a.ID(t.Context()); err != nil { // the client has the token
		t.Error(err)
	}
}
