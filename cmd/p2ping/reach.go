package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v3"

	"p2ping/api/client"
)

const (
	// apiFile is the file in a data directory that holds the URL of the API
	// while its node runs.
	apiFile = "api"
	// defaultAPI is where a node serves its API when nobody said otherwise.
	defaultAPI = "http://127.0.0.1:3001"
	// maxAPIFile bounds what is read of an api file, in bytes.
	maxAPIFile = 4096
	// probeTime bounds how long a node found by its api file may take to show
	// that it is alive. It is on this machine, which may be busy: one that is
	// passed over is said not to run.
	probeTime = answerTime
)

// nodeFlags are the flags of verbs that talk to a running node.
func nodeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api", Usage: "talk to the node at `URL` (default: the node that runs here) [$P2PING_API]"},
		&cli.StringFlag{Name: "data-dir", Usage: "talk to the node that runs on `DIR` [$P2PING_DATA_DIR]"},
		&cli.StringFlag{Name: "token-file", Usage: "show the node the bearer token in `FILE` [$P2PING_TOKEN_FILE]"},
		&cli.StringFlag{Name: "tls-ca", Usage: "trust the certificates in the PEM `FILE` with HTTPS, and no others [$P2PING_TLS_CA]"},
		jsonFlag(),
	}
}

// access is what a verb shows to nodes, and wants to be shown.
type access struct {
	token string
	http  *http.Client // nil for the client's own
}

// accessOf reads what a verb's flags say of it.
func (p *program) accessOf(cmd *cli.Command) (a access, err error) {
	if a.token, err = readToken(cmp.Or(cmd.String("token-file"), p.env.get(envName("token-file")))); err != nil {
		return a, err
	}
	a.http, err = trusting(cmp.Or(cmd.String("tls-ca"), p.env.get(envName("tls-ca"))))
	return a, err
}

// client makes a client for the node at a URL.
func (a access) client(url string) (*client.Client, error) {
	cfg := client.Config{URL: url, Token: a.token, HTTP: a.http}
	if strings.HasPrefix(url, "unix:") {
		cfg.HTTP = nil
	}
	c, err := client.New(cfg)
	if err != nil {
		return nil, usage("such as http://127.0.0.1:3001", "%w", err)
	}
	return c, nil
}

// connect makes a client for the node that a verb's flags mean.
func (p *program) connect(ctx context.Context, cmd *cli.Command) (*client.Client, error) {
	url, err := p.findAPI(ctx, cmd.String("api"), cmd.String("data-dir"))
	if err != nil {
		return nil, err
	}
	a, err := p.accessOf(cmd)
	if err != nil {
		return nil, err
	}
	return a.client(url)
}

// findAPI returns the URL of the node to talk to: what --api, P2PING_API,
// --data-dir or P2PING_DATA_DIR say, else the one node that runs on a default
// data directory (the one of port 6001 if there are several), else defaultAPI.
func (p *program) findAPI(ctx context.Context, api, dir string) (string, error) {
	if api == "" && dir == "" {
		api = p.env.get(envName("api"))
	}
	if api != "" {
		return api, nil
	}
	if dir == "" {
		dir = p.env.get(envName("data-dir"))
	}
	if dir != "" {
		url, err := readAPIFile(dir)
		if err != nil {
			return "", &failure{code: exitNoNode, err: fmt.Errorf("no node runs on %s", dir), hint: "start one: p2ping run --data-dir " + dir}
		}
		return url, nil
	}
	return p.findDefault(ctx)
}

// runningNode is a node found by the api file in its data directory.
type runningNode struct{ dir, url string }

// findDefault looks through the default data directories.
func (p *program) findDefault(ctx context.Context) (string, error) {
	state, err := stateDir(p.env)
	if err != nil {
		return defaultAPI, nil //nolint:nilerr // without a home there are no default directories
	}
	switch nodes := running(ctx, state); len(nodes) {
	case 0:
		return defaultAPI, nil
	case 1:
		return nodes[0].url, nil
	default:
		if i := slices.IndexFunc(nodes, func(n runningNode) bool { return filepath.Base(n.dir) == "6001" }); i >= 0 {
			return nodes[i].url, nil
		}
		urls := make([]string, len(nodes))
		for i, n := range nodes {
			urls[i] = n.url
		}
		return "", usage("say which: --api "+urls[0], "several nodes run here: %s", strings.Join(urls, ", "))
	}
}

// running returns the live nodes under a state directory, by directory.
func running(ctx context.Context, state string) []runningNode {
	files, err := filepath.Glob(filepath.Join(state, "*", apiFile))
	if err != nil {
		return nil // the pattern is sound, so there is no error to have
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var (
		mu    sync.Mutex
		nodes []runningNode
		all   sync.WaitGroup
	)
	for _, file := range files {
		all.Go(func() {
			dir := filepath.Dir(file)
			url, err := readAPIFile(dir)
			if err != nil || !alive(ctx, url) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			nodes = append(nodes, runningNode{dir: dir, url: url})
		})
	}
	all.Wait()
	slices.SortFunc(nodes, func(a, b runningNode) int { return cmp.Compare(a.dir, b.dir) })
	return nodes
}

// alive tells whether a node answers, trusted or not.
func alive(ctx context.Context, url string) bool {
	c, err := client.New(client.Config{URL: url})
	if err != nil {
		return false
	}
	defer c.Close()
	err = c.Alive(ctx)
	return err == nil || distrusted(err)
}

// readAPIFile returns the URL that the node on a data directory serves.
func readAPIFile(dir string) (string, error) {
	path := filepath.Join(dir, apiFile)
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxAPIFile {
		return "", fmt.Errorf("%s is not what a node wrote", path)
	}
	content, err := os.ReadFile(path)
	return strings.TrimSpace(string(content)), err
}

// hangHint is what to do about a node that takes connections and says nothing.
const hangHint = "it hangs, or this is no node's API: look into its log"

// explain adds an exit code and a hint to what a client's call returned.
func explain(err error) error {
	if _, ok := errors.AsType[*failure](err); ok {
		return err // it is explained
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrUnreachable):
		return &failure{code: exitNoNode, err: err, hint: "start one with `p2ping run`, or say where it is: --api URL"}
	case errors.Is(err, client.ErrSilent):
		return failed(hangHint, err) // after it may have done what it was asked for
	case errors.Is(err, io.EOF):
		return failed("if it serves HTTPS, say so: --api https://HOST:PORT", err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return failed("it does not serve HTTPS: --api http://HOST:PORT", err)
	case distrusted(err):
		return failed("trust the node's certificate: --tls-ca FILE; and call it by a name that is in there: --api https://NAME:PORT", err)
	case errors.Is(err, context.Canceled):
		return failed("", errors.New("interrupted"))
	}
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		return failed(refusal.Hint, err)
	}
	return err
}

// explainValues is explain for calls that hand values of the command line on:
// the node says whether these make sense.
func explainValues(err error) error {
	if refusal, ok := errors.AsType[*client.Error](err); ok && refusal.Status == http.StatusBadRequest {
		return usage(refusal.Hint, "%w", err)
	}
	return explain(err)
}
