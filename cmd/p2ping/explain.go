package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode"

	"p2ping/node"
	"p2ping/node/ledger"
)

// explainStart turns what keeps a node from starting into what to do. other is
// what helps against ports in use, beside choosing one.
func explainStart(s settings, err error, other string) error {
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	if inUse, ok := errors.AsType[*node.PortInUseError](err); ok {
		return failed("another node runs there? choose another port: --p2p-port PORT, "+other,
			fmt.Errorf("P2P port %d is in use: can't listen on %s", inUse.Port, inUse.Addr))
	}
	if other, ok := errors.AsType[*node.OtherTopicError](err); ok {
		return failed("give --topic "+quoted(other.Topic)+", or a directory of its own to this topic: --data-dir DIR",
			fmt.Errorf("the data directory %s holds pings of the topic %q, not %q", s.DataDir, other.Topic, s.Topic))
	}
	switch {
	case errors.Is(err, ledger.ErrLocked):
		return failed("stop it, or give this node a directory of its own: --data-dir DIR, or --shift 1 for the next ports",
			fmt.Errorf("the data directory %s is in use by another p2ping", s.DataDir))
	case errors.Is(err, ledger.ErrDamaged):
		return failed("p2ping ledger rebuild --data-dir "+quoted(s.DataDir), err)
	case errors.Is(err, node.ErrPortInUse):
		return failed("another node runs there? choose another port: --http-port PORT, "+other,
			fmt.Errorf("the API's address %s is in use", s.HTTP))
	}
	return err
}

// explainListen says what to do about an address that the API can't be served
// on.
func explainListen(address string, err error) error {
	err = fmt.Errorf("serving the API: %w", err)
	if errors.Is(err, syscall.EACCES) && !strings.HasPrefix(address, "unix:") {
		return failed("ports below 1024 belong to root; choose another: --http-port PORT", err)
	}
	return err
}

// pageURL is where a browser finds the page of the node that serves its API at
// a URL, "" on a Unix socket.
func pageURL(url string) string {
	if strings.HasPrefix(url, "unix:") {
		return ""
	}
	return url + "/"
}

// curlLine is the command that pings a node with these settings.
func curlLine(url string, s settings) string {
	command := "curl "
	if s.TLSCert != "" {
		command += "--cacert " + quoted(s.TLSCert) + " "
	}
	if s.TokenFile != "" {
		command += `-H "Authorization: Bearer $(cat ` + quoted(s.TokenFile) + `)" `
	}
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		return command + "--unix-socket " + quoted(path) + " http://localhost/ping"
	}
	return command + url + "/ping"
}

// quoted writes a path for the shell.
func quoted(path string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+,:@%=", r)
	}
	if !strings.ContainsFunc(path, special) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
