package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/appspan-dev/appspan"
)

const (
	defaultConcurrency = 4
	defaultMaxSize     = 100 << 30
)

// CopyOptions shape a copy. The zero value, like nil, is the default: every
// platform, without referrers.
type CopyOptions struct {
	// Platforms chooses from an index: "linux/amd64", "linux/arm64/v8". An
	// index of which something is left out is a new one, with a digest of its
	// own. A platform that the image does not have is appspan.ErrNotFound; an
	// image that is no index is copied as it is.
	Platforms []string
	// Referrers copies as well what refers to the image or a platform of it:
	// signatures, attestations, lists of components. They are found by the
	// registry's list of referrers (OCI 1.1) and by cosign's tags.
	Referrers bool
	// Concurrency is how many blobs are under way at a time, 0 is 4.
	Concurrency int
	// MaxSize is the most bytes that the blobs of one image may have
	// together, 0 is 100 GiB. More is appspan.ErrExhausted, before anything is
	// sent.
	MaxSize int64
	// OnEvent hears how it goes. Events have the phases of this package; of
	// PhaseCopy, Object is "Image" and the source's reference, Done and Total
	// count blobs and manifests in progress events, images in others.
	OnEvent func(appspan.Event)
}

func (o *CopyOptions) filled() CopyOptions {
	var filled CopyOptions
	if o != nil {
		filled = *o
	}
	if filled.Concurrency <= 0 {
		filled.Concurrency = defaultConcurrency
	}
	if filled.MaxSize <= 0 {
		filled.MaxSize = defaultMaxSize
	}
	return filled
}

// Copied tells what a copy did.
type Copied struct {
	// Ref is the copy, with its digest and its tag.
	Ref Ref
	// Source is the digest at the source; it differs from that of Ref only
	// where platforms were left out of an index.
	Source string
	// Sent, Mounted and Existing count blobs and manifests: those sent, those
	// that the registry took from another of its repositories, and those that
	// were there; of a manifest that was there, what is below it is not
	// counted.
	Sent, Mounted, Existing int
	// Bytes were sent as blobs.
	Bytes int64
	// Referrers counts the signatures and attestations that are there now.
	Referrers int
	// Notes are for a person: layers that may not be distributed, an index
	// that was narrowed.
	Notes []string
}

// Copy copies an image by digest: what the source's tag stands for when the
// call begins is what is copied. The destination gets the digest, and the tag
// if dst has one, which is moved there if it exists. A dst with a digest
// demands it: another one is appspan.ErrPrecondition, before anything is sent.
//
// What the destination has is not sent again, so that a copy which broke off
// goes on when it is repeated; what another repository of the same registry
// has is mounted. Sizes and digests of all that is read are verified. Layers
// that may not be distributed stay where they are, with a note; addresses in
// manifests are never followed.
func (c *Client) Copy(ctx context.Context, dst, src Ref, opts *CopyOptions) (*Copied, error) {
	j := c.newJob(opts)
	defer j.events.close()
	if err := errors.Join(src.check(), dst.check()); err != nil {
		return nil, wrap("copy", src, err)
	}
	root, err := resolve(ctx, c.repository(src), src)
	if err != nil {
		return nil, wrap("copy", src, err)
	}
	copied, err := j.copy(ctx, dst, src, root)
	if err != nil {
		return nil, err
	}
	j.report(src, copied, 1, 1)
	return copied, nil
}

// job is what the copies of one call share.
type job struct {
	client *Client
	opts   CopyOptions
	events *dispatcher
	flow   *semaphore.Weighted // blobs under way
	shared sharedBlobs
}

func (c *Client) newJob(opts *CopyOptions) *job {
	o := opts.filled()
	return &job{client: c, opts: o, events: newDispatcher(o.OnEvent), flow: semaphore.NewWeighted(int64(o.Concurrency))}
}

// copy copies one image whose descriptor at the source is known.
func (j *job) copy(ctx context.Context, dst, src Ref, root ocispec.Descriptor) (_ *Copied, err error) {
	defer func() { err = wrap("copy", src, err) }()
	t := &transfer{job: j, src: src, dst: dst, from: j.client.repository(src), to: j.client.repository(dst), graph: newGraph(j.opts.MaxSize)}
	defer t.release()
	done := &Copied{Ref: dst, Source: root.Digest.String()}
	if root, err = t.read(ctx, root); err != nil {
		return nil, err
	}
	if dst.Digest != "" && dst.Digest != root.Digest.String() {
		return nil, fmt.Errorf("%w: the source is %s, and the destination has to be %s: leave its digest out, or name it in the source", appspan.ErrPrecondition, root.Digest, dst.Digest)
	}
	done.Ref.Digest = root.Digest.String()
	var referrers []referrer
	if j.opts.Referrers {
		if referrers, err = t.referrers(ctx); err != nil {
			return nil, err
		}
	}
	if err := t.send(ctx, root); err != nil {
		return nil, err
	}
	if err := t.tag(ctx, root, dst.Tag); err != nil {
		return nil, err
	}
	for _, r := range referrers {
		if err := t.send(ctx, r.root); err != nil {
			return nil, err
		}
		if err := t.tag(ctx, r.root, r.tag); err != nil {
			return nil, err
		}
	}
	done.Sent, done.Mounted, done.Existing = int(t.sent.Load()), int(t.mounted.Load()), int(t.existing.Load())
	done.Bytes, done.Referrers, done.Notes = t.bytes.Load(), len(referrers), t.graph.notes
	return done, nil
}

// report tells that one of total images is there.
func (j *job) report(src Ref, done *Copied, n, total int) {
	e := appspan.Event{Kind: appspan.EventState, Phase: PhaseCopy, Object: "Image " + src.String(), Done: n, Total: total,
		Message: fmt.Sprintf("%s is there: %d sent (%d bytes), %d mounted, %d were there", done.Ref, done.Sent, done.Bytes, done.Mounted, done.Existing)}
	j.events.send(e)
	for _, note := range done.Notes {
		e.Kind, e.Message = appspan.EventWarning, note
		j.events.send(e)
	}
}

// transfer is the copy of one image.
type transfer struct {
	job      *job
	src, dst Ref
	from, to *remote.Repository
	graph    *graph

	sent, mounted, existing, bytes atomic.Int64
}

// read reads the image's manifests: from the destination if the image is
// there, since asking the source may count as a pull.
func (t *transfer) read(ctx context.Context, root ocispec.Descriptor) (ocispec.Descriptor, error) {
	if len(t.job.opts.Platforms) == 0 && isManifest(root.MediaType) {
		if there, err := t.to.Exists(ctx, root); err != nil {
			return root, err
		} else if there {
			if _, err := t.graph.add(ctx, t.reader(t.to), root, nil); err == nil {
				return root, nil
			}
			t.graph = newGraph(t.job.opts.MaxSize)
		}
	}
	return t.graph.add(ctx, t.reader(t.from), root, t.job.opts.Platforms)
}

// reader reads manifests from a repository, whole and verified.
func (t *transfer) reader(repo *remote.Repository) func(context.Context, ocispec.Descriptor) ([]byte, error) {
	return func(ctx context.Context, desc ocispec.Descriptor) (data []byte, err error) {
		err = t.job.client.repeat(ctx, func(int) error {
			data, err = content.FetchAll(ctx, repo, desc)
			return err
		})
		return data, err
	}
}

// send makes the graph below root be at the destination.
func (t *transfer) send(ctx context.Context, root ocispec.Descriptor) error {
	src, dst := &source{t}, &target{t}
	return oras.CopyGraph(ctx, src, dst, root, oras.CopyGraphOptions{
		Concurrency:    t.job.opts.Concurrency,
		FindSuccessors: t.graph.successors,
		MountFrom:      t.mountFrom,
		PostCopy: func(_ context.Context, desc ocispec.Descriptor) error {
			if !isManifest(desc.MediaType) {
				t.bytes.Add(desc.Size)
			}
			return t.arrived(desc, &t.sent, "sent")
		},
		OnMounted: func(_ context.Context, desc ocispec.Descriptor) error { return t.arrived(desc, &t.mounted, "mounted") },
		OnCopySkipped: func(ctx context.Context, desc ocispec.Descriptor) error {
			for blob := range t.graph.below(ctx, desc) {
				t.job.shared.settle(t.blob(blob), t)
			}
			return t.arrived(desc, &t.existing, "is there")
		},
	})
}

func (t *transfer) arrived(desc ocispec.Descriptor, counter *atomic.Int64, how string) error {
	counter.Add(1)
	if !isManifest(desc.MediaType) {
		t.job.shared.settle(t.blob(desc), t)
	}
	t.progress(fmt.Sprintf("%s %s, %d bytes", desc.Digest, how, desc.Size))
	return nil
}

func (t *transfer) progress(message string) {
	t.job.events.send(appspan.Event{Kind: appspan.EventProgress, Phase: PhaseCopy, Object: "Image " + t.src.String(), Message: message,
		Done: int(t.sent.Load() + t.mounted.Load() + t.existing.Load()), Total: len(t.graph.order) + len(t.graph.blobs)})
}

// tag makes a tag stand for a manifest that is there; nothing is written if
// it does.
func (t *transfer) tag(ctx context.Context, desc ocispec.Descriptor, tag string) error {
	if tag == "" {
		return nil
	}
	there, err := t.to.Resolve(ctx, tag)
	if err == nil && there.Digest == desc.Digest {
		return nil
	}
	if err != nil && !errors.Is(err, errdef.ErrNotFound) {
		return err
	}
	return t.to.PushReference(ctx, desc, bytes.NewReader(t.graph.manifests[desc.Digest]), tag)
}
