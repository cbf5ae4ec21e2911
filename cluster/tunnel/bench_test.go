package tunnel_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkGet compares requests through a tunnel with those that go to the
// same server without one: of nothing, and of a megabyte.
func BenchmarkGet(b *testing.B) {
	body := make([]byte, 1<<20)
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(body)
		}
	})
	to := target(b, api)
	h := newHub(b, nil)
	run(b, h.invite(b, "edge-1"), fixed(newKey(b)), to, quick())
	tunnelled, direct := h.web(b, "edge-1"), &http.Client{Transport: &http.Transport{}}
	for _, size := range []string{"/small", "/large"} {
		for name, client := range map[string]*http.Client{"direct": direct, "tunnel": tunnelled} {
			b.Run(name+size, func(b *testing.B) {
				for b.Loop() {
					answer, err := client.Get(to.URL + size)
					require.NoError(b, err)
					n, err := io.Copy(io.Discard, answer.Body)
					require.NoError(b, err)
					_ = answer.Body.Close()
					b.SetBytes(n)
				}
			})
		}
	}
}
