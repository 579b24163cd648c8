package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	dirMode  = 0o700 // a data directory is its user's own
	fileMode = 0o600
	// ledgerFile is the ledger in a data directory. Its lock is the
	// directory's: who holds it, runs the node.
	ledgerFile = "ledger.db"
	// keysFile remembers the API's idempotency keys.
	keysFile = "idempotency.db"
)

// openDataDir opens a data directory, which it makes, closed to others, when it
// is missing.
func openDataDir(path string) (*os.Root, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	return dir, nil
}

// writeAPIFile tells client verbs where the node on dir serves its API. It first
// removes what a killed node left, which may lead elsewhere and takes room.
func writeAPIFile(dir *os.Root, url string) error {
	const temporary = apiFile + ".new"
	if err := removeAPIFile(dir); err != nil {
		return err
	}
	if err := dir.WriteFile(temporary, []byte(url+"\n"), fileMode); err != nil {
		return fmt.Errorf("writing the API's address: %w", err)
	}
	if err := dir.Rename(temporary, apiFile); err != nil {
		return fmt.Errorf("writing the API's address: %w", err)
	}
	return nil
}

// removeAPIFile takes back what writeAPIFile wrote. The directory's lock is
// held, so it can't be another node's.
func removeAPIFile(dir *os.Root) error {
	if err := dir.Remove(apiFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the API's address: %w", err)
	}
	return nil
}

// readToken reads a bearer token: the only line of a file that nobody else may
// read. "" is no file and no token.
func readToken(path string) (string, error) {
	const maxToken = 4096 // bytes
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", failed("make one: (umask 077; openssl rand -hex 32 > "+path+")", fmt.Errorf("reading the token: %w", err))
	}
	if !info.Mode().IsRegular() || info.Size() > maxToken {
		return "", fmt.Errorf("reading the token: %s is not a short file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", failed("chmod 600 "+path+"; and make a new token if anyone may have read it",
			fmt.Errorf("the token in %s is open to others: its mode is %04o", path, info.Mode().Perm()))
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", failed("make one: (umask 077; openssl rand -hex 32 > "+path+")", fmt.Errorf("%s does not hold one token on one line", path))
	}
	return token, nil
}

// apiURL is how clients on this machine reach a listener: addr as it was told
// to listen, real as it turned out.
func apiURL(told, real string, encrypted bool) string {
	if path, ok := strings.CutPrefix(told, "unix:"); ok {
		if abs, err := filepath.Abs(path); err == nil && !strings.HasPrefix(path, "@") { // which is no file
			path = abs // clients may be elsewhere
		}
		return "unix:" + path
	}
	scheme := "http://"
	if encrypted {
		scheme = "https://"
	}
	real = strings.Replace(real, "[::]:", "127.0.0.1:", 1)
	return scheme + strings.Replace(real, "0.0.0.0:", "127.0.0.1:", 1)
}
