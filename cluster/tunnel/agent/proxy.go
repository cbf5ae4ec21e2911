package agent

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
)

// handler passes requests on to the API server.
func (a *Agent) handler(trip http.RoundTripper) http.Handler {
	base, _ := url.Parse(a.target.URL) // New has read it
	proxy := &httputil.ReverseProxy{
		Transport: trip, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), // ErrorHandler tells
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(base)
			for name := range r.Out.Header {
				if foreign(name) {
					r.Out.Header.Del(name)
				}
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				a.opts.Logger.Warn("the API server did not answer", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			fail(w, http.StatusBadGateway, "the agent got no answer from the API server: "+err.Error())
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect || !strings.HasPrefix(r.URL.Path, "/"):
			fail(w, http.StatusBadRequest, "the agent passes on requests to the API server, and nothing else")
		case !a.mayImpersonate(r.Header):
			fail(w, http.StatusForbidden, "the agent does not let the hub act as this user or group; its -impersonate says as whom it may")
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// foreign reports whether a header says who the caller is in a way that is the
// agent's to say, or that only a trusted proxy may say.
func foreign(name string) bool {
	return name == "Authorization" || name == "Cookie" || strings.HasPrefix(name, "X-Remote-")
}

// mayImpersonate reports whether the hub may act as whom the headers name.
func (a *Agent) mayImpersonate(header http.Header) bool {
	for name, values := range header {
		switch {
		case !strings.HasPrefix(name, "Impersonate-"):
		case name != "Impersonate-User" && name != "Impersonate-Group":
			return false
		case slices.ContainsFunc(values, func(value string) bool {
			return !(name == "Impersonate-Group" && value == "system:authenticated") &&
				!slices.ContainsFunc(a.opts.Impersonate, func(beginning string) bool { return strings.HasPrefix(value, beginning) })
		}):
			return false
		}
	}
	return true
}

// fail answers as an API server does.
func fail(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message,
	})
}
