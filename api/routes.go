package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"p2ping/api/web"
)

// handler answers a request, or returns an error and has written nothing.
type handler func(http.ResponseWriter, *http.Request) error

// resource is what one path stands for. Its fields are read only.
type resource struct {
	methods map[string]handler
	// allow lists the methods for the header of that name.
	allow string
	// unsafe marks a GET that has an effect: it is guarded as one that has, and
	// there is no HEAD to go with it.
	unsafe bool
	// endless marks a GET that may stream for ever: it has no HEAD either.
	endless bool

	done, refused, failed, gone prometheus.Counter
}

// routes maps every path to its resource.
func (s *Server) routes(reg prometheus.Registerer) (map[string]*resource, error) {
	resources := map[string]*resource{
		"/ping":         {unsafe: true, methods: map[string]handler{"GET": s.getPing, "POST": s.postPing}},
		"/pings":        {endless: true, methods: map[string]handler{"GET": s.getPings, "POST": s.postPings}},
		"/events":       {endless: true, methods: map[string]handler{"GET": s.getEvents}},
		"/id":           {methods: map[string]handler{"GET": s.getID}},
		"/peers":        {methods: map[string]handler{"GET": s.getPeers, "POST": s.postPeers}},
		"/livez":        {methods: map[string]handler{"GET": s.getLivez}},
		"/readyz":       {methods: map[string]handler{"GET": s.getReadyz}},
		"/metrics":      {methods: map[string]handler{"GET": s.getMetrics}},
		"/map":          {methods: map[string]handler{"GET": s.getMap}},
		"/map/progress": {methods: map[string]handler{"GET": s.getMapProgress}},
		"/sync":         {methods: map[string]handler{"GET": s.getSync}},
		"/openapi.yaml": {methods: map[string]handler{"GET": s.getOpenAPI}},
		"/entries":      {endless: true, methods: map[string]handler{"GET": s.getEntries, "POST": s.postEntries}},
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "p2ping_http_requests_total",
		Help: "HTTP requests by path and outcome: done, refused (4xx), failed (5xx), gone (the client left first).",
	}, []string{"path", "outcome"})
	if err := reg.Register(requests); err != nil {
		return nil, fmt.Errorf("registering the API's metrics: %w", err)
	}
	for path, res := range resources {
		res.count(requests, path)
		allow := make([]string, 0, len(res.methods)+1)
		for method := range res.methods {
			allow = append(allow, method)
		}
		if res.head() != nil {
			allow = append(allow, http.MethodHead)
		}
		slices.Sort(allow)
		res.allow = strings.Join(allow, ", ")
	}
	resources[""] = &resource{} // stands for all other paths
	resources[""].count(requests, "other")
	return resources, routePage(resources, requests)
}

// routePage adds the page's files, which are counted as one.
func routePage(resources map[string]*resource, requests *prometheus.CounterVec) error {
	page, err := web.New()
	if err != nil {
		return err
	}
	files := &resource{allow: "GET, HEAD", methods: map[string]handler{
		"GET": func(w http.ResponseWriter, r *http.Request) error {
			page.ServeHTTP(w, r)
			return nil
		},
	}}
	files.count(requests, "page")
	for _, at := range page.Paths() {
		resources[at] = files
	}
	return nil
}

func (res *resource) count(requests *prometheus.CounterVec, path string) {
	res.done = requests.WithLabelValues(path, "done")
	res.refused = requests.WithLabelValues(path, "refused")
	res.failed = requests.WithLabelValues(path, "failed")
	res.gone = requests.WithLabelValues(path, "gone")
}

// head returns what answers HEAD, nil for nothing.
func (res *resource) head() handler {
	if res.unsafe || res.endless {
		return nil
	}
	return res.methods[http.MethodGet]
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	headers := w.Header()
	for _, h := range s.common {
		headers[h.name] = h.values
	}
	res, ok := s.resources[r.URL.Path]
	if !ok {
		res = s.resources[""]
	}
	defer s.recover(w, r, res)
	err := s.handle(w, r, res)
	switch {
	case err == nil:
		res.done.Inc()
	case r.Context().Err() != nil:
		// Mostly nobody is there to be told. But one who has only ended its own side
		// must not take the 200 of an empty answer for a success.
		res.gone.Inc()
		refuse(http.StatusBadRequest, "the client closed the connection before the answer: "+err.Error(),
			"keep both directions open until the answer has come").write(w)
	default:
		p := asProblem(err)
		if p.Status >= 500 {
			res.failed.Inc()
		} else {
			res.refused.Inc()
		}
		if p.Status == http.StatusInternalServerError {
			s.logger.Error("answering a request", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		p.write(w)
	}
}

// handle finds the handler and calls it, if the request is to be trusted.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, res *resource) error {
	if err := s.guard.check(r, res.unsafe); err != nil {
		return err
	}
	if res.methods == nil {
		return refuse(http.StatusNotFound, fmt.Sprintf("there is nothing at %.100q", r.URL.Path), "")
	}
	h := res.methods[r.Method]
	if r.Method == http.MethodHead {
		h = res.head()
	}
	if h == nil {
		p := refuse(http.StatusMethodNotAllowed, fmt.Sprintf("%s does not take %.20q, but %s", r.URL.Path, r.Method, res.allow), "")
		p.header, p.value = "Allow", res.allow
		return p
	}
	return h(w, r)
}

// recover keeps a handler's panic to its own request. Where the answer may have
// begun, nothing but cutting it off tells the client.
func (s *Server) recover(w http.ResponseWriter, r *http.Request, res *resource) {
	v := recover()
	if v == nil {
		return
	}
	res.failed.Inc()
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.logger.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", stack())
	if res.endless {
		panic(http.ErrAbortHandler)
	}
	refuse(http.StatusInternalServerError, "the node stumbled over this request", "look into its log").write(w)
}
