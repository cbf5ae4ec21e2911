package image_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/image"
)

const sum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestReferencesAreReadAsRuntimesReadThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]image.Ref{
		"nginx":                                    {Registry: "docker.io", Repository: "library/nginx"},
		"acme/web:1":                               {Registry: "docker.io", Repository: "acme/web", Tag: "1"},
		"index.docker.io/library/nginx:1":          {Registry: "docker.io", Repository: "library/nginx", Tag: "1"},
		"localhost/web":                            {Registry: "localhost", Repository: "web"},
		"localhost:5000/web:1":                     {Registry: "localhost:5000", Repository: "web", Tag: "1"},
		"Registry.Example.com/web:1":               {Registry: "registry.example.com", Repository: "web", Tag: "1"},
		"registry.example.com/a/b/c:1@" + sum:      {Registry: "registry.example.com", Repository: "a/b/c", Tag: "1", Digest: sum},
		"registry.example.com/a__b/c-d.e_f@" + sum: {Registry: "registry.example.com", Repository: "a__b/c-d.e_f", Digest: sum},
	} {
		got, err := image.ParseRef(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for in, want := range map[string]error{
		"": appspan.ErrInvalid, "Nginx": appspan.ErrInvalid, "Acme/web": appspan.ErrInvalid, "https://example.com/a": appspan.ErrInvalid, "a b": appspan.ErrInvalid,
		"example.com/a:": appspan.ErrInvalid, "example.com/../a": appspan.ErrInvalid, "a@sha256:12": appspan.ErrInvalid,
		strings.Repeat("a", 600): appspan.ErrInvalid, "a@sha512:" + strings.Repeat("ab", 64): appspan.ErrUnsupported,
		strings.TrimPrefix(sum, "sha256:"): appspan.ErrInvalid,
	} {
		_, err := image.ParseRef(in)
		require.ErrorIs(t, err, want, in)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"nginx", "localhost:5000/web:1", "registry.example.com/a/b/c:1@" + sum, "[::1]:5000/a", "https://a/b", "a@b@c", "A/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := image.ParseRef(s)
		if err != nil {
			return
		}
		if len(ref.String()) > 512 { // "docker.io/library/" came to it
			return
		}
		again, err := image.ParseRef(ref.String())
		require.NoError(t, err)
		require.Equal(t, ref, again)
		require.NotContains(t, image.DefaultName(ref), "..")
	})
}
