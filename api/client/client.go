package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const (
	// MaxAnswer bounds how much of an answer is read, in bytes.
	MaxAnswer = 16 << 20
	// MaxLine bounds one line of a stream, in bytes: an entry of 64 KiB, once as
	// text in which every byte is escaped and once in base64.
	MaxLine = 1 << 20
)

// Config says where the node is.
type Config struct {
	// URL is http://host:port, https://host:port or unix:/path/to/socket.
	// A bare host:port means http.
	URL string
	// Token is sent as bearer token, "" for none.
	Token string
	// HTTP makes the requests. Nil means a client of its own with Go's default
	// transport. With unix: it must be nil.
	HTTP *http.Client
}

// Client speaks to one node. Make it with [New].
type Client struct {
	base  string // scheme and host, without a slash at the end
	where string // the configured URL, for messages
	token string
	http  *http.Client
}

// New makes a client. It does not connect yet.
func New(cfg Config) (*Client, error) {
	c := &Client{where: cfg.URL, token: cfg.Token}
	if path, ok := strings.CutPrefix(cfg.URL, "unix:"); ok {
		if path == "" || cfg.HTTP != nil {
			return nil, fmt.Errorf("API address %q: want unix:/path and no HTTP client of your own", cfg.URL)
		}
		c.base = "http://localhost"
		c.http = &http.Client{Transport: unixTransport(path)}
	} else {
		base, err := parseBase(cfg.URL)
		if err != nil {
			return nil, err
		}
		c.base = base
		c.http = &http.Client{Transport: defaultTransport()}
		if cfg.HTTP != nil {
			own := *cfg.HTTP
			c.http = &own
		}
	}
	// A node never redirects, and a token must not travel elsewhere.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Close closes idle connections. Calls under way are not touched.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseBase(address string) (string, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("parsing the API address: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", fmt.Errorf("API address %q: want http://host:port, https://host:port or unix:/path", address)
	}
	return u.Scheme + "://" + u.Host, nil
}

func defaultTransport() *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if d, ok := http.DefaultTransport.(*http.Transport); ok {
		t = d.Clone()
	}
	t.MaxIdleConnsPerHost = 64
	return t
}

func unixTransport(path string) *http.Transport {
	t := defaultTransport()
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return t
}

// Ping publishes a text of 1 to 4,096 bytes of UTF-8; an empty one means the
// node's default, "I'm alive". When it returns nil the ping is on disk.
func (c *Client) Ping(ctx context.Context, text string) (Published, error) {
	return c.Publish(ctx, Request{Text: text})
}

// ID returns the node's identity and addresses.
func (c *Client) ID(ctx context.Context) (ID, error) {
	return call[ID](ctx, c, http.MethodGet, "/id", nil)
}

// Peers returns the peers that the node is connected to.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	p, err := call[Peers](ctx, c, http.MethodGet, "/peers", nil)
	return p.Peers, err
}

// Connect makes the node connect to a multiaddr and returns who answered there.
func (c *Client) Connect(ctx context.Context, address string) (peerID string, err error) {
	p, err := call[Connected](ctx, c, http.MethodPost, "/peers", map[string]string{"address": address})
	return p.PeerID, err
}

// Sync returns the state of the node's ledger and its last comparisons.
func (c *Client) Sync(ctx context.Context) (Sync, error) {
	return call[Sync](ctx, c, http.MethodGet, "/sync", nil)
}

// Alive returns nil when the node answers.
func (c *Client) Alive(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodGet, "/livez", nil)
	return err
}

// Ready returns whether the node is ready and if not, why. A node that is not
// ready is no error.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	answer, err := c.send(ctx, http.MethodGet, "/readyz", "", nil)
	if err != nil {
		return Readiness{}, err
	}
	defer closeBody(answer)
	if answer.StatusCode == http.StatusServiceUnavailable && mediaType(answer) == problemType {
		return decode[Readiness](c, answer)
	}
	return succeed[Readiness](c, answer)
}

// call sends body as JSON, unless nil, and decodes the answer.
func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var none T
	var r io.Reader
	contentType := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return none, fmt.Errorf("encoding a request: %w", err)
		}
		r, contentType = bytes.NewReader(b), "application/json"
	}
	answer, err := c.send(ctx, method, path, contentType, r)
	if err != nil {
		return none, err
	}
	defer closeBody(answer)
	return succeed[T](c, answer)
}

// send makes one request. The caller closes the answer's body.
func (c *Client) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return c.ask(req)
}

// upload sends lines for as long as there are some. The caller closes the
// answer's body.
func (c *Client) upload(ctx context.Context, path string, lines io.Reader) (*http.Response, error) {
	req, err := c.request(ctx, http.MethodPost, path, lines)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	return c.do(req)
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("User-Agent", "p2ping-client")
	return req, nil
}

// do sends a request that is made up already.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(req)
	if err == nil {
		return answer, nil
	}
	if cause, ok := errors.AsType[*url.Error](err); ok {
		err = cause.Err // the URL is named below
	}
	if unreachable(err) {
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.where, err)
	}
	return nil, fmt.Errorf("asking the node at %s: %w", c.where, err)
}

// succeed decodes an answer of 2xx and makes an error of every other.
func succeed[T any](c *Client, answer *http.Response) (T, error) {
	var none T
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return none, problem(answer)
	}
	if mediaType(answer) != "application/json" {
		return none, fmt.Errorf("the answer of %s is not a p2ping node's: its type is %q", c.where, answer.Header.Get("Content-Type"))
	}
	return decode[T](c, answer)
}

func decode[T any](c *Client, answer *http.Response) (T, error) {
	var v T
	if err := json.NewDecoder(io.LimitReader(answer.Body, MaxAnswer)).Decode(&v); err != nil {
		return v, fmt.Errorf("reading the answer of %s: %w", c.where, err)
	}
	return v, nil
}

// closeBody ends an answer. That it may fail is of no interest: what was wanted
// of it has been read, or is not wanted any more.
func closeBody(answer *http.Response) { _ = answer.Body.Close() }
