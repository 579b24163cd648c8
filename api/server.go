package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Limits of the HTTP server.
const (
	// readHeaderTimeout ends connections that drip their header.
	readHeaderTimeout = 5 * time.Second
	// requestTimeout ends requests whose body or answer does not move on;
	// streams count it from their last movement.
	requestTimeout = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// ShutdownTimeout is how long [Server.Serve] gives requests under way to end.
const ShutdownTimeout = 3 * time.Second

// Listen opens an address to serve on: host:port, or unix:/path, which only
// this user may then connect to.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		var lc net.ListenConfig
		return lc.Listen(ctx, "tcp", address)
	}
	return listenUnix(ctx, path)
}

// listenUnix takes the place of a socket that a dead process left behind, but
// of nothing else. The directory must be the user's own for the file's mode to
// hold from the first instant.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	var lc net.ListenConfig
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("listening on unix:%s: a file that is no socket is there", path)
		}
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "unix", path); err == nil {
			_ = conn.Close() // it has answered the question
			return nil, fmt.Errorf("listening on unix:%s: another process serves there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing a dead socket: %w", err)
		}
	}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// WithTLS serves TLS 1.2 or newer on l, with a certificate and its key from
// PEM files, which are read again when they change. Logger tells of that; nil
// discards it.
func WithTLS(l net.Listener, certFile, keyFile string, logger *slog.Logger) (net.Listener, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	c, err := loadCertificate(certFile, keyFile, logger)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{
		GetCertificate: c.get,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
	}), nil
}

// NewHTTPServer returns an http.Server with the limits of this package, which
// serves h. TLS is the listener's business.
func NewHTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// Serve answers requests from l, which it closes, until ctx ends; then it ends
// streams and waits for receipts at once, gives other requests ShutdownTimeout
// to finish, and returns nil. It may be called for several listeners; when one
// stops, the streams of all do.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := NewHTTPServer(s, s.logger)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(newLimitListener(l, s.conns)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.stopOnce.Do(func() { close(s.stopping) })
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(patience); err != nil {
		s.logger.Warn("cutting off requests that do not end", "err", err)
		_ = server.Close() // which is all that can be done
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the API on %s: %w", l.Addr(), err)
	}
	return nil
}
