package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const (
	dirMode  = 0o700 // a data directory is its user's own
	fileMode = 0o600
	// ledgerFile is the ledger in a data directory. Its lock is the
	// directory's: who holds it, runs the node.
	ledgerFile = "ledger.db"
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

// writeAPIFile tells client verbs where the node on dir serves its API.
func writeAPIFile(dir *os.Root, url string) error {
	const temporary = apiFile + ".new"
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

// apiURL is how clients on this machine reach a listener: addr as it was told
// to listen, real as it turned out.
func apiURL(told, real string) string {
	if strings.HasPrefix(told, "unix:") {
		return told
	}
	real = strings.Replace(real, "[::]:", "127.0.0.1:", 1)
	return "http://" + strings.Replace(real, "0.0.0.0:", "127.0.0.1:", 1)
}
