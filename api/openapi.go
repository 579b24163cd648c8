package api

import (
	_ "embed"
	"net/http"
)

// openAPI is the document of everything that this package serves. Tests hold
// one to the other.
//
//go:embed openapi.yaml
var openAPI []byte

func (s *Server) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	if err := noParameters(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(openAPI)
	return nil
}
