package main

import (
	"context"
	"io"
	"net/http"
)

// newHello is baseline (a): what net/http answers at most, doing nothing.
func newHello(context.Context, roleConfig) (*role, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "I'm alive\n")
	})
	return &role{handler: mux, close: func() error { return nil }}, nil
}
