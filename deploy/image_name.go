package deploy

import (
	"fmt"

	"github.com/distribution/reference"

	"github.com/appspan-dev/appspan"
)

// image is the name of an image in its parts, as the distribution
// specification has it; short names are those of Docker Hub.
type image struct{ repository, tag, digest string }

func parseImage(name string) (image, error) {
	if len(name) > 1024 {
		return image{}, fmt.Errorf("%w: a name of %d bytes", appspan.ErrInvalid, len(name))
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return image{}, fmt.Errorf("%w: image %q: %w", appspan.ErrInvalid, name, err)
	}
	out := image{repository: ref.Name()}
	if tagged, ok := ref.(reference.Tagged); ok {
		out.tag = tagged.Tag()
	}
	if digested, ok := ref.(reference.Digested); ok {
		out.digest = digested.Digest().String()
	}
	return out, nil
}
