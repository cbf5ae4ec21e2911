package image_test

import (
	"flag"
	"math/rand/v2"
	"strconv"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/storage/image"
)

var running = flag.String("registry", "", "the host:port of a running registry without TLS, in which the test may write")

func TestARunningRegistry(t *testing.T) {
	t.Parallel()
	if *running == "" {
		t.Skip("give -registry host:port")
	}
	memory := newRegistry(t)
	server := &registry{t: t, host: *running}
	c := newClient(t, image.ClientOptions{}, memory, server)
	space := "test" + strconv.FormatUint(rand.Uint64(), 36) + "/"
	index := memory.index("shop/web", "1", "linux/amd64", "linux/arm64")
	m := memory.plain("shop/web", &ocispec.Descriptor{MediaType: index.MediaType, Digest: index.Digest, Size: index.Size}, "signature")
	m.ArtifactType = "application/vnd.example.signature"
	signature := memory.manifest("shop/web", "", ocispec.MediaTypeImageManifest, m)
	content := memory.content("shop/web", index.Digest)
	all := &image.CopyOptions{Referrers: true}

	there, err := c.Copy(t.Context(), server.ref(space+"web:1"), memory.ref("shop/web:1"), all)
	require.NoError(t, err)
	require.Equal(t, index.Digest.String(), there.Ref.Digest)
	require.Equal(t, 1, there.Referrers)
	again, err := c.Copy(t.Context(), server.ref(space+"web:1"), memory.ref("shop/web:1"), all)
	require.NoError(t, err)
	require.Zero(t, again.Sent)
	narrow, err := c.Copy(t.Context(), server.ref(space+"narrow:1"), memory.ref("shop/web:1"), &image.CopyOptions{Platforms: []string{"linux/arm64"}})
	require.NoError(t, err)
	got, err := c.Resolve(t.Context(), server.ref(space+"narrow:1"))
	require.NoError(t, err)
	require.Equal(t, narrow.Ref.Digest, got)

	within, err := c.Copy(t.Context(), server.ref(space+"production/web:1"), server.ref(space+"web:1"), all)
	require.NoError(t, err)
	require.Zero(t, within.Bytes, "blobs are mounted")
	require.Equal(t, 1, within.Referrers)

	back := newRegistry(t)
	_, err = newClient(t, image.ClientOptions{}, back, server).Copy(t.Context(), back.ref("web:1"), server.ref(space+"production/web:1"), all)
	require.NoError(t, err)
	require.Equal(t, content, back.content("web", index.Digest))
	require.Equal(t, memory.content("shop/web", signature.Digest), back.content("web", signature.Digest))

	memory.image("base/a", "1", "common", "a")
	memory.image("base/b", "1", "common", "b")
	app := one(memory.host+"/base/a:1", memory.host+"/base/b:1", memory.host+"/shop/web:1")
	relocated, err := c.Relocate(t.Context(), app, server.host+"/"+space+"mirror", nil)
	require.NoError(t, err)
	require.Len(t, relocated.Images, 3)
	rewritten, err := relocated.Rewrite(app)
	require.NoError(t, err)
	require.NoError(t, appmodel.Validate(rewritten).Err())
	for _, use := range rewritten.Components {
		ref, err := image.ParseRef(use.Image)
		require.NoError(t, err)
		got, err := c.Resolve(t.Context(), image.Ref{Registry: ref.Registry, Repository: ref.Repository, Tag: ref.Tag})
		require.NoError(t, err)
		require.Equal(t, ref.Digest, got)
	}
}
