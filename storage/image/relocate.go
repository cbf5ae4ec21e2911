package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/storage"
)

const maxRepository = 255 // of a repository's path, as registries have it

// RelocateOptions shape a relocation. The zero value, like nil, is the
// default.
type RelocateOptions struct {
	// CopyOptions are those of each image. Concurrency is also how many images
	// are under way at a time, and counts blobs over all of them.
	CopyOptions
	// Name gives the path of an image below the target. Nil is DefaultName.
	// Images of two repositories must not get the same path.
	Name func(src Ref) string
	// Tag gives the tag of an image in the target; src has the digest that it
	// was found to be. Nil keeps the tag, "" leaves it out: what counts is the
	// digest. Where tags can't be moved, or where what lost its tag is removed
	// though a release may still need it, make one that has the digest in it:
	//
	//	func(src image.Ref) string { return src.Tag + "-" + src.Digest[7:19] }
	Tag func(src Ref) string
}

// DefaultName is where an image stands below the target of a relocation: the
// host that it comes from, then its path. "nginx:1.27" becomes
// "docker.io/library/nginx", "registry.example.com:5000/shop/web"
// "registry.example.com__5000/shop/web", since a path has no colon and a host
// no underscore. So two images never get one name.
func DefaultName(src Ref) string {
	return strings.ReplaceAll(src.Registry, ":", "__") + "/" + src.Repository
}

// Relocate copies every image of an application, each once, to a registry,
// "registry.example.com" or "registry.example.com/mirror", and returns where
// they are. All tags are resolved before anything is copied, so that one that
// is not there stops the call with nothing done; what fails later leaves the
// copies that are there, and a repeated call goes on. Images that are below
// the target already are pinned to their digests and stay. The error names
// every image that failed.
//
// It relocates what the document says: apply overrides and answers first.
func (c *Client) Relocate(ctx context.Context, app *appmodel.Application, to string, opts *RelocateOptions) (*Map, error) {
	var o RelocateOptions
	if opts != nil {
		o = *opts
	}
	if o.Name == nil {
		o.Name = DefaultName
	}
	if o.Tag == nil {
		o.Tag = func(src Ref) string { return src.Tag }
	}
	j := c.newJob(&o.CopyOptions)
	defer j.events.close()
	r, err := plan(app, to, &o)
	if err == nil {
		err = r.resolve(ctx, j)
	}
	if err == nil {
		err = r.copy(ctx, j)
	}
	if err != nil {
		return nil, &Error{Op: "relocate", Ref: to, Err: err}
	}
	return r.result(), nil
}

// relocation is a Relocate under way.
type relocation struct {
	to     Ref // only Registry and, as the path, Repository
	tag    func(Ref) string
	images []*moving // one for each reference that is written, sorted
	notes  []Note
}

// moving is one reference of the application.
type moving struct {
	from string
	path string // where it was first found
	src  Ref
	dst  Ref
	desc ocispec.Descriptor
	// inPlace says that it is below the target already.
	inPlace bool
}

// plan says what goes where, without asking anybody.
func plan(app *appmodel.Application, to string, o *RelocateOptions) (*relocation, error) {
	r := &relocation{tag: o.Tag}
	if err := r.target(to); err != nil {
		return nil, err
	}
	uses, notes := Find(app)
	r.notes = notes
	found := map[string]*moving{}
	names := map[string]string{} // path in the target → repository
	var faults []error
	for _, use := range uses {
		if found[use.Image] != nil {
			continue
		}
		m := &moving{from: use.Image, path: use.Path}
		found[use.Image] = m
		var err error
		if m.src, err = ParseRef(use.Image); err == nil {
			err = r.place(m, o.Name)
		}
		if owner, taken := names[m.dst.Repository]; err == nil && taken && owner != m.src.Name() {
			err = fmt.Errorf("%w: %s and %s would both be %s: give them different names by RelocateOptions.Name", appspan.ErrInvalid, owner, m.src.Name(), m.dst.Name())
		}
		names[m.dst.Repository] = m.src.Name()
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", use.Path, err))
		}
	}
	for _, from := range slices.Sorted(maps.Keys(found)) {
		r.images = append(r.images, found[from])
	}
	return r, errors.Join(faults...)
}

// target reads the registry and the path of the target.
func (r *relocation) target(to string) error {
	const below = "a/b"
	ref, err := ParseRef(strings.TrimSuffix(to, "/") + "/" + below)
	if err != nil || ref.Tag != "" || ref.Digest != "" || !strings.EqualFold(ref.Registry, strings.SplitN(to, "/", 2)[0]) {
		return fmt.Errorf("%w: %q is not a registry with a path: write for example registry.example.com/mirror", appspan.ErrInvalid, to)
	}
	r.to = Ref{Registry: ref.Registry, Repository: strings.TrimSuffix(strings.TrimSuffix(ref.Repository, below), "/")}
	return nil
}

// place says where an image goes.
func (r *relocation) place(m *moving, name func(Ref) string) error {
	prefix := ""
	if r.to.Repository != "" {
		prefix = r.to.Repository + "/"
	}
	if m.src.Registry == r.to.Registry && strings.HasPrefix(m.src.Repository, prefix) {
		m.dst, m.inPlace = m.src, true
		return nil
	}
	m.dst = Ref{Registry: r.to.Registry, Repository: prefix + name(m.src)}
	if err := m.dst.check(); err != nil {
		return fmt.Errorf("in the target it would be named %s: %w: give it another name by RelocateOptions.Name", m.dst, err)
	}
	if len(m.dst.Repository) > maxRepository {
		return fmt.Errorf("%w: in the target it would be named %s, with more than %d bytes: give it another name by RelocateOptions.Name", appspan.ErrInvalid, m.dst, maxRepository)
	}
	return nil
}

// resolve turns every reference into a digest.
func (r *relocation) resolve(ctx context.Context, j *job) error {
	var done atomic.Int64
	return each(ctx, j.opts.Concurrency, r.images, func(ctx context.Context, m *moving) (err error) {
		m.desc, err = resolve(ctx, j.client.repository(m.src), m.src)
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, wrap("resolve", m.src, err))
		}
		j.events.send(appspan.Event{Kind: appspan.EventProgress, Phase: PhaseResolve, Object: "Image " + m.src.String(),
			Message: m.from + " is " + m.desc.Digest.String(), Done: int(done.Add(1)), Total: len(r.images)})
		if m.inPlace {
			m.dst.Digest = m.desc.Digest.String()
			return nil
		}
		found := m.src
		if found.Digest == "" {
			found.Tag = cmp.Or(found.Tag, defaultTag)
		}
		found.Digest = m.desc.Digest.String()
		if m.dst.Tag = r.tag(found); m.dst.check() != nil {
			return fmt.Errorf("%s: %w: %s can't have the tag %q: give it another one by RelocateOptions.Tag", m.path, appspan.ErrInvalid, m.dst.Name(), m.dst.Tag)
		}
		return nil
	})
}

// group is one digest of one repository, under all the references that the
// application has for it.
type group struct {
	members []*moving
	copied  *Copied // of the first member
}

// groups puts the references together that mean the same. Where one with a
// digest and one without claim one tag for different digests, it is the tag of
// the latter.
func (r *relocation) groups() []*group {
	type identity struct{ name, digest string }
	var order []*group
	groups := map[identity]*group{}
	owners := map[Ref]string{}
	for _, pinned := range []bool{false, true} {
		for _, m := range r.images {
			found := m.desc.Digest.String()
			if m.inPlace || (m.src.Digest != "") != pinned {
				continue
			}
			if owner, taken := owners[m.dst]; taken && owner != found {
				m.dst.Tag = ""
			}
			owners[m.dst] = found
			id := identity{m.src.Name(), found}
			if groups[id] == nil {
				groups[id] = &group{}
				order = append(order, groups[id])
			}
			groups[id].members = append(groups[id].members, m)
		}
	}
	return order
}

// copy copies every image once; a further reference to it costs a tag.
func (r *relocation) copy(ctx context.Context, j *job) error {
	groups := r.groups()
	var done atomic.Int64
	err := each(ctx, j.opts.Concurrency, groups, func(ctx context.Context, g *group) error {
		for _, m := range g.members {
			copied, err := j.copy(ctx, m.dst, m.src, m.desc)
			if err != nil {
				return fmt.Errorf("%s: %w", m.path, err)
			}
			m.dst = copied.Ref
			if g.copied == nil {
				g.copied = copied
			}
		}
		j.report(g.members[0].src, g.copied, int(done.Add(1)), len(groups))
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range groups {
		for _, note := range g.copied.Notes {
			r.notes = append(r.notes, Note{Path: g.members[0].path, Message: note})
		}
	}
	return nil
}

// result is the map of a relocation that is done.
func (r *relocation) result() *Map {
	m := &Map{Envelope: storage.Envelope{Format: mapFormat, MinReader: mapFormat}, To: strings.TrimSuffix(r.to.Name(), "/"), Notes: r.notes}
	for _, i := range r.images {
		source := i.src
		source.Tag, source.Digest = "", i.desc.Digest.String()
		m.Images = append(m.Images, Relocated{From: i.from, Source: source.String(), To: i.dst.String()})
	}
	return m
}

// each does f for every entry, a few at a time, and returns all errors. After
// a cancellation nothing new begins.
func each[T any](ctx context.Context, concurrency int, entries []T, f func(context.Context, T) error) error {
	errs := make([]error, len(entries))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, entry := range entries {
		group.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = f(ctx, entry)
			}
			return nil
		})
	}
	_ = group.Wait() // they return none
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(errs...)
}
