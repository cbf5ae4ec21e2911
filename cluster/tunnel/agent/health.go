package agent

import (
	"fmt"
	"net/http"
	"time"
)

// Health serves /healthz, which answers 200 as long as the program runs, and
// /readyz, which answers 200 while there is a tunnel and 503 with the reason
// while there is none.
func (a *Agent) Health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		status := a.Status()
		since := status.Since.UTC().Format(time.RFC3339)
		if !status.Connected {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "not connected since %s: %v\n", since, status.Err)
			return
		}
		fmt.Fprintf(w, "connected as %s since %s\n", status.Cluster, since)
	})
	return mux
}
