package image

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/storage"
)

const (
	mapFormat = 1
	maxMap    = 16 << 20
)

// Map says where the images of an application are now. It is plain data: keep
// it beside the release that it was made for. It holds no credential.
type Map struct {
	storage.Envelope
	// To is the registry and the path below which the images are.
	To string `json:"to"`
	// Images are sorted by From; no two have the same.
	Images []Relocated `json:"images"`
	// Notes are places of the application that may name further images, and
	// what a person should know of the copies.
	Notes []Note `json:"notes,omitempty"`
}

// Relocated is one image of a [Map].
type Relocated struct {
	// From is the reference as the application writes it.
	From string `json:"from"`
	// Source is what that stood for: the whole name, with its digest.
	Source string `json:"source"`
	// To is the copy: "registry.example.com/mirror/docker.io/library/nginx:1.27@sha256:…".
	To string `json:"to"`
}

// References returns the copy of each image, by the reference as it was
// written, in the form that deploy.PlanOptions and render.Input take as
// Images. They replace the images of components and their containers; for an
// application with raw objects or patches that name images, use Rewrite.
func (m *Map) References() map[string]string {
	refs := make(map[string]string, len(m.Images))
	for _, i := range m.Images {
		refs[i.From] = i.To
	}
	return refs
}

// Rewrite returns the application with each image replaced by its copy, where
// Find finds it; raw objects and patches in which nothing is replaced stay as
// they were written. An image that the map does not have is
// appspan.ErrNotFound, with every such place, and nothing is returned: what
// would be missed would be pulled from its old registry, unnoticed. What was
// rewritten already stays. The argument stays as it is.
func (m *Map) Rewrite(app *appmodel.Application) (*appmodel.Application, error) {
	refs := m.References()
	for _, i := range m.Images {
		refs[i.To] = i.To
	}
	var missing []error
	rewritten := appmodel.Clone(app)
	visit(rewritten, func(path, image string) string {
		to, ok := refs[image]
		if !ok {
			missing = append(missing, fmt.Errorf("%w: %s: the map has no image %q: relocate the application as it is now", appspan.ErrNotFound, path, image))
		}
		return to
	})
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	return rewritten, nil
}

// Encode returns the map as JSON, which is stored as it is.
func (m *Map) Encode() ([]byte, error) {
	stored := *m
	stored.Envelope = storage.Envelope{Format: mapFormat, MinReader: mapFormat}
	return json.MarshalIndent(stored, "", "  ")
}

// DecodeMap reads a map that was stored. One of a newer format is
// appspan.ErrUnsupported; what is no map, or has a copy without a digest, is
// appspan.ErrCorrupt.
func DecodeMap(data []byte) (*Map, error) {
	if len(data) > maxMap {
		return nil, fmt.Errorf("%w: a map of images has at most %d bytes; this one has %d", appspan.ErrCorrupt, maxMap, len(data))
	}
	var m Map
	if err := storage.Decode(data, mapFormat, &m); err != nil {
		return nil, fmt.Errorf("map of images: %w", err)
	}
	seen := map[string]bool{}
	for _, i := range m.Images {
		from, fromErr := ParseRef(i.From)
		source, sourceErr := ParseRef(i.Source)
		to, toErr := ParseRef(i.To)
		if err := errors.Join(fromErr, sourceErr, toErr); err != nil {
			return nil, fmt.Errorf("map of images: %w: %w", appspan.ErrCorrupt, err)
		}
		if seen[i.From] || source.Digest == "" || to.Digest == "" || from.Name() != source.Name() {
			return nil, fmt.Errorf("map of images: %w: %q is there twice, or not by digest, or its source has another name", appspan.ErrCorrupt, i.From)
		}
		seen[i.From] = true
	}
	return &m, nil
}
