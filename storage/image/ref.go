package image

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/appspan-dev/appspan"
)

const (
	maxRef     = 512 // bytes of a reference, as in appmodel
	defaultTag = "latest"
	dockerHub  = "docker.io"
)

// Ref names an image in a registry. The zero value names nothing; compare
// with ==.
type Ref struct {
	// Registry is the host, with a port where it is not the usual one, in
	// lower case: "docker.io", "registry.example.com:5000".
	Registry string
	// Repository is the path below it: "library/nginx".
	Repository string
	// Tag may be empty; without a Digest that means "latest".
	Tag string
	// Digest is "sha256:" and 64 hex digits, or empty. Where there is one, the
	// tag is only for people.
	Digest string
}

// ParseRef reads a reference as container runtimes do: "nginx" is
// docker.io/library/nginx. What is none is appspan.ErrInvalid, a digest other
// than SHA-256 appspan.ErrUnsupported.
func ParseRef(s string) (Ref, error) {
	if len(s) > maxRef {
		return Ref{}, fmt.Errorf("%w: an image reference has at most %d bytes; this one has %d", appspan.ErrInvalid, maxRef, len(s))
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Ref{}, fmt.Errorf("%w: %q is no image reference (%w): write for example registry.example.com/shop/web:3.2.0", appspan.ErrInvalid, s, err)
	}
	r := Ref{Registry: strings.ToLower(reference.Domain(named)), Repository: reference.Path(named)}
	if !strings.ContainsAny(r.Registry, ".:") && r.Registry != "localhost" {
		return Ref{}, fmt.Errorf("%w: %q has no host before its first slash: write it in lower case, or give the host a port", appspan.ErrInvalid, s)
	}
	if tagged, ok := named.(reference.Tagged); ok {
		r.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		if r.Digest = digested.Digest().String(); digested.Digest().Algorithm() != digest.SHA256 {
			return Ref{}, fmt.Errorf("%w: %q has a digest that is not SHA-256: use the image's SHA-256 digest", appspan.ErrUnsupported, s)
		}
	}
	return r, nil
}

// String is the whole reference: "docker.io/library/nginx:1.27@sha256:…".
func (r Ref) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Name is the reference without tag and digest: "docker.io/library/nginx".
func (r Ref) Name() string { return r.Registry + "/" + r.Repository }

// wanted is what a registry is asked for: the digest, or the tag.
func (r Ref) wanted() string {
	switch {
	case r.Digest != "":
		return r.Digest
	case r.Tag != "":
		return r.Tag
	}
	return defaultTag
}

// check reports a reference that was put together wrong. It must be one that
// ParseRef gives.
func (r Ref) check() error {
	parsed, err := ParseRef(r.String())
	if err == nil && parsed != r {
		err = fmt.Errorf("%w: %q is read as %q: take references from ParseRef", appspan.ErrInvalid, r, parsed)
	}
	return err
}
