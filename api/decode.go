package api

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxBody bounds the body of a request that is not a stream, in bytes: a text
// of 4,096 bytes in JSON that escapes each of them, and room around it.
const maxBody = 32 << 10

const accepted = "text/plain, application/json, application/x-www-form-urlencoded"

// parameters returns the query's values. A name that is not known, or that
// comes twice, is refused: a typing error must not pass as a default.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refusef(http.StatusBadRequest, "the query can't be read: %v", err)
	}
	for name, v := range values {
		if !slices.Contains(known, name) {
			return nil, refusef(http.StatusBadRequest, "there is no parameter %.40q here", name)
		}
		if len(v) > 1 {
			return nil, refusef(http.StatusBadRequest, "the parameter %q is given %d times", name, len(v))
		}
	}
	return values, nil
}

// noParameters refuses every query.
func noParameters(r *http.Request) error {
	_, err := parameters(r)
	return err
}

// readBody reads a whole body of at most maxBody bytes.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, &http.MaxBytesError{Limit: maxBody}
	}
	if r.ContentLength >= 0 {
		b := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return nil, refusef(http.StatusBadRequest, "the body ends early: %v", err)
		}
		return b, nil
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// readField reads a body that says one thing: as plain text, as a JSON object
// with the one field name, or as a form. curl -d 'some text' announces a form,
// too; a body that does not begin with the field's name is taken as it is.
// given is false when there was no body, or a JSON object without the field.
func readField(w http.ResponseWriter, r *http.Request, name string) (text string, given bool, err error) {
	if r.Header.Get("Content-Encoding") != "" {
		return "", false, unsupported("the body is compressed, which is not understood")
	}
	body, err := readBody(w, r)
	if err != nil || len(body) == 0 {
		return "", false, err
	}
	if !utf8.Valid(body) {
		return "", false, refuse(http.StatusBadRequest, "the body is not valid UTF-8", "")
	}
	switch contentType := r.Header.Get("Content-Type"); mediaType(contentType) {
	case "text/plain":
		return string(body), true, nil
	case "application/x-www-form-urlencoded":
		if !bytes.HasPrefix(body, []byte(name+"=")) {
			return string(body), true, nil
		}
		return formField(body, name)
	case "application/json":
		return jsonField(body, name)
	default:
		return "", false, unsupported("the body's type " + contentType + " is not understood")
	}
}

// mediaType returns the type without its parameters, text/plain for none.
func mediaType(contentType string) string {
	switch contentType { // the common ones need no parsing
	case "":
		return "text/plain"
	case "text/plain", "application/json", "application/x-www-form-urlencoded":
		return contentType
	}
	t, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	switch strings.ToLower(params["charset"]) { // whose names have no case
	case "", "utf-8", "us-ascii":
		return t
	}
	return ""
}

func unsupported(detail string) *problem {
	p := refuse(http.StatusUnsupportedMediaType, detail, "send "+accepted+", in UTF-8")
	p.header, p.value = "Accept-Post", accepted
	return p
}

func formField(body []byte, name string) (string, bool, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return "", false, refusef(http.StatusBadRequest, "the form can't be read: %v", err)
	}
	if len(values) != 1 || len(values[name]) != 1 {
		return "", false, refusef(http.StatusBadRequest, "the form has other fields than one %q", name)
	}
	return values.Get(name), true, nil
}

func jsonField(body []byte, name string) (string, bool, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return "", false, refusef(http.StatusBadRequest, "the body is not a JSON object: %v", err)
	}
	if fields == nil {
		return "", false, refuse(http.StatusBadRequest, "the body is not a JSON object, but null", "")
	}
	raw, ok := fields[name]
	if len(fields) > 1 || len(fields) == 1 && !ok {
		return "", false, refusef(http.StatusBadRequest, "the JSON object has other fields than %q", name)
	}
	if !ok {
		return "", false, nil
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return "", false, refusef(http.StatusBadRequest, "the field %q is not a string", name)
	}
	return *text, true, nil
}
