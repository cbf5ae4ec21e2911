package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/storage/image"
)

// registry is a registry in memory, served over HTTP, that counts.
type registry struct {
	*ocimem.Registry
	t    testing.TB
	host string

	mu       sync.Mutex
	requests []string
	before   func(http.ResponseWriter, *http.Request) bool // true: answered
}

func newRegistry(t testing.TB) *registry {
	return serve(t, ocimem.New(), nil)
}

func serve(t testing.TB, backend *ocimem.Registry, opts *ociserver.Options) *registry {
	t.Helper()
	r := &registry{Registry: backend, t: t}
	handler := ociserver.New(backend, opts)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI())
		before := r.before
		r.mu.Unlock()
		if before == nil || !before(w, req) {
			handler.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// intercept answers requests in the registry's place where it returns true.
func (r *registry) intercept(before func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = before
}

// seen counts the requests so far that contain all of the words.
func (r *registry) seen(words ...string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, request := range r.requests {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(request, w) }) {
			n++
		}
	}
	return n
}

func (r *registry) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

func (r *registry) ref(s string) image.Ref {
	r.t.Helper()
	ref, err := image.ParseRef(r.host + "/" + s)
	require.NoError(r.t, err)
	return ref
}

func (r *registry) blob(repo, mediaType string, data []byte) ocispec.Descriptor {
	r.t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	_, err := r.PushBlob(r.t.Context(), repo, desc, bytes.NewReader(data))
	require.NoError(r.t, err)
	return desc
}

func (r *registry) manifest(repo, tag, mediaType string, manifest any) ocispec.Descriptor {
	r.t.Helper()
	data, err := json.Marshal(manifest)
	require.NoError(r.t, err)
	desc, err := r.PushManifest(r.t.Context(), repo, tag, data, mediaType)
	require.NoError(r.t, err)
	return desc
}

// image pushes an image with these layers.
func (r *registry) image(repo, tag string, layers ...string) ocispec.Descriptor {
	r.t.Helper()
	return r.manifest(repo, tag, ocispec.MediaTypeImageManifest, r.plain(repo, nil, layers...))
}

func (r *registry) plain(repo string, subject *ocispec.Descriptor, layers ...string) ocispec.Manifest {
	r.t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Subject: subject}
	m.Config = r.blob(repo, ocispec.MediaTypeImageConfig, []byte(`{"of":"`+strings.Join(layers, "+")+`"}`))
	for _, layer := range layers {
		m.Layers = append(m.Layers, r.blob(repo, ocispec.MediaTypeImageLayerGzip, []byte(layer)))
	}
	return m
}

// index pushes an image for several platforms, with an attestation of each as
// build tools make it.
func (r *registry) index(repo, tag string, platforms ...string) ocispec.Descriptor {
	r.t.Helper()
	x := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, platform := range platforms {
		parts := append(strings.Split(platform, "/"), "")
		desc := r.image(repo, "", "shared by all platforms of "+repo, platform)
		desc.Platform = &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
		x.Manifests = append(x.Manifests, desc)
		attestation := r.image(repo, "", "provenance of "+platform)
		attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
		attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": desc.Digest.String()}
		x.Manifests = append(x.Manifests, attestation)
	}
	return r.manifest(repo, tag, ocispec.MediaTypeImageIndex, x)
}

// content is everything that a repository has below a digest.
func (r *registry) content(repo string, d digest.Digest) map[string]string {
	r.t.Helper()
	all := map[string]string{}
	var walk func(d digest.Digest)
	walk = func(d digest.Digest) {
		body, err := r.GetManifest(r.t.Context(), repo, d)
		require.NoError(r.t, err)
		data := readAll(r.t, body)
		all[d.String()] = string(data)
		var manifest struct {
			Config    *ocispec.Descriptor  `json:"config"`
			Layers    []ocispec.Descriptor `json:"layers"`
			Manifests []ocispec.Descriptor `json:"manifests"`
		}
		require.NoError(r.t, json.Unmarshal(data, &manifest))
		for _, child := range manifest.Manifests {
			walk(child.Digest)
		}
		if manifest.Config != nil {
			for _, blob := range append(manifest.Layers, *manifest.Config) {
				body, err := r.GetBlob(r.t.Context(), repo, blob.Digest)
				require.NoError(r.t, err)
				all[blob.Digest.String()] = string(readAll(r.t, body))
			}
		}
	}
	walk(d)
	return all
}

func readAll(t testing.TB, r interface {
	Read([]byte) (int, error)
	Close() error
}) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := b.ReadFrom(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return b.Bytes()
}

// newClient speaks to the registries without TLS.
func newClient(t testing.TB, opts image.ClientOptions, registries ...*registry) *image.Client {
	for _, r := range registries {
		opts.PlainHTTP = append(opts.PlainHTTP, r.host)
	}
	c := image.NewClient(&opts)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

type ctx = context.Context
