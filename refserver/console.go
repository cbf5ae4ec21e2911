package refserver

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
)

// consoleFiles are the built console; `make console` makes them from console/src.
//
//go:embed console/dist
var consoleFiles embed.FS

// consoleViews are the paths at which the console shows something: all of them
// give its page, which looks at its address itself.
func consoleViews() []string {
	return []string{"/{$}", "/clusters", "/clusters/{name}", "/applications", "/applications/{namespace}/{name}", "/deploy", "/environments", "/environments/{application}",
		"/stages", "/teams", "/teams/{team}", "/operations", "/operations/{id}", "/audit", "/recycled", "/account", "/login"}
}

// console serves the console: its page where it has a view, and assets whose
// names change with what is in them.
func (s *Server) console() error {
	dist, err := fs.Sub(consoleFiles, "console/dist")
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	page, err := fs.ReadFile(dist, "index.html")
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	page = bytes.ReplaceAll(page, []byte("{{base}}"), []byte(s.opts.BasePath)) // which New has checked
	for _, view := range consoleViews() {
		s.mux.HandleFunc("GET "+view, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Cache-Control", "no-cache")
			_, _ = w.Write(page)
		})
	}
	entries, err := fs.ReadDir(dist, "assets")
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	for _, entry := range entries {
		data, err := fs.ReadFile(dist, "assets/"+entry.Name())
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		kind := mime.TypeByExtension(path.Ext(entry.Name()))
		s.mux.HandleFunc("GET /assets/"+entry.Name(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			_, _ = w.Write(data)
		})
	}
	return nil
}
