package image_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/image"
)

// A document that is an index to one reader and an image to another (as in
// CVE-2021-41190) would be copied without what it consists of.
func TestADocumentThatIsOneThingToThisReaderAndAnotherToThatIsRefused(t *testing.T) {
	t.Parallel()
	const config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%[1]s","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%[1]s","size":2}]`
	blob := digest.FromString("{}").String()
	for name, test := range map[string]struct{ says, document string }{
		"an image that is called an index":            {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` + config + `}`},
		"an image without a type, called an index":    {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,` + config + `}`},
		"an index that is an image as well":           {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[],` + config + `}`},
		"an image that is an index as well":           {ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"manifests":[{}],` + config + `}`},
		"an image of the OCI that is called Docker's": {"application/vnd.docker.distribution.manifest.v2+json", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` + config + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := newRegistry(t), newRegistry(t)
			src.image("web", "0", "layer")
			document := test.document
			if strings.Contains(document, "%") {
				document = fmt.Sprintf(document, blob)
			}
			src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.Contains(req.URL.Path, "/manifests/") {
					return false
				}
				w.Header().Set("Content-Type", test.says)
				w.Header().Set("Docker-Content-Digest", digest.FromString(document).String())
				w.Header().Set("Content-Length", strconv.Itoa(len(document)))
				if req.Method == http.MethodGet {
					_, _ = w.Write([]byte(document))
				}
				return true
			})
			_, err := newClient(t, image.ClientOptions{Retries: -1}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
			require.ErrorIs(t, err, appspan.ErrCorrupt)
			require.ErrorContains(t, err, "is called")
		})
	}
}

func TestANoteOfAForeignLayerIsShort(t *testing.T) {
	t.Parallel()
	src, dst := newRegistry(t), newRegistry(t)
	config := digest.FromString("{}")
	src.image("web", "1", "layer")
	layer := digest.FromString("layer")
	document := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":%q,"size":5,"urls":["https://evil.example.com/%s"]}]}`,
		ocispec.MediaTypeImageManifest, config, layer, strings.Repeat("a", 1<<20))
	src.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/blobs/"+config.String()) {
			w.Header().Set("Content-Length", "2")
			if req.Method == http.MethodGet {
				_, _ = w.Write([]byte("{}"))
			}
			return true
		}
		if !strings.Contains(req.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromString(document).String())
		w.Header().Set("Content-Length", strconv.Itoa(len(document)))
		if req.Method == http.MethodGet {
			_, _ = w.Write([]byte(document))
		}
		return true
	})
	dst.intercept(func(w http.ResponseWriter, req *http.Request) bool { // the strict one in memory does not take it
		taken := req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/")
		if taken {
			w.WriteHeader(http.StatusCreated)
		}
		return taken
	})
	copied, err := newClient(t, image.ClientOptions{Retries: -1}, src, dst).Copy(t.Context(), dst.ref("web:1"), src.ref("web:1"), nil)
	require.NoError(t, err)
	require.Len(t, copied.Notes, 1)
	require.Less(t, len(copied.Notes[0]), 1000)
}
