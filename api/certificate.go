package api

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is read from its files again when they change: whoever renews it
// replaces them under a server that goes on.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu   sync.Mutex
	seen [2]version // of the files, when they were last read
	pair *tls.Certificate
}

// version tells one content of a file from the next.
type version struct {
	modified time.Time
	size     int64
}

func loadCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	seen, err := c.versions()
	if err != nil {
		return nil, fmt.Errorf("loading the TLS certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the TLS certificate: %w", err)
	}
	c.seen, c.pair = seen, &pair
	return c, nil
}

// get returns the certificate for a handshake. When its files have changed and
// don't make one, as in the instant between the replacing of the two, it is the
// one from before.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.versions()
	if err != nil || seen == c.seen {
		return c.pair, nil
	}
	c.seen = seen
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.logger.Warn("the TLS certificate has changed and can't be loaded: serving the one from before", "err", err)
		return c.pair, nil
	}
	c.logger.Info("the TLS certificate has changed: serving the new one")
	c.pair = &pair
	return c.pair, nil
}

func (c *certificate) versions() (seen [2]version, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return seen, err
		}
		seen[i] = version{info.ModTime(), info.Size()}
	}
	return seen, nil
}
