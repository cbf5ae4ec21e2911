package image

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/appspan-dev/appspan"
)

// referrer is a manifest that refers to the image or to a part of it.
type referrer struct {
	root ocispec.Descriptor
	tag  string // cosign's, or empty
}

// referrers finds what refers to the manifests of the image, and what refers
// to that, and reads it into the graph.
func (t *transfer) referrers(ctx context.Context) ([]referrer, error) {
	var found []referrer
	narrowed := len(t.job.opts.Platforms) > 0
	for i, depth, level := 0, 0, len(t.graph.order); i < len(t.graph.order); i++ {
		if i == level {
			if depth++; depth > maxDepth {
				return nil, fmt.Errorf("%w: its referrers are nested deeper than %d", appspan.ErrExhausted, maxDepth)
			}
			level = len(t.graph.order)
		}
		subject := t.graph.order[i]
		next, err := t.referrersOf(ctx, subject)
		if errors.Is(err, errdef.ErrNotFound) && narrowed {
			continue // the narrowed index is unknown at the source
		}
		if err != nil {
			return nil, err
		}
		for _, r := range next {
			if t.graph.manifests[r.root.Digest] == nil {
				if r.root, err = t.graph.add(ctx, t.reader(t.from), r.root, nil); err != nil {
					return nil, fmt.Errorf("a referrer of %s: %w", subject.Digest, err)
				}
			} else if r.tag == "" {
				continue
			}
			found = append(found, r)
		}
	}
	return found, nil
}

func (t *transfer) referrersOf(ctx context.Context, subject ocispec.Descriptor) ([]referrer, error) {
	var found []referrer
	list, err := t.from.Predecessors(ctx, subject)
	if err != nil {
		return nil, err
	}
	for _, desc := range list {
		if isManifest(desc.MediaType) {
			found = append(found, referrer{root: desc})
		}
	}
	base := strings.Replace(subject.Digest.String(), ":", "-", 1)
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		desc, err := t.from.Resolve(ctx, base+suffix)
		if errors.Is(err, errdef.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, referrer{root: desc, tag: base + suffix})
	}
	return found, nil
}
