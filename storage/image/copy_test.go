package image_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/image"
)

func TestATagIsResolvedToItsDigest(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	want := r.image("shop/web", "3.2.0", "layer").Digest.String()
	r.image("shop/web", "latest", "newer")
	c := newClient(t, image.ClientOptions{}, r)

	got, err := c.Resolve(t.Context(), r.ref("shop/web:3.2.0"))
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = c.Resolve(t.Context(), r.ref("shop/web@"+want))
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = c.Resolve(t.Context(), r.ref("shop/web"))
	require.NoError(t, err)
	require.NotEqual(t, want, got, "no tag is latest")
	_, err = c.Resolve(t.Context(), r.ref("shop/web:9"))
	require.ErrorIs(t, err, appspan.ErrNotFound)
	_, err = c.Resolve(t.Context(), image.Ref{})
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestARegistryThatDoesNotSayTheDigestIsAskedForTheManifest(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	want := r.image("shop/web", "1", "layer").Digest.String()
	data := r.content("shop/web", digest.Digest(want))[want]
	r.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		_, _ = w.Write([]byte(data))
		return true
	})
	got, err := newClient(t, image.ClientOptions{}, r).Resolve(t.Context(), r.ref("shop/web:1"))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestACopyHasEveryByteOfAnIndex(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	index := src.index("shop/web", "1", "linux/amd64", "linux/arm64", "linux/arm/v7")
	c := newClient(t, image.ClientOptions{}, src, dst)

	copied, err := c.Copy(t.Context(), dst.ref("mirror/web:one"), src.ref("shop/web:1"), nil)
	require.NoError(t, err)
	require.Equal(t, index.Digest.String(), copied.Ref.Digest)
	require.Equal(t, copied.Source, copied.Ref.Digest)
	want := src.content("shop/web", index.Digest)
	require.Equal(t, want, dst.content("mirror/web", index.Digest))
	require.Equal(t, len(want), copied.Sent)
	require.Zero(t, copied.Existing)
	tag, err := dst.ResolveTag(t.Context(), "mirror/web", "one")
	require.NoError(t, err)
	require.Equal(t, index.Digest, tag.Digest)
}

func TestWhatIsThereIsNotSentAgain(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	src.index("shop/web", "1", "linux/amd64", "linux/arm64")
	c := newClient(t, image.ClientOptions{}, src, dst)
	_, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), nil)
	require.NoError(t, err)

	src.forget()
	dst.forget()
	copied, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), nil)
	require.NoError(t, err)
	require.Zero(t, dst.seen("PUT")+dst.seen("POST")+dst.seen("PATCH"), "nothing is written")
	require.Equal(t, 1, src.seen(""), "the source is asked for the tag alone, which counts as no pull")
	require.Zero(t, copied.Sent)
	require.Equal(t, 1, copied.Existing)
}

func TestACopyThatBrokeOffGoesOn(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	index := src.index("shop/web", "1", "linux/amd64", "linux/arm64", "linux/riscv64")
	c := newClient(t, image.ClientOptions{Retries: -1}, src, dst)
	var uploads atomic.Int64
	dst.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut && uploads.Add(1) > 5 {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	_, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), nil)
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = dst.ResolveTag(t.Context(), "web", "1")
	require.Error(t, err, "there is no tag before all is there")

	dst.intercept(nil)
	copied, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), nil)
	require.NoError(t, err)
	want := src.content("shop/web", index.Digest)
	require.Equal(t, want, dst.content("web", index.Digest))
	require.Less(t, copied.Sent, len(want), "what had arrived was not sent again")
	require.Positive(t, copied.Existing)
}

func TestChosenPlatformsMakeANewIndex(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	index := src.index("shop/web", "1", "linux/amd64", "linux/arm64", "linux/arm/v7")
	c := newClient(t, image.ClientOptions{}, src, dst)

	copied, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), &image.CopyOptions{Platforms: []string{"linux/arm", "linux/amd64"}})
	require.NoError(t, err)
	require.Equal(t, index.Digest.String(), copied.Source)
	require.NotEqual(t, copied.Source, copied.Ref.Digest)
	require.Len(t, copied.Notes, 1)
	require.Contains(t, copied.Notes[0], "signatures")
	content := dst.content("web", digest.Digest(copied.Ref.Digest))
	all := strings.Join(values(content), "\n")
	require.Contains(t, all, "linux/arm/v7")
	require.Contains(t, all, "provenance of linux/amd64")
	require.NotContains(t, all, "arm64")

	again, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), &image.CopyOptions{Platforms: []string{"linux/arm", "linux/amd64"}})
	require.NoError(t, err)
	require.Equal(t, copied.Ref, again.Ref, "the same choice is the same index")
	require.Zero(t, again.Sent)

	_, err = c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), &image.CopyOptions{Platforms: []string{"linux/s390x"}})
	require.ErrorIs(t, err, appspan.ErrNotFound)
	require.ErrorContains(t, err, "it has linux/amd64")

	src.image("shop/one", "1", "only")
	_, err = c.Copy(t.Context(), dst.ref("one:1"), src.ref("shop/one:1"), &image.CopyOptions{Platforms: []string{"linux/amd64"}})
	require.NoError(t, err, "an image that is no index is copied as it is")
}

func values(m map[string]string) []string {
	var all []string
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

func TestBlobsAreMountedWithinARegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	index := r.index("shop/web", "1", "linux/amd64", "linux/arm64")
	c := newClient(t, image.ClientOptions{}, r)
	copied, err := c.Copy(t.Context(), r.ref("production/web:1"), r.ref("shop/web:1"), nil)
	require.NoError(t, err)
	require.Equal(t, r.content("shop/web", index.Digest), r.content("production/web", index.Digest))
	require.Zero(t, r.seen("GET", "/blobs/"), "no blob is read")
	require.Zero(t, copied.Bytes)
	require.Positive(t, copied.Mounted)
}

func TestARegistryThatCannotMountGetsTheBlobs(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"it begins an upload instead": func(_ http.ResponseWriter, req *http.Request) { req.URL.RawQuery = "" },
		"it refuses":                  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			desc := r.image("shop/web", "1", "a", "b")
			r.intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if req.URL.Query().Get("mount") == "" {
					return false
				}
				answer(w, req)
				return req.URL.RawQuery != ""
			})
			copied, err := newClient(t, image.ClientOptions{}, r).Copy(t.Context(), r.ref("production/web:1"), r.ref("shop/web:1"), nil)
			require.NoError(t, err)
			require.Equal(t, r.content("shop/web", desc.Digest), r.content("production/web", desc.Digest))
			require.Zero(t, copied.Mounted)
		})
	}
}

func TestReferrersComeAlong(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*ociserver.Options{"of registries that list them": nil, "of registries that do not": {DisableReferrersAPI: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			referrersComeAlong(t, serve(t, ocimem.New(), opts), serve(t, ocimem.New(), opts))
		})
	}
}

func referrersComeAlong(t *testing.T, src, dst *registry) {
	index := src.index("shop/web", "1", "linux/amd64", "linux/arm64")
	sign := func(subject ocispec.Descriptor, what string) ocispec.Descriptor {
		m := src.plain("shop/web", &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}, what)
		m.ArtifactType = "application/vnd.example.signature"
		desc := src.manifest("shop/web", "", ocispec.MediaTypeImageManifest, m)
		desc.ArtifactType = m.ArtifactType
		return desc
	}
	signature := sign(index, "signature")
	list := sign(index, "list of components")
	onList := sign(list, "signature of the list")
	tags := func(of ocispec.Descriptor, referrers ...ocispec.Descriptor) { // for registries that do not list them (OCI 1.1, referrers tag schema)
		src.manifest("shop/web", strings.Replace(of.Digest.String(), ":", "-", 1), ocispec.MediaTypeImageIndex,
			ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: referrers})
	}
	tags(index, signature, list)
	tags(list, onList)
	byTag := map[string]ocispec.Descriptor{}
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		tag := strings.Replace(index.Digest.String(), ":", "-", 1) + suffix
		byTag[tag] = src.image("shop/web", tag, "by tag "+suffix)
	}
	c := newClient(t, image.ClientOptions{}, src, dst)

	copied, err := c.Copy(t.Context(), dst.ref("web:1"), src.ref("shop/web:1"), &image.CopyOptions{Referrers: true})
	require.NoError(t, err)
	require.Equal(t, 6, copied.Referrers)
	for _, desc := range []ocispec.Descriptor{signature, list, onList} {
		require.Equal(t, src.content("shop/web", desc.Digest), dst.content("web", desc.Digest))
	}
	var subjects []string
	for desc, err := range dst.Referrers(t.Context(), "web", index.Digest, "") {
		require.NoError(t, err)
		subjects = append(subjects, desc.Digest.String())
	}
	require.ElementsMatch(t, []string{signature.Digest.String(), list.Digest.String()}, subjects)
	for tag, desc := range byTag {
		there, err := dst.ResolveTag(t.Context(), "web", tag)
		require.NoError(t, err)
		require.Equal(t, desc.Digest, there.Digest)
		require.Equal(t, src.content("shop/web", desc.Digest), dst.content("web", desc.Digest))
	}

	none := newRegistry(t)
	copied, err = newClient(t, image.ClientOptions{}, src, none).Copy(t.Context(), none.ref("web:1"), src.ref("shop/web:1"), nil)
	require.NoError(t, err)
	require.Zero(t, copied.Referrers, "only where they are asked for")
}

func TestLayersThatMayNotBeDistributedStay(t *testing.T) {
	t.Parallel()
	src := newRegistry(t)
	m := src.plain("win", nil, "app")
	m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		Digest: digest.FromString("base"), Size: 4, URLs: []string{"https://vendor.example.com/base"}})
	data := marshal(t, m)
	desc := digest.FromBytes(data)
	src.intercept(func(w http.ResponseWriter, req *http.Request) bool { // the strict one in memory does not take it
		if strings.Contains(req.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			w.Header().Set("Docker-Content-Digest", desc.String())
			_, _ = w.Write(data)
			return true
		}
		return false
	})
	dst := newRegistry(t)
	var pushed atomic.Bool
	dst.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") {
			pushed.Store(true)
			w.WriteHeader(http.StatusCreated)
			return true
		}
		return false
	})
	copied, err := newClient(t, image.ClientOptions{}, src, dst).Copy(t.Context(), dst.ref("win:1"), src.ref("win:1"), nil)
	require.NoError(t, err)
	require.True(t, pushed.Load())
	require.Len(t, copied.Notes, 1)
	require.Contains(t, copied.Notes[0], "https://vendor.example.com/base")
	require.Zero(t, dst.seen(digest.FromString("base").String()))
}

func TestADestinationWithADigestDemandsIt(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	desc := src.image("web", "1", "a")
	c := newClient(t, image.ClientOptions{}, src, dst)
	_, err := c.Copy(t.Context(), dst.ref("web@"+digest.FromString("other").String()), src.ref("web:1"), nil)
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	require.Zero(t, dst.seen("POST"))
	copied, err := c.Copy(t.Context(), dst.ref("web@"+desc.Digest.String()), src.ref("web:1"), nil)
	require.NoError(t, err)
	require.Empty(t, copied.Ref.Tag)
}

func TestEventsTellHowACopyGoes(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	src.image("web", "1", "a", "b", "c")
	var mu sync.Mutex
	var events []appspan.Event
	_, err := newClient(t, image.ClientOptions{}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), &image.CopyOptions{OnEvent: func(e appspan.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	require.NoError(t, err)
	require.NotEmpty(t, events)
	for i, e := range events {
		require.EqualValues(t, i+1, e.Seq)
		require.Equal(t, image.PhaseCopy, e.Phase)
		require.Equal(t, "Image "+src.ref("web:1").String(), e.Object)
	}
	last := events[len(events)-1]
	require.Equal(t, appspan.EventState, last.Kind)
	require.Contains(t, last.Message, "5 sent")
}

func TestABigBlobTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	src.image("web", "1", strings.Repeat("0123456789abcdef", 5<<18))
	wait, more := make(chan struct{}), make(chan string, 10)
	dst.intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut && req.ContentLength > 1<<20 {
			req.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(req.Body, 18<<20), gate{wait}, req.Body), req.Body}
		}
		return false
	})
	_, err := newClient(t, image.ClientOptions{}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), &image.CopyOptions{OnEvent: func(e appspan.Event) {
		if strings.Contains(e.Message, "of 20971520 bytes") {
			if len(more) == 0 {
				close(wait)
			}
			more <- e.Message
		}
	}})
	require.NoError(t, err)
	require.NotEmpty(t, more)
}

// gate holds a reader up until it is open.
type gate struct{ open chan struct{} }

func (g gate) Read([]byte) (int, error) {
	<-g.open
	return 0, io.EOF
}

func TestACancelledCopyEnds(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	src.image("web", "1", "a", "b", "c")
	ctx, cancel := context.WithCancel(t.Context())
	src.intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/blobs/") {
			cancel()
			<-req.Context().Done() // never answers
			return true
		}
		return false
	})
	_, err := newClient(t, image.ClientOptions{}, src, dst).Copy(ctx, dst.ref("web:1"), src.ref("web:1"), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, appspan.Retryable(err))
}
