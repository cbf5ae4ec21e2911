// Command embed is a portal that was there before, with a login of its own, and
// has Appspan at /cloud/. What was added to it is cloud.go, and a few lines here.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, "127.0.0.1:8081", "./portal-data")
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, dir string) error {
	p := &portal{sessions: map[string]string{}}
	server, err := cloud(ctx, dir, p.whois) // added
	if err != nil {
		return err
	}
	defer server.Close()
	h := &http.Server{Addr: addr, Handler: p.handler(server), ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("Open http://%s/login?user=ann\n", addr)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Run(ctx) }) // added: what goes on in the background
	g.Go(h.ListenAndServe)
	g.Go(func() error {
		<-ctx.Done()
		server.Drain() // added: streams end
		return h.Shutdown(context.WithoutCancel(ctx))
	})
	if err := g.Wait(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// portal is the one that was there. Whoever says that they are somebody is: do not
// do that.
type portal struct {
	mu       sync.Mutex
	sessions map[string]string // users by cookie
}

func (p *portal) handler(cloud http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/cloud/", cloud) // added
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()
		p.mu.Lock()
		p.sessions[id] = r.URL.Query().Get("user")
		p.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "portal", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/cloud/", http.StatusSeeOther)
	})
	return mux
}

// whois says who sends a request.
func (p *portal) whois(r *http.Request) (string, []string) {
	c, err := r.Cookie("portal")
	if err != nil {
		return "", nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	user := p.sessions[c.Value]
	if user == "ann" {
		return user, []string{"platform"}
	}
	return user, nil
}
