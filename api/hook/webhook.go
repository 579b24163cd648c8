package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// webhookTimeout bounds one attempt, answer and redirections included.
	webhookTimeout = 15 * time.Second
	maxRedirects   = 3
	// maxAnswer is how much of an answer is read, in bytes, so that its
	// connection can be used again.
	maxAnswer = 64 << 10
)

// webhook posts pings to a URL, which errors don't repeat: it may hold
// credentials.
type webhook struct {
	target string
	agent  string
	client *http.Client
}

func newWebhook(target, version string) (*webhook, error) {
	if err := CheckURL(target); err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		transport = t.Clone()
	}
	transport.MaxIdleConnsPerHost = attempts
	return &webhook{
		target: target, agent: "p2ping/" + version,
		client: &http.Client{Transport: transport, Timeout: webhookTimeout, CheckRedirect: checkRedirect},
	}, nil
}

// checkRedirect follows what keeps the method and what is encrypted, but not
// for ever. What it does not follow is an answer like any other. The credentials
// go along to the same host, and nowhere else.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.Method != http.MethodPost || len(via) > maxRedirects || first.Scheme == "https" && next.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	if next.URL.User == nil && next.URL.Host == first.Host {
		next.URL.User = first.User
	}
	return nil
}

func (w *webhook) deliver(ctx context.Context, ping []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.target, bytes.NewReader(bytes.TrimSuffix(ping, []byte("\n"))))
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.agent)
	answer, err := w.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // the status counts
	_ = answer.Body.Close()
	return judge(answer)
}

// judge tells what an answer means.
func judge(answer *http.Response) error {
	status := answer.StatusCode
	err := fmt.Errorf("the answer is %d %s", status, http.StatusText(status))
	switch {
	case status >= 200 && status <= 299:
		return nil
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After")) // a date counts as nothing
		return busy{err, time.Duration(min(max(seconds, 0), 3600)) * time.Second}
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return err
	case status >= 400 && status <= 499:
		return refusal{err}
	}
	return err
}

// withoutURL leaves the URL out of an error of net/http.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
