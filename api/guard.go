package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard decides which requests are to be trusted. Its fields are read only.
type guard struct {
	hosts    map[string]bool // lower case, no port
	anyHost  bool
	token    [sha256.Size]byte
	hasToken bool
	unsafe   *http.CrossOriginProtection
}

func newGuard(hosts []string, token string) *guard {
	g := &guard{
		hosts:    map[string]bool{"localhost": true},
		token:    sha256.Sum256([]byte(token)),
		hasToken: token != "",
		unsafe:   http.NewCrossOriginProtection(),
	}
	for _, h := range hosts {
		g.anyHost = g.anyHost || h == "*"
		g.hosts[strings.ToLower(strings.Trim(h, "[]"))] = true
	}
	return g
}

// check returns nil for a request that may be carried out. publishing marks a
// GET that has an effect.
func (g *guard) check(r *http.Request, publishing bool) error {
	authorized, err := g.authorize(r)
	if err != nil {
		return err
	}
	// Who knows the token has not been tricked into anything, whatever name it
	// calls the node by.
	if !authorized && !g.addressed(r) {
		return refuse(http.StatusMisdirectedRequest, "this node does not go by the name in the Host header",
			"use http://localhost or 127.0.0.1, or allow the name with --http-host")
	}
	return g.sameSite(r, publishing)
}

// authorize checks the token, where one is asked for. Hashing makes the
// comparison's time independent of the token's length too.
func (g *guard) authorize(r *http.Request) (authorized bool, err error) {
	if !g.hasToken {
		return false, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 {
		return true, nil
	}
	// The page is the same for everyone, and asks for the token itself.
	if p := r.URL.Path; p == "/livez" || p == "/" || strings.HasPrefix(p, "/web/") {
		return false, nil
	}
	p := refuse(http.StatusUnauthorized, "this node asks for a token", "send Authorization: Bearer TOKEN, or --token-file to p2ping")
	if token != "" {
		p = refuse(http.StatusUnauthorized, "this is not the node's token", "compare it with the file that the node was given as --token-file")
	}
	p.header, p.value = "Www-Authenticate", "Bearer"
	return false, p
}

// addressed tells whether the request names this node as its host. A page that
// rebinds its own name to this machine can't: its requests carry that name. An
// address, in contrast, can't be rebound, so the one that the connection came
// in on is always good.
func (g *guard) addressed(r *http.Request) bool {
	if g.anyHost {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if g.hosts[host] {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if addr.IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.AddrPort().Addr().Unmap().WithZone("") == addr.Unmap()
}

// sameSite refuses what another site's page made a browser send. Programs that
// are not browsers send none of these headers.
//
// Requests with an effect: Sec-Fetch-Site, or where a browser lacks it Origin,
// must not name another origin; the publishing GET also looks at Referer, and
// refuses what a browser fetches on suspicion. Requests without one can't be
// read by another origin anyway, as no answer has CORS headers; they are
// refused so that no page can occupy streams, by frames neither. Following a
// link is no harm.
func (g *guard) sameSite(r *http.Request, publishing bool) error {
	if !safe(r.Method) {
		if err := g.unsafe.Check(r); err != nil {
			return crossSite()
		}
		return nil
	}
	h := r.Header
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		if publishing || h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Dest") != "document" {
			return crossSite()
		}
	}
	if !sameOrigin(h.Get("Origin"), r.Host) {
		return crossSite()
	}
	if !publishing {
		return nil
	}
	if !sameOrigin(h.Get("Referer"), r.Host) {
		return crossSite()
	}
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if h.Get(name) != "" {
			return refuse(http.StatusForbidden, "a ping is not published by fetching it in advance", "use POST /ping")
		}
	}
	return nil
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// sameOrigin tells whether the URL of an Origin or Referer header, if there is
// one, is of the same host and port. "null" is not.
func sameOrigin(header, host string) bool {
	if header == "" {
		return true
	}
	u, err := url.Parse(header)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

func crossSite() *problem {
	return refuse(http.StatusForbidden, "this request comes from another site's page",
		"ask the node from a program, or from its own page")
}
