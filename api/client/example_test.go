package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"p2ping/api/client"
)

// answering stands for a node: it gives every path a fixed answer. Package api
// tests the client with real ones.
func answering(answers map[string]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		body, ok := answers[r.URL.Path]
		if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInsufficientStorage)
			body = `{"status":507,"title":"Insufficient Storage","detail":"no room on the disk","hint":"make some"}`
		}
		fmt.Fprint(w, body)
	}))
}

func Example() {
	node := answering(map[string]string{"/ping": `{"id":"ab-0","text":"hello","author":"12D3","sent_at":"2026-01-02T15:04:05.000000Z","topic_peers":2}`})
	defer node.Close()

	c, err := client.New(client.Config{URL: node.URL}) // such as http://localhost:3001
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	p, err := c.Ping(context.Background(), "hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q is stored, and went to %d peers at once\n", p.Text, p.TopicPeers)
	// Output: "hello" is stored, and went to 2 peers at once
}

func ExampleError() {
	node := answering(nil)
	defer node.Close()

	c, err := client.New(client.Config{URL: node.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	_, err = c.Ping(context.Background(), "hello")
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		fmt.Println(refusal.Status, refusal.Detail, "-", refusal.Hint)
	}
	// Output: 507 no room on the disk - make some
}

func ExampleClient_Follow() {
	node := answering(map[string]string{"/events": strings.Join([]string{
		"event: ping", "id: 1-1", `data: {"text":"one","cursor":"1-1"}`, "",
		"event: gap", "id: 7-0", `data: {"from":"1-1","to":"7-0"}`, "",
		"event: ping", "id: 8-0", `data: {"text":"two","cursor":"8-0"}`, "", "",
	}, "\n")})
	defer node.Close()

	c, err := client.New(client.Config{URL: node.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	lastDealtWith := "0" // kept by the program where it survives
	for e, err := range c.Follow(context.Background(), client.FollowQuery{Since: lastDealtWith}) {
		switch {
		case err != nil:
			fmt.Println(err)
			return
		case e.Gap != nil:
			fmt.Println("some pings are not kept any more")
		case e.Ping != nil:
			fmt.Println(e.Ping.Text)
			lastDealtWith = e.Ping.Cursor
		}
		if lastDealtWith == "8-0" {
			break
		}
	}
	// Output:
	// one
	// some pings are not kept any more
	// two
}

func ExampleClient_Send() {
	node := answering(map[string]string{"/pings": `{"line":1,"id":"ab-0","text":"one"}` + "\n" +
		`{"line":2,"error":{"status":400,"title":"Bad Request","detail":"the text is empty"}}` + "\n"})
	defer node.Close()

	c, err := client.New(client.Config{URL: node.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	pings := func(yield func(client.NewPing) bool) {
		_ = yield(client.NewPing{Text: "one", Key: "a key of its own"}) && yield(client.NewPing{Text: ""})
	}
	for result, err := range c.Send(context.Background(), pings) {
		switch {
		case err != nil:
			fmt.Println(err)
		case result.Error != nil:
			fmt.Println("line", result.Line, "was refused:", result.Error)
		default:
			fmt.Println("line", result.Line, "is stored:", result.Text)
		}
	}
	// Output:
	// line 1 is stored: one
	// line 2 was refused: the text is empty
}
