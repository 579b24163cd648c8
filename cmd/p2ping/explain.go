package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"p2ping/node"
	"p2ping/node/ledger"
)

// explainStart turns what keeps a node from starting into what to do.
func explainStart(s settings, err error) error {
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	if inUse, ok := errors.AsType[*node.PortInUseError](err); ok {
		return failed("another node runs there? choose another port: --p2p-port PORT, or --shift 1",
			fmt.Errorf("P2P port %d is in use: can't listen on %s", inUse.Port, inUse.Addr))
	}
	switch {
	case errors.Is(err, ledger.ErrLocked):
		return failed("stop it, or give this node a directory of its own: --data-dir DIR, or --shift 1 for the next ports",
			fmt.Errorf("the data directory %s is in use by another p2ping", s.DataDir))
	case errors.Is(err, ledger.ErrDamaged):
		return failed("p2ping ledger rebuild --data-dir "+s.DataDir+" keeps the old file aside and saves what can be read; peers send the rest", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return failed("another node runs there? choose another port: --http-port PORT, or --shift 1",
			fmt.Errorf("the API's address %s is in use", s.HTTP))
	}
	return err
}

// curlLine is the command that pings a node with these settings.
func curlLine(url string, s settings) string {
	command := "curl "
	if s.TLSCert != "" {
		command += "--cacert " + s.TLSCert + " "
	}
	if s.TokenFile != "" {
		command += `-H "Authorization: Bearer $(cat ` + s.TokenFile + `)" `
	}
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		return command + "--unix-socket " + path + " http://localhost/ping"
	}
	return command + url + "/ping"
}
