package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"p2ping/api/client"
)

// writeCertificate writes a new certificate for 127.0.0.1 and its key, and
// returns a pool that trusts it.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

func TestServingTLS(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	pool := writeCertificate(t, certFile, keyFile)
	s, err := New(Config{Node: newFakeNode(t)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WithTLS(l, keyFile, keyFile, nil); err == nil {
		t.Error("a key was taken for a certificate")
	}
	secure, err := WithTLS(l, certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, secure) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	c, err := client.New(client.Config{URL: "https://" + l.Addr().String(), HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Ping(t.Context(), "x"); err != nil || p.Text != "x" {
		t.Errorf("got %+v, %v", p, err)
	}
	c.Close()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestCertificateIsRenewed replaces the files under a server: new ones are
// served from the next connection on, and what can't be loaded is passed over.
func TestCertificateIsRenewed(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writeCertificate(t, certFile, keyFile)
	c, err := loadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		t.Helper()
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Certificate[0])
	}
	// Two files of one size may be written within one tick of a coarse clock.
	age := func(name string, by time.Duration) {
		t.Helper()
		at := time.Now().Add(by)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	first := served()
	if again := served(); again != first {
		t.Error("another certificate though nothing has changed")
	}
	oldKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, certFile, keyFile)
	newKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, oldKey, 0o600); err != nil {
		t.Fatal(err)
	}
	age(certFile, time.Hour)
	if served() != first {
		t.Error("a certificate was served without its key")
	}
	if err := os.WriteFile(keyFile, newKey, 0o600); err != nil {
		t.Fatal(err)
	}
	age(keyFile, time.Hour)
	second := served()
	if second == first {
		t.Error("the new certificate is not served")
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if served() != second {
		t.Error("without its file the certificate is gone")
	}
}
