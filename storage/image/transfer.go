package image

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"

	"github.com/appspan-dev/appspan"
)

// source is a transfer seen from where it takes things: manifests were read
// before, blobs are streams.
type source struct{ *transfer }

func (s *source) Exists(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	return s.from.Exists(ctx, desc)
}

// Fetch returns a reader that verifies. While one of a blob is open it holds
// one of the places that the call has for blobs.
func (s *source) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if data := s.graph.manifests[desc.Digest]; data != nil {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if err := s.job.flow.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	free := sync.OnceFunc(func() { s.job.flow.Release(1) })
	body, err := s.from.Blobs().Fetch(ctx, desc)
	if err != nil {
		free()
		return nil, err
	}
	r := &blobReader{body: body, free: free, left: desc.Size, want: desc.Digest, sum: desc.Digest.Algorithm().Hash()}
	r.passed = func() {
		s.progress(fmt.Sprintf("%s is sent, %d of %d bytes", desc.Digest, desc.Size-r.left, desc.Size))
	}
	return r, nil
}

// blobReader passes on a blob and holds its last bytes back until the whole
// is verified, so that nobody ever receives the whole of a wrong one.
type blobReader struct {
	body   io.ReadCloser
	free   func()
	passed func() // some more bytes
	left   int64
	quiet  int64 // since passed was called
	want   digest.Digest
	sum    hash.Hash
}

const tellEvery = 16 << 20 // bytes

func (r *blobReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, r.verify()
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.body.Read(p)
	r.sum.Write(p[:n])
	if r.left -= int64(n); r.left == 0 {
		if err := r.verify(); err != io.EOF {
			return 0, err
		}
		return n, nil
	}
	if r.quiet += int64(n); r.quiet >= tellEvery {
		r.quiet = 0
		r.passed()
	}
	if err == io.EOF {
		err = fmt.Errorf("blob %s: %w", r.want, io.ErrUnexpectedEOF)
	}
	return n, err
}

// verify is io.EOF for a blob that is what it has to be.
func (r *blobReader) verify() error {
	if got := digest.NewDigest(r.want.Algorithm(), r.sum); got != r.want {
		return fmt.Errorf("%w: the registry sent %s for blob %s", appspan.ErrCorrupt, got, r.want)
	}
	return io.EOF
}

func (r *blobReader) Close() error {
	r.free()
	return r.body.Close()
}

// target is a transfer seen from where it brings things.
type target struct{ *transfer }

func (t *target) Exists(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	return t.to.Exists(ctx, desc)
}

func (t *target) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return t.to.Fetch(ctx, desc)
}

// Push sends a blob or a manifest. A blob that breaks off is fetched and sent
// again.
func (t *target) Push(ctx context.Context, desc ocispec.Descriptor, body io.Reader) error {
	if t.graph.manifests[desc.Digest] != nil {
		return t.to.Push(ctx, desc, body)
	}
	return t.job.client.repeat(ctx, func(attempt int) error {
		if attempt == 0 {
			err := t.to.Push(ctx, desc, body)
			if c, ok := body.(io.Closer); ok && err != nil {
				_ = c.Close() // its place is needed for the next attempt
			}
			return err
		}
		t.job.events.send(appspan.Event{Kind: appspan.EventWarning, Phase: PhaseCopy, Object: "Image " + t.src.String(),
			Message: fmt.Sprintf("blob %s broke off and is sent again", desc.Digest)})
		if there, err := t.to.Exists(ctx, desc); err != nil || there {
			return err
		}
		again, err := (&source{t.transfer}).Fetch(ctx, desc)
		if err != nil {
			return err
		}
		defer func() { _ = again.Close() }()
		return t.to.Push(ctx, desc, again)
	})
}

// Mount takes a blob from another repository of the registry, and sends it
// where that fails.
func (t *target) Mount(ctx context.Context, desc ocispec.Descriptor, from string, fetch func() (io.ReadCloser, error)) error {
	var body io.ReadCloser
	err := t.to.Mount(ctx, desc, from, func() (_ io.ReadCloser, err error) {
		body, err = fetch()
		return body, err
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	if body != nil {
		_ = body.Close()
	}
	if body, err = fetch(); err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return t.Push(ctx, desc, body)
}

var _ content.Storage = (*target)(nil)

// blob is the key of a blob at its destination's registry.
func (t *transfer) blob(desc ocispec.Descriptor) blobKey {
	return blobKey{registry: t.dst.Registry, digest: desc.Digest}
}

// mountFrom names a repository of the destination's registry that has the
// blob: the source, or the destination of another image of the same call,
// which may have to arrive first.
func (t *transfer) mountFrom(ctx context.Context, desc ocispec.Descriptor) ([]string, error) {
	if t.src.Registry == t.dst.Registry {
		return []string{t.src.Repository}, nil
	}
	repository, err := t.job.shared.claim(ctx, t.blob(desc), t)
	if repository == "" || err != nil {
		return nil, err
	}
	return []string{repository}, nil
}

// release gives up what the transfer claimed and did not bring.
func (t *transfer) release() { t.job.shared.release(t) }

type blobKey struct {
	registry string
	digest   digest.Digest
}

// sharedBlobs are the blobs of one call, so that one which several images
// have is sent once. The zero value is ready.
type sharedBlobs struct {
	mu    sync.Mutex
	blobs map[blobKey]*sharedBlob
}

type sharedBlob struct {
	by      *transfer
	settled chan struct{} // closed when it is there, or given up
	there   bool
}

// claim returns the repository where the blob is. If that is empty the caller
// is the one to bring it; if another is bringing it, claim waits.
func (s *sharedBlobs) claim(ctx context.Context, key blobKey, t *transfer) (string, error) {
	for {
		s.mu.Lock()
		b := s.blobs[key]
		if b == nil {
			b = &sharedBlob{by: t, settled: make(chan struct{})}
			s.put(key, b)
		}
		s.mu.Unlock()
		if b.by == t {
			return "", nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-b.settled:
		}
		if b.there {
			return b.by.dst.Repository, nil
		}
	}
}

// settle says that the blob is at t's destination.
func (s *sharedBlobs) settle(key blobKey, t *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blobs[key]
	switch {
	case b == nil:
		b = &sharedBlob{by: t, settled: make(chan struct{})}
		s.put(key, b)
	case b.by != t || b.there:
		return
	}
	b.there = true
	close(b.settled)
}

// release gives up the claims of t on what did not arrive.
func (s *sharedBlobs) release(t *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, b := range s.blobs {
		if b.by == t && !b.there {
			delete(s.blobs, key)
			close(b.settled)
		}
	}
}

func (s *sharedBlobs) put(key blobKey, b *sharedBlob) {
	if s.blobs == nil {
		s.blobs = map[blobKey]*sharedBlob{}
	}
	s.blobs[key] = b
}
