package image

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// secrets are what a registry was given. An answer that tells of a failure
// ends up in errors, and may quote them.
type secrets struct {
	mu    sync.Mutex
	known []string
}

// add keeps the latest ones: credentials are renewed.
func (s *secrets) add(values ...string) {
	const most = 32
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		quoted, _ := json.Marshal(v) // a string always can be
		for _, form := range []string{v, strings.Trim(string(quoted), `"`), url.QueryEscape(v)} {
			if form != "" && !slices.Contains(s.known, form) {
				s.known = append(s.known, form)
			}
		}
	}
	s.known = s.known[max(len(s.known)-most, 0):]
}

// scrub takes the secrets, and the one of this request, out of a short answer.
func (s *secrets) scrub(resp *http.Response, authorization string) {
	const most = 8 << 10
	body := resp.Body
	data, _ := io.ReadAll(io.LimitReader(body, most)) // what came is what there is to say
	_, token, _ := strings.Cut(authorization, " ")
	s.mu.Lock()
	known := append([]string{token}, s.known...)
	s.mu.Unlock()
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range known {
		if secret != "" {
			data = bytes.ReplaceAll(data, []byte(secret), []byte("…"))
		}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(data), body}
	resp.ContentLength = int64(len(data))
	resp.Header.Del("Content-Length")
}
