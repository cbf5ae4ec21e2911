package refserver

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver/client"
)

// LoginPage is a way for people to log in with a browser, beside a token that they
// paste: an identity provider, or a form of the program's own.
type LoginPage struct {
	// Name is its place, below /login/: a DNS label.
	Name string
	// Title is what the console writes on the button that leads there.
	Title string
	// Handler makes the handler of everything below the place. It is called once,
	// and sees whole paths without the base path: /login/<name>/…. Who has found
	// out who somebody is calls Sessions.Begin.
	Handler func(*Sessions) http.Handler
}

var loginName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// mountLogins serves the ways to log in, and tells which there are.
func (s *Server) mountLogins() error {
	list := client.List[client.LoginPage]{Items: []client.LoginPage{}}
	known := map[string]bool{}
	for _, l := range s.opts.Logins {
		if !loginName.MatchString(l.Name) || known[l.Name] || l.Title == "" || l.Handler == nil {
			return fmt.Errorf("refserver: %w: login %q; a login has a name of its own, a title and a handler", appspan.ErrInvalid, l.Name)
		}
		known[l.Name] = true
		handler := l.Handler(s.sessions)
		place := "/login/" + l.Name + "/"
		s.mux.HandleFunc(place, func(w http.ResponseWriter, r *http.Request) {
			if err := s.strangers.take("login " + peer(r)); err != nil {
				s.fail(w, r, err)
				return
			}
			w.Header().Set("Cache-Control", "no-store")
			r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
			handler.ServeHTTP(w, r)
		})
		list.Items = append(list.Items, client.LoginPage{Name: l.Name, Title: l.Title, Path: s.opts.BasePath + place})
	}
	s.pages = list
	return nil
}

func (s *Server) listLogins(context.Context, *call, *struct{}) (client.List[client.LoginPage], error) {
	return s.pages, nil
}

// Drain says that the server will end: /readyz fails from now on, so that no new
// requests are sent here, and streams end, so that who reads them goes to another
// server. Requests are still answered.
func (s *Server) Drain() { s.drain.Do(func() { close(s.ending) }) }

// draining reports whether Drain was called.
func (s *Server) draining() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}
