package image_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/image"
)

// wire is a transport without sockets, so that time can be a test's own.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) { return w(req) }

// direct calls a handler; the answer is there when it returns.
func direct(handler http.Handler) wire {
	return func(req *http.Request) (*http.Response, error) {
		in := req.Clone(req.Context())
		in.RequestURI = in.URL.RequestURI()
		if in.Body == nil {
			in.Body = http.NoBody
		}
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, in)
		resp := out.Result()
		resp.Request = req
		return resp, nil
	}
}

// inMemory is a registry without a server, with two images.
func inMemory(t *testing.T) (*registry, wire) {
	r := &registry{Registry: ocimem.New(), t: t, host: "registry.example.com"}
	r.image("web", "1", "one layer", "another layer")
	return r, direct(ociserver.New(r.Registry, nil))
}

func status(code int, header ...string) *http.Response {
	out := httptest.NewRecorder()
	for i := 0; i+1 < len(header); i += 2 {
		out.Header().Set(header[i], header[i+1])
	}
	out.WriteHeader(code)
	return out.Result()
}

func TestRequestsAreRepeatedWhereThatMayHelp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fail    func() (*http.Response, error) // the first two times
		waits   time.Duration                  // at least
		mostly  time.Duration
		wantErr error
		after   time.Duration
	}{
		"429 with a time is waited for": {
			fail:  func() (*http.Response, error) { return status(429, "Retry-After", "7"), nil },
			waits: 14 * time.Second, mostly: 14 * time.Second,
		},
		"503 with a date is waited for": {
			fail: func() (*http.Response, error) {
				return status(503, "Retry-After", time.Now().Add(10*time.Second).UTC().Format(http.TimeFormat)), nil
			},
			waits: 18 * time.Second, mostly: 20 * time.Second,
		},
		"500 backs off":               {fail: func() (*http.Response, error) { return status(500), nil }, waits: 300 * time.Millisecond, mostly: time.Second},
		"a cut connection backs off":  {fail: func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, waits: 300 * time.Millisecond, mostly: time.Second},
		"an hour is too long to wait": {fail: func() (*http.Response, error) { return status(429, "Retry-After", "3600"), nil }, wantErr: appspan.ErrUnavailable, after: time.Hour},
		"403 is final":                {fail: func() (*http.Response, error) { return status(403), nil }, wantErr: appspan.ErrDenied},
		"501 is final":                {fail: func() (*http.Response, error) { return status(501), nil }, wantErr: appspan.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, reach := inMemory(t)
				failed := 0
				c := image.NewClient(&image.ClientOptions{Transport: wire(func(req *http.Request) (*http.Response, error) {
					if failed < 2 {
						failed++
						resp, err := test.fail()
						if resp != nil {
							resp.Request = req
						}
						return resp, err
					}
					return reach(req)
				})})
				start := time.Now()
				_, err := c.Resolve(t.Context(), r.ref("web:1"))
				took := time.Since(start)
				if test.wantErr != nil {
					require.ErrorIs(t, err, test.wantErr)
					require.Equal(t, test.after, appspan.RetryAfter(err))
					require.Equal(t, test.after > 0, appspan.Retryable(err))
					require.Zero(t, took)
					return
				}
				require.NoError(t, err)
				require.GreaterOrEqual(t, took, test.waits)
				require.LessOrEqual(t, took, test.mostly)
			})
		})
	}
}

func TestARegistryThatStaysAwayIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := inMemory(t)
		asked := 0
		c := image.NewClient(&image.ClientOptions{Retries: 3, Transport: wire(func(req *http.Request) (*http.Response, error) {
			asked++
			resp := status(503, "Retry-After", "2")
			resp.Request = req
			return resp, nil
		})})
		_, err := c.Resolve(t.Context(), r.ref("web:1"))
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.True(t, appspan.Retryable(err))
		require.Equal(t, 2*time.Second, appspan.RetryAfter(err))
		require.Equal(t, 4, asked)
	})
}

// broken ends in an error after a few bytes.
type broken struct {
	io.Reader
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func TestABlobThatBreaksOffIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, reach := inMemory(t)
		other := ocimem.New()
		there := direct(ociserver.New(other, nil))
		var broke, refused atomic.Int64
		c := image.NewClient(&image.ClientOptions{Transport: wire(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "mirror.example.com" {
				if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/") && refused.Add(1) == 2 {
					_, _ = io.Copy(io.Discard, req.Body)
					resp := status(502)
					resp.Request = req
					return resp, nil
				}
				return sending(there, req)
			}
			resp, err := reach(req)
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") && broke.Add(1) <= 2 {
				resp.Body = io.NopCloser(&broken{io.LimitReader(resp.Body, 3), io.ErrUnexpectedEOF})
			}
			return resp, err
		})})
		var warnings atomic.Int64
		dst, err := image.ParseRef("mirror.example.com/web:1")
		require.NoError(t, err)
		copied, err := c.Copy(t.Context(), dst, r.ref("web:1"), &image.CopyOptions{Concurrency: 1, OnEvent: func(e appspan.Event) {
			if e.Kind == appspan.EventWarning {
				warnings.Add(1)
			}
		}})
		require.NoError(t, err)
		require.Equal(t, 4, copied.Sent)
		require.Positive(t, warnings.Load())
		desc, err := other.ResolveTag(t.Context(), "web", "1")
		require.NoError(t, err)
		mirror := &registry{Registry: other, t: t}
		require.Equal(t, r.content("web", desc.Digest), mirror.content("web", desc.Digest))
	})
}

// sending is a transport's part for a body: an error of it is the request's.
func sending(reach wire, req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(strings.NewReader(string(data)))
	}
	return reach(req)
}

func TestAConnectionOverWhichNothingMovesIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := inMemory(t)
		c := image.NewClient(&image.ClientOptions{Retries: -1, Stall: 30 * time.Second, Transport: wire(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})})
		start := time.Now()
		_, err := c.Resolve(t.Context(), r.ref("web:1"))
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.True(t, appspan.Retryable(err))
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestABodyThatTricklesIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, reach := inMemory(t)
		other := ocimem.New()
		there := direct(ociserver.New(other, nil))
		c := image.NewClient(&image.ClientOptions{Retries: -1, Stall: 30 * time.Second, Transport: wire(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == "mirror.example.com" {
				return sending(there, req)
			}
			resp, err := reach(req)
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
				resp.Body = io.NopCloser(&slow{resp.Body, req})
			}
			return resp, err
		})})
		dst, err := image.ParseRef("mirror.example.com/web:1")
		require.NoError(t, err)
		start := time.Now()
		_, err = c.Copy(t.Context(), dst, r.ref("web:1"), nil)
		require.NoError(t, err)
		require.Greater(t, time.Since(start), time.Minute)
	})
}

// slow gives a byte every 20 seconds.
type slow struct {
	io.Reader
	req *http.Request
}

func (s *slow) Read(p []byte) (int, error) {
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-s.req.Context().Done():
		return 0, errors.New("cut")
	case <-timer.C:
	}
	return s.Reader.Read(p[:1])
}
