package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"p2ping/node"
)

// hesitant is a node that publishes nothing until its caller gives up.
type hesitant struct{ *fakeNode }

func (hesitant) Publish(ctx context.Context, _ string) (node.Published, error) {
	<-ctx.Done()
	return node.Published{}, fmt.Errorf("waiting to publish: %w: nothing was published", context.Cause(ctx))
}

// TestWhoEndsItsSideIsToldOfTheFailure has a client that ends its side of the
// connection with its request, as nc -N does, which ends the request: what was
// not published must not be answered with an empty 200.
func TestWhoEndsItsSideIsToldOfTheFailure(t *testing.T) {
	n := newFakeNode(t)
	a := serve(t, n, Config{Node: hesitant{n}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "nothing was published") {
		t.Errorf("%d %s, %v", answer.StatusCode, body, err)
	}
	checkProblem(t, reply{answer.StatusCode, answer.Status, answer.Header}, string(body))
}
