package image_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/storage/image"
)

// TestARelocationComesThroughAStorm relocates images that share layers, in
// every order, while requests fail in every way; each call goes on where the
// one before it broke off, and one of them ends.
func TestARelocationComesThroughAStorm(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newInternet(t, "docker.io", "quay.io", "m.example.com")
				n.tries = int(seed%3) - 1
				if n.tries == 0 {
					n.tries = 2
				}
				random := rand.New(rand.NewPCG(seed, 1))
				var refs []string
				for i := range 8 {
					host := []string{"docker.io", "quay.io", "m.example.com"}[random.IntN(3)]
					var layers []string
					for _, k := range random.Perm(6)[:1+random.IntN(5)] {
						layers = append(layers, fmt.Sprint("layer ", k))
					}
					repo := fmt.Sprint("x/app", i)
					n.hosts[host].image(repo, "1", layers...)
					refs = append(refs, host+"/"+repo+":1")
				}
				var mu sync.Mutex
				calm := 0
				n.before = func(req *http.Request) *http.Response {
					mu.Lock()
					dice, wait := random.IntN(12+calm), time.Duration(random.IntN(300))*time.Millisecond
					mu.Unlock()
					select {
					case <-time.After(wait):
					case <-req.Context().Done():
					}
					switch {
					case dice == 0:
						return status(403)
					case dice == 1:
						return status(429, "Retry-After", "1")
					case dice == 2:
						return status(500)
					case dice == 3 && req.Body != nil:
						_, _ = io.CopyN(io.Discard, req.Body, 3)
						return status(502)
					}
					return nil
				}
				app := one(refs...)
				var m *image.Map
				for {
					calm++
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(calm)*10*time.Second)
					var err error
					m, err = n.client().Relocate(ctx, app, "m.example.com/mirror", &image.RelocateOptions{CopyOptions: image.CopyOptions{Concurrency: 1 + int(seed%7)}})
					ended := ctx.Err()
					cancel()
					if err == nil {
						break
					}
					require.Nil(t, m)
					if ended != nil {
						require.True(t, errors.Is(err, context.DeadlineExceeded), err)
					}
					require.Less(t, calm, 500)
				}
				for _, i := range m.Images {
					from, err := image.ParseRef(i.Source)
					require.NoError(t, err)
					to, err := image.ParseRef(i.To)
					require.NoError(t, err)
					require.Equal(t, from.Digest, to.Digest)
					require.True(t, strings.HasPrefix(to.Repository, "mirror/"))
					d := digest.Digest(to.Digest)
					require.Equal(t, n.hosts[from.Registry].content(from.Repository, d), n.hosts["m.example.com"].content(to.Repository, d))
				}
			})
		})
	}
}
