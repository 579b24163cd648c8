package main

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecondSignal interrupts a node that can't end yet, as a request is under
// way, and then once more: that kills it on the spot.
func TestSecondSignal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p, err := launch(dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, "p2ping", "--data-dir", ".", "--http-port", "0", "--p2p-port", "0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.kill)
			api, _ := p.ready(t)
			conn := unfinished(t, strings.TrimPrefix(api, "http://"))
			defer conn.Close()

			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			awaitClosed(t, conn.RemoteAddr().String())
			select {
			case <-p.ended:
				t.Fatalf("one signal was enough, so this test shows nothing:\n%s", p.err.all)
			default:
			}
			// The handler is taken away at the same time as the address is: a
			// signal that comes right between goes by.
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for alive := true; alive; {
				_ = p.cmd.Process.Signal(signal) // it may have ended just now
				select {
				case <-p.ended:
					alive = false
				case <-tick.C:
				}
			}
			if got := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != signal {
				t.Errorf("the node ended by itself, with %v:\n%s", p.cmd.ProcessState, p.err.all)
			}
			if found, _ := p.err.matches(regexp.MustCompile("cutting off")); len(found) > 0 {
				t.Errorf("it gave the request all its time:\n%s", p.err.all)
			}
		})
	}
}

// unfinished makes a request whose body does not come to its end, and returns
// when the node is waiting for it.
func unfinished(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /ping HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", address)
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 100 ") {
		t.Fatalf("the answer is %q, %v", answer[:n], err)
	}
	return conn
}

// awaitClosed waits until nobody listens at an address.
func awaitClosed(t *testing.T, address string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		conn.Close()
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s still listens after %v", address, patience)
		}
	}
}
