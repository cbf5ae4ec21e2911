package image_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/internal/leaktest"
	"github.com/appspan-dev/appspan/storage/image"
)

func TestARegistryThatLiesIsFoundOut(t *testing.T) {
	t.Parallel()
	answer := func(path string, with func(w http.ResponseWriter, req *http.Request)) func(*registry) {
		return func(src *registry) {
			src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, path) {
					return false
				}
				with(w, req)
				return true
			})
		}
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		for line := bytes.Repeat([]byte{' '}, 64<<10); ; {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
	layer := digest.FromString("layer").String()
	for name, test := range map[string]struct {
		lie  func(*registry)
		want error
	}{
		"a blob of the right size with other bytes": {answer(layer, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("evil!")) }), appspan.ErrCorrupt},
		"a blob that is shorter":                    {answer(layer, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("evil")) }), appspan.ErrCorrupt},
		"a blob that ends early": {answer(layer, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = w.Write([]byte("la"))
		}), appspan.ErrUnavailable},
		"a blob that never ends": {answer(layer, endless), appspan.ErrCorrupt},
		"a manifest with other bytes": {answer("/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			_, _ = w.Write([]byte(`{}`))
		}), appspan.ErrCorrupt},
		"a manifest that never ends": {answer("/manifests/", endless), appspan.ErrCorrupt},
		"a digest that is none": {func(src *registry) {
			src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				w.Header().Set("Docker-Content-Digest", "sha256:../../etc/passwd")
				w.Header().Set("Content-Length", "10")
				return true
			})
		}, appspan.ErrCorrupt},
		"a manifest of five MiB": {func(src *registry) {
			src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				w.Header().Set("Docker-Content-Digest", digest.FromString("x").String())
				w.Header().Set("Content-Length", strconv.Itoa(5<<20))
				return true
			})
		}, appspan.ErrExhausted},
		"a manifest of schema 1": {func(src *registry) {
			src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
				w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
				w.Header().Set("Docker-Content-Digest", digest.FromString("x").String())
				w.Header().Set("Content-Length", "10")
				return true
			})
		}, appspan.ErrUnsupported},
		"an error page without end": {answer("/manifests/", func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			endless(w, req)
		}), appspan.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := newRegistry(t), newRegistry(t)
			src.image("web", "1", "layer")
			test.lie(src)
			_, err := newClient(t, image.ClientOptions{Retries: -1}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
			require.ErrorIs(t, err, test.want)
			require.Less(t, len(err.Error()), 1000)
			_, err = dst.ResolveTag(t.Context(), "web", "1")
			require.Error(t, err, "nothing is there under the tag")
			_, err = dst.GetBlob(t.Context(), "web", digest.FromString("layer"))
			require.Error(t, err)
		})
	}
}

// hidden serves manifests that a registry would not take.
func (r *registry) hidden(tag string, manifests map[digest.Digest][]byte) {
	r.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		what := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
		data, ok := manifests[digest.Digest(what)]
		if what == "1" {
			data, ok = manifests[digest.Digest(tag)]
		}
		if !ok {
			return false
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		if strings.Contains(string(data), "image.manifest") && !strings.Contains(string(data), `"manifests"`) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		}
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(data).String())
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		if req.Method == http.MethodGet {
			_, _ = w.Write(data)
		}
		return true
	})
}

func TestWhatAnImageConsistsOfIsBounded(t *testing.T) {
	t.Parallel()
	index := func(of ...ocispec.Descriptor) ocispec.Index {
		return ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: of}
	}
	describe := func(data []byte, mediaType string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	}
	for name, build := range map[string]func(manifests map[digest.Digest][]byte) []byte{
		"indexes within indexes": func(all map[digest.Digest][]byte) []byte {
			data := marshal(t, index())
			for range 20 {
				all[digest.FromBytes(data)] = data
				data = marshal(t, index(describe(data, ocispec.MediaTypeImageIndex)))
			}
			return data
		},
		"an index of three thousand": func(all map[digest.Digest][]byte) []byte {
			var entries []ocispec.Descriptor
			for i := range 3000 {
				entries = append(entries, describe([]byte(strconv.Itoa(i)), ocispec.MediaTypeImageManifest))
			}
			return marshal(t, index(entries...))
		},
		"layers of a petabyte": func(all map[digest.Digest][]byte) []byte {
			layer := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("x"), Size: 1 << 50}
			return marshal(t, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: layer})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := newRegistry(t), newRegistry(t)
			all := map[digest.Digest][]byte{}
			root := build(all)
			all[digest.FromBytes(root)] = root
			src.hidden(digest.FromBytes(root).String(), all)
			_, err := newClient(t, image.ClientOptions{}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
			require.ErrorIs(t, err, appspan.ErrExhausted)
			require.Zero(t, dst.seen("POST"), "nothing is sent")
		})
	}
}

const secret = "s3cr3t-of-the-registry"

func credentials(hosts ...string) image.Credentials {
	return image.Credentials(func(_ ctx, host string) (image.Credential, error) {
		for _, h := range hosts {
			if h == host {
				return image.Credential{Username: "robot", Password: secret}, nil
			}
		}
		return image.Credential{}, nil
	})
}

// spy is another host, which must never see a credential.
type spy struct {
	host string
	mu   sync.Mutex
	saw  []string
}

func newSpy(t *testing.T, handler http.HandlerFunc) *spy {
	s := &spy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump := fmt.Sprintf("%s %s %v", r.Method, r.URL, r.Header)
		var body bytes.Buffer
		_, _ = body.ReadFrom(http.MaxBytesReader(w, r.Body, 1<<20))
		s.mu.Lock()
		s.saw = append(s.saw, dump+body.String())
		s.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *spy) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.saw...)
}

// basic makes the registry demand a password.
func basic(w http.ResponseWriter, req *http.Request) bool {
	if _, password, _ := req.BasicAuth(); password == secret {
		return true
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
	w.WriteHeader(http.StatusUnauthorized)
	return false
}

func TestACredentialStaysWithItsRegistry(t *testing.T) {
	t.Parallel()

	t.Run("a redirect of a blob goes without it", func(t *testing.T) {
		t.Parallel()
		src, dst := newRegistry(t), newRegistry(t)
		desc := src.image("web", "1", "layer")
		store := newSpy(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := src.GetBlob(r.Context(), "web", digest.Digest(r.URL.Query().Get("blob")))
			if err == nil {
				_, _ = w.Write(readAll(t, body))
			}
		})
		src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if !basic(w, req) {
				return true
			}
			if before, d, found := strings.Cut(req.URL.Path, "/blobs/"); found && before != "" && req.Method == http.MethodGet {
				http.Redirect(w, req, "http://"+store.host+"/?blob="+url.QueryEscape(d)+"&signature=abc", http.StatusTemporaryRedirect)
				return true
			}
			return false
		})
		c := newClient(t, image.ClientOptions{Credentials: credentials(src.host), PlainHTTP: []string{store.host}}, src, dst)
		_, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
		require.NoError(t, err)
		require.Equal(t, src.content("web", desc.Digest), dst.content("web", desc.Digest))
		require.Len(t, store.requests(), 2)
		for _, saw := range store.requests() {
			require.NotContains(t, saw, "Authorization")
		}
	})

	t.Run("a redirect's host may not ask for it", func(t *testing.T) {
		t.Parallel()
		src, dst := newRegistry(t), newRegistry(t)
		src.image("web", "1", "layer")
		var thief *spy
		thief = newSpy(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("WWW-Authenticate", `Bearer realm="http://`+thief.host+`/token",service="`+src.host+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if !basic(w, req) {
				return true
			}
			if strings.Contains(req.URL.Path, "/blobs/") {
				http.Redirect(w, req, "http://"+thief.host+"/", http.StatusTemporaryRedirect)
				return true
			}
			return false
		})
		c := newClient(t, image.ClientOptions{Credentials: credentials(src.host), PlainHTTP: []string{thief.host}}, src, dst)
		_, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
		require.ErrorIs(t, err, appspan.ErrDenied)
		for _, saw := range thief.requests() {
			require.NotContains(t, saw, "Authorization")
		}
	})

	t.Run("a redirect to a host without TLS is refused", func(t *testing.T) {
		t.Parallel()
		src, dst := newRegistry(t), newRegistry(t)
		src.image("web", "1", "layer")
		store := newSpy(t, func(http.ResponseWriter, *http.Request) {})
		src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if strings.Contains(req.URL.Path, "/blobs/") {
				http.Redirect(w, req, "http://"+store.host+"/?signature=abc", http.StatusTemporaryRedirect)
				return true
			}
			return false
		})
		_, err := newClient(t, image.ClientOptions{}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
		require.ErrorIs(t, err, appspan.ErrDenied)
		require.ErrorContains(t, err, "PlainHTTP")
		require.NotContains(t, err.Error(), "signature", "queries hold signatures")
		require.Empty(t, store.requests())
	})

	token := func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "abc"})
	}
	bearer := func(r *registry, realm string) {
		r.intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if req.Header.Get("Authorization") == "Bearer abc" {
				return false
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+realm+`/token",service="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		})
	}

	t.Run("a token service that nobody named gets none", func(t *testing.T) {
		t.Parallel()
		for _, identity := range []string{"", "identity token"} {
			src := newRegistry(t)
			src.image("web", "1", "layer")
			realm := newSpy(t, token)
			bearer(src, realm.host)
			c := newClient(t, image.ClientOptions{PlainHTTP: []string{realm.host}, Credentials: func(ctx, string) (image.Credential, error) {
				return image.Credential{Username: "robot", Password: secret, IdentityToken: identity}, nil
			}}, src)
			_, err := c.Resolve(t.Context(), src.ref("web:1"))
			require.ErrorIs(t, err, appspan.ErrDenied)
			require.ErrorContains(t, err, "TokenHosts")
			require.Empty(t, realm.requests())
		}
	})

	t.Run("a token service that was named gets it", func(t *testing.T) {
		t.Parallel()
		src := newRegistry(t)
		want := src.image("web", "1", "layer")
		realm := newSpy(t, token)
		bearer(src, realm.host)
		c := newClient(t, image.ClientOptions{Credentials: credentials(src.host), PlainHTTP: []string{realm.host},
			TokenHosts: map[string][]string{src.host: {realm.host}}}, src)
		got, err := c.Resolve(t.Context(), src.ref("web:1"))
		require.NoError(t, err)
		require.Equal(t, want.Digest.String(), got)
		require.Len(t, realm.requests(), 1)
		require.Contains(t, realm.requests()[0], "Authorization")
	})

	t.Run("a token for anybody may come from elsewhere", func(t *testing.T) {
		t.Parallel()
		src := newRegistry(t)
		src.image("web", "1", "layer")
		realm := newSpy(t, token)
		bearer(src, realm.host)
		c := newClient(t, image.ClientOptions{Credentials: credentials("another.example.com"), PlainHTTP: []string{realm.host}}, src)
		_, err := c.Resolve(t.Context(), src.ref("web:1"))
		require.NoError(t, err)
		require.NotContains(t, realm.requests()[0], "Authorization")

		c = newClient(t, image.ClientOptions{}, src)
		_, err = c.Resolve(t.Context(), src.ref("web:1"))
		require.ErrorIs(t, err, appspan.ErrDenied, "not without TLS")
	})

	t.Run("an upload that leads elsewhere is refused", func(t *testing.T) {
		t.Parallel()
		src, dst := newRegistry(t), newRegistry(t)
		src.image("web", "1", "layer")
		thief := newSpy(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
		dst.intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if !basic(w, req) {
				return true
			}
			if req.Method == http.MethodPost {
				w.Header().Set("Location", "http://"+thief.host+"/upload")
				w.WriteHeader(http.StatusAccepted)
				return true
			}
			return false
		})
		c := newClient(t, image.ClientOptions{Credentials: credentials(dst.host), PlainHTTP: []string{thief.host}}, src, dst)
		_, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
		require.Error(t, err)
		require.Empty(t, thief.requests())
	})

	t.Run("a manifest is sent to no other host", func(t *testing.T) {
		t.Parallel()
		src, dst := newRegistry(t), newRegistry(t)
		src.image("web", "1", "layer")
		thief := newSpy(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
		dst.intercept(func(w http.ResponseWriter, req *http.Request) bool {
			if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") {
				http.Redirect(w, req, "http://"+thief.host+"/", http.StatusTemporaryRedirect)
				return true
			}
			return false
		})
		_, err := newClient(t, image.ClientOptions{PlainHTTP: []string{thief.host}}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
		require.ErrorIs(t, err, appspan.ErrDenied)
		require.Empty(t, thief.requests())
	})
}

func TestATokenThatEndsDuringAnUploadIsRenewed(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	desc := src.image("web", "1", "layer")
	var mu sync.Mutex
	issued, ended := 0, 0 // tokens are numbers, of which the lower ones end
	dst.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if req.URL.Path == "/token" {
			issued++
			_ = json.NewEncoder(w).Encode(map[string]string{"token": fmt.Sprint("token", issued)})
			return true
		}
		if ended == 0 && req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/") {
			ended = issued
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer token")); err == nil && n > ended {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+dst.host+`/token",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	_, err := newClient(t, image.ClientOptions{Credentials: credentials(dst.host)}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), &image.CopyOptions{Concurrency: 1})
	require.NoError(t, err)
	require.Equal(t, src.content("web", desc.Digest), dst.content("web", desc.Digest))
}

func TestTLSIsLeftOutOnlyForHostsThatWereNamed(t *testing.T) {
	t.Parallel()
	src := newRegistry(t)
	src.image("web", "1", "layer")
	_, err := image.NewClient(&image.ClientOptions{Retries: -1}).Resolve(t.Context(), src.ref("web:1"))
	require.Error(t, err)
	require.Zero(t, src.seen("/v2/"))
}

func TestErrorsAndEventsHoldNoCredential(t *testing.T) {
	t.Parallel()
	const password = `a "secret" <word> of/the\registry`
	src, dst := newRegistry(t), newRegistry(t)
	src.image("web", "1", "layer")
	dst.intercept(func(w http.ResponseWriter, req *http.Request) bool { // it tells what it was given
		_, given, _ := req.BasicAuth()
		switch {
		case given == "":
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		case req.Method != http.MethodPost:
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": "DENIED",
			"message": "you are " + given + "\n\x1b[2J or " + req.Header.Get("Authorization") + " or " + url.QueryEscape(given), "detail": strings.Repeat("no ", 2000)}}})
		return true
	})
	var events []appspan.Event
	c := newClient(t, image.ClientOptions{Credentials: func(ctx, string) (image.Credential, error) {
		return image.Credential{Username: "robot", Password: password}, nil
	}}, src, dst)
	_, err := c.Copy(t.Context(), dst.ref("b:1"), src.ref("web:1"), &image.CopyOptions{OnEvent: func(e appspan.Event) { events = append(events, e) }})
	require.ErrorIs(t, err, appspan.ErrDenied)
	require.ErrorContains(t, err, "you are …", "what it says is passed on")
	finder := leaktest.NewFinder()
	finder.Add("password", []byte(password))
	text := fmt.Sprintf("%+v %v %+v %#v", err, events, c, c)
	found, findErr := finder.Find([]byte(text))
	require.NoError(t, findErr)
	require.Empty(t, found, err)
	require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("robot:"+password)))
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "\x1b")
	require.Less(t, len(err.Error()), 1000)

	_, err = newClient(t, image.ClientOptions{}, dst).Resolve(t.Context(), dst.ref("a:1"))
	require.ErrorIs(t, err, appspan.ErrDenied)
	require.ErrorContains(t, err, "ClientOptions.Credentials")
}
