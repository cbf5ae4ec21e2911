package image

import (
	"context"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// FuzzManifest reads hostile manifests and indexes; whatever they name is the
// same bytes again.
func FuzzManifest(f *testing.F) {
	const d = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"`+d+`","size":2},"layers":[{"mediaType":"`+dockerForeign+`","urls":["a"],"digest":"`+d+`","size":3}]}`), false)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"`+ocispec.MediaTypeImageManifest+`","digest":"`+d+`","size":2,"platform":{"os":"linux","architecture":"amd64"}},
		{"mediaType":"`+ocispec.MediaTypeImageManifest+`","digest":"`+d+`","size":2,"annotations":{"vnd.docker.reference.digest":"`+d+`"}}]}`), true)
	f.Add([]byte(`{"manifests":null}`), true)
	f.Add([]byte(`null`), true)
	f.Fuzz(func(t *testing.T, data []byte, index bool) {
		root := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if index {
			root.MediaType = ocispec.MediaTypeImageIndex
		}
		for _, platforms := range [][]string{nil, {"linux/amd64"}} {
			g := newGraph(1 << 40)
			got, err := g.add(t.Context(), func(context.Context, ocispec.Descriptor) ([]byte, error) { return data, nil }, root, platforms)
			if err != nil {
				require.ErrorContains(t, err, ": ")
				continue
			}
			require.Equal(t, digest.FromBytes(g.manifests[got.Digest]), got.Digest)
			require.LessOrEqual(t, len(g.order), maxManifests)
			require.GreaterOrEqual(t, g.size, int64(0))
			for blob := range g.below(t.Context(), got) {
				require.Contains(t, g.blobs, blob.Digest)
			}
		}
	})
}
