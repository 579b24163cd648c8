package main

import (
	"errors"
	"net"
	"testing"
	"time"

	"p2ping/api/client"
)

// TestANodeThatHangsIsNotHealthy asks one whose system takes the connection.
func TestANodeThatHangsIsNotHealthy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := client.New(client.Config{URL: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = readyWithin(t.Context(), c, time.Millisecond)
	if f, ok := errors.AsType[*failure](explain(err)); !ok || f.code != exitNoNode {
		t.Errorf("got %v, not that no node answers", err)
	}
}
