package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	fields, err := jsonObject(body)
	if err != nil {
		return "", false, refusef(http.StatusBadRequest, "the body is not a JSON object: %v", err)
	}
	raw, ok := fields[name]
	if len(fields) > 1 || len(fields) == 1 && !ok {
		return "", false, refusef(http.StatusBadRequest, "the JSON object has other fields than %q", name)
	}
	if !ok {
		return "", false, nil
	}
	text, err := jsonString(raw)
	if err != nil {
		return "", false, refusef(http.StatusBadRequest, "the field %q %v", name, err)
	}
	return text, true, nil
}

// jsonObject reads the members of a JSON object, by their exact names, unlike what
// encoding/json makes of a struct.
func jsonObject(b []byte) (fields map[string]json.RawMessage, err error) {
	err = json.Unmarshal(b, &fields)
	if other, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil, fmt.Errorf("it is of another type, %s", other.Value)
	}
	if err == nil && fields == nil {
		return nil, errors.New("it is null")
	}
	return fields, err
}

// jsonString reads a JSON string. One with half of a pair of surrogates, which
// encoding/json replaces without a word, is refused, as invalid UTF-8 is.
func jsonString(raw json.RawMessage) (string, error) {
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		return "", errors.New("is not a string")
	}
	if halved(raw) {
		return "", errors.New(`has half a character, an unpaired \ud800 to \udfff: the text was cut in the middle of one`)
	}
	return *text, nil
}

// halved tells whether valid JSON has an escape for half of a pair of surrogates
// without the other half.
func halved(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++ // what is escaped
		switch first := surrogate(b[i:]); {
		case first == 0:
		case first < 0xDC00 && bytes.HasPrefix(b[i+5:], []byte{'\\'}) && surrogate(b[i+6:]) >= 0xDC00:
			i += 10
		default:
			return true
		}
	}
	return false
}

// surrogate returns the half of a pair that an escape without its backslash stands
// for, 0 for none.
func surrogate(b []byte) uint64 {
	if len(b) < 5 || b[0] != 'u' {
		return 0
	}
	v, err := strconv.ParseUint(string(b[1:5]), 16, 16)
	if err != nil || v < 0xD800 || v > 0xDFFF {
		return 0
	}
	return v
}
