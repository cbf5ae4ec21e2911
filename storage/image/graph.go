package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/appspan-dev/appspan"
)

// Bounds of what one image may be made of: a registry is not trusted.
const (
	maxDepth     = 5        // of indexes within indexes, signatures of signatures
	maxManifests = 2000     // manifests and indexes
	maxMetadata  = 64 << 20 // bytes of them together
	maxBlobs     = 20000
)

// The media types of Docker that the OCI's are descended from.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerForeign  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
)

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerIndex
}

func isManifest(mediaType string) bool {
	return isIndex(mediaType) || mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest
}

func isForeign(mediaType string) bool {
	return mediaType == dockerForeign || strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.nondistributable.")
}

// graph is everything that an image consists of: its manifests whole, its
// blobs by name.
type graph struct {
	maxSize   int64
	manifests map[digest.Digest][]byte
	order     []ocispec.Descriptor // the manifests, as they were found
	blobs     map[digest.Digest]int64
	metadata  int64
	size      int64 // of the blobs
	notes     []string
}

func newGraph(maxSize int64) *graph {
	return &graph{maxSize: maxSize, manifests: map[digest.Digest][]byte{}, blobs: map[digest.Digest]int64{}}
}

// add reads the manifests from root on, level by level, and returns the root,
// which is another one where platforms are chosen. Nothing is read twice.
func (g *graph) add(ctx context.Context, read func(context.Context, ocispec.Descriptor) ([]byte, error), root ocispec.Descriptor, platforms []string) (ocispec.Descriptor, error) {
	if !isManifest(root.MediaType) {
		return root, fmt.Errorf("%w: it is a %q: only images of Docker's schema 2 and of OCI can be copied; push the image again with a current tool", appspan.ErrUnsupported, root.MediaType)
	}
	level := []ocispec.Descriptor{root}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return root, fmt.Errorf("%w: its indexes are nested deeper than %d", appspan.ErrExhausted, maxDepth)
		}
		level = slices.DeleteFunc(level, func(d ocispec.Descriptor) bool { return g.manifests[d.Digest] != nil })
		if err := g.admit(level); err != nil {
			return root, err
		}
		data := make([][]byte, len(level))
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(4)
		for i, desc := range level {
			group.Go(func() (err error) {
				data[i], err = read(gctx, desc)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return root, err
		}
		var next []ocispec.Descriptor
		for i, desc := range level {
			if depth == 0 && len(platforms) > 0 {
				chosen, narrowed, err := choose(desc, data[i], platforms)
				if err != nil {
					return root, err
				}
				if chosen.Digest != desc.Digest {
					g.notes = append(g.notes, fmt.Sprintf("the index is a new one, %s in place of %s, with %s only: signatures of the whole index are not its own", chosen.Digest, desc.Digest, strings.Join(platforms, ", ")))
				}
				root, desc, data[i] = chosen, chosen, narrowed
			}
			below, err := g.keep(ctx, desc, data[i])
			if err != nil {
				return root, err
			}
			next = append(next, below...)
		}
		level = next
	}
	return root, nil
}

// admit checks the bounds before a level is read.
func (g *graph) admit(level []ocispec.Descriptor) error {
	for _, desc := range level {
		if desc.Digest.Validate() != nil || desc.Size < 0 {
			return fmt.Errorf("%w: a manifest has the digest %q and %d bytes", appspan.ErrCorrupt, desc.Digest, desc.Size)
		}
		if desc.Size > maxManifest {
			return fmt.Errorf("%w: manifest %s has %d bytes; the most is %d", appspan.ErrExhausted, desc.Digest, desc.Size, maxManifest)
		}
		g.metadata += desc.Size
	}
	if len(g.order)+len(level) > maxManifests || g.metadata > maxMetadata {
		return fmt.Errorf("%w: it has more than %d manifests, or %d bytes of them", appspan.ErrExhausted, maxManifests, maxMetadata)
	}
	return nil
}

// keep notes a manifest and its blobs, and returns the manifests below it.
func (g *graph) keep(ctx context.Context, desc ocispec.Descriptor, data []byte) ([]ocispec.Descriptor, error) {
	if g.manifests[desc.Digest] != nil {
		return nil, nil
	}
	if err := unambiguous(desc, data); err != nil {
		return nil, err
	}
	g.manifests[desc.Digest] = data
	g.order = append(g.order, desc)
	successors, err := content.Successors(ctx, fetcher(data), desc)
	if err != nil {
		return nil, fmt.Errorf("%w: manifest %s: %w", appspan.ErrCorrupt, desc.Digest, err)
	}
	var below []ocispec.Descriptor
	for _, s := range successors {
		switch size, there := g.blobs[s.Digest]; {
		case isManifest(s.MediaType):
			below = append(below, s)
		case isForeign(s.MediaType):
			if len(g.notes) >= maxBlobs {
				return nil, fmt.Errorf("%w: it has more than %d layers that may not be distributed", appspan.ErrExhausted, maxBlobs)
			}
			g.notes = append(g.notes, fmt.Sprintf("layer %.100s may not be distributed with the image and was left out: nodes fetch it from %.300s", s.Digest, strings.Join(s.URLs, ", ")))
		case s.Digest.Validate() != nil || s.Size < 0 || (there && size != s.Size):
			return nil, fmt.Errorf("%w: manifest %s names a blob %q of %d bytes", appspan.ErrCorrupt, desc.Digest, s.Digest, s.Size)
		case !there:
			g.blobs[s.Digest] = s.Size
			g.size += s.Size
			if g.size < 0 || g.size > g.maxSize || len(g.blobs) > maxBlobs {
				return nil, fmt.Errorf("%w: it has more than %d blobs or %d bytes: set CopyOptions.MaxSize if that is right", appspan.ErrExhausted, maxBlobs, g.maxSize)
			}
		}
	}
	return below, nil
}

// unambiguous refuses a document that is something else than it is called, or
// an index to one reader and an image to another (CVE-2021-41190): what it
// consists of would stay behind.
func unambiguous(desc ocispec.Descriptor, data []byte) error {
	var doc struct {
		MediaType string          `json:"mediaType"`
		Manifests json.RawMessage `json:"manifests"`
		Config    json.RawMessage `json:"config"`
		Layers    json.RawMessage `json:"layers"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%w: manifest %s: %w", appspan.ErrCorrupt, desc.Digest, err)
	}
	image := doc.Config != nil || doc.Layers != nil
	if doc.MediaType != "" && doc.MediaType != desc.MediaType || isIndex(desc.MediaType) && image || !isIndex(desc.MediaType) && doc.Manifests != nil {
		return fmt.Errorf("%w: manifest %s is called %q, and is something else or that besides", appspan.ErrCorrupt, desc.Digest, desc.MediaType)
	}
	return nil
}

// successors is content.Successors from what was read.
func (g *graph) successors(ctx context.Context, _ content.Fetcher, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return content.Successors(ctx, fetcher(g.manifests[desc.Digest]), desc)
}

// below is the blobs of what was read, from a manifest on. One that is there
// says that its blobs are.
func (g *graph) below(ctx context.Context, desc ocispec.Descriptor) iter.Seq[ocispec.Descriptor] {
	return func(yield func(ocispec.Descriptor) bool) {
		seen := map[digest.Digest]bool{}
		for level := []ocispec.Descriptor{desc}; len(level) > 0; level = level[1:] {
			if seen[level[0].Digest] || g.manifests[level[0].Digest] == nil {
				continue
			}
			seen[level[0].Digest] = true
			successors, _ := g.successors(ctx, nil, level[0]) // it was read once without an error
			for _, s := range successors {
				if isManifest(s.MediaType) {
					level = append(level, s)
				} else if !isForeign(s.MediaType) && !yield(s) {
					return
				}
			}
		}
	}
}

// fetcher gives the same bytes for every descriptor; it is content.Successors
// that checks them.
func fetcher(data []byte) content.Fetcher {
	return content.FetcherFunc(func(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}

// choose narrows an index to platforms, "linux/amd64" or "linux/arm64/v8";
// what is no index stays. Of an index's attestations those stay whose
// manifest does.
func choose(desc ocispec.Descriptor, data []byte, platforms []string) (ocispec.Descriptor, []byte, error) {
	if !isIndex(desc.MediaType) {
		return desc, data, nil
	}
	var whole map[string]json.RawMessage
	var raw []json.RawMessage
	var entries []ocispec.Descriptor
	err := errors.Join(json.Unmarshal(data, &whole), json.Unmarshal(whole["manifests"], &raw), json.Unmarshal(whole["manifests"], &entries))
	if err != nil {
		return desc, nil, fmt.Errorf("%w: index %s: %w", appspan.ErrCorrupt, desc.Digest, err)
	}
	var there []string
	stays, found := map[string]bool{}, map[string]bool{}
	for _, e := range entries {
		name := platformOf(e)
		there = append(there, name)
		for _, want := range platforms {
			if name == want || strings.HasPrefix(name, want+"/") {
				stays[e.Digest.String()], found[want] = true, true
			}
		}
	}
	for _, want := range platforms {
		if !found[want] {
			return desc, nil, fmt.Errorf("%w: the image has no platform %q; it has %s", appspan.ErrNotFound, want, strings.Join(there, ", "))
		}
	}
	var kept []json.RawMessage
	for i, e := range entries {
		if stays[e.Digest.String()] || stays[e.Annotations["vnd.docker.reference.digest"]] {
			kept = append(kept, raw[i])
		}
	}
	if len(kept) == len(raw) {
		return desc, data, nil
	}
	if whole["manifests"], err = json.Marshal(kept); err != nil {
		return desc, nil, err
	}
	if data, err = json.Marshal(whole); err != nil {
		return desc, nil, err
	}
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}, data, nil
}

func platformOf(d ocispec.Descriptor) string {
	if d.Platform == nil {
		return "unknown"
	}
	name := d.Platform.OS + "/" + d.Platform.Architecture
	if d.Platform.Variant != "" {
		name += "/" + d.Platform.Variant
	}
	return name
}

// resolve asks a registry what a reference is. Registries that do not say the
// digest are asked for the manifest itself.
func resolve(ctx context.Context, repo *remote.Repository, ref Ref) (ocispec.Descriptor, error) {
	desc, err := repo.Resolve(ctx, ref.wanted())
	if err == nil || errors.Is(err, errdef.ErrNotFound) || ctx.Err() != nil || !errors.Is(categorise(err), appspan.ErrCorrupt) {
		return desc, err
	}
	desc, body, err := repo.FetchReference(ctx, ref.wanted())
	if err != nil {
		return desc, err
	}
	defer func() { _ = body.Close() }()
	if desc.Size > maxManifest {
		return desc, fmt.Errorf("%w: manifest %s has %d bytes; the most is %d", appspan.ErrExhausted, desc.Digest, desc.Size, maxManifest)
	}
	_, err = content.ReadAll(body, desc)
	return desc, err
}
