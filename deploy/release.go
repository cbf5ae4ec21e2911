package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// partSize is how much of a release one Secret holds.
const partSize = 512 << 10

// maxParts bounds a release: 32 MiB.
const maxParts = 64

// releaseBody is the application as resolved for the cluster, and what was
// meant. It is stored sealed.
type releaseBody struct {
	envelope
	Resolved json.RawMessage          `json:"resolved"`
	Params   map[string]appmodel.JSON `json:"params,omitempty"`
	Images   map[string]string        `json:"images,omitempty"`
	Bound    []boundNeed              `json:"bound,omitempty"`
	// Services must have endpoints when the application is ready.
	Services []string `json:"services,omitempty"`
	Intent   *intent  `json:"intent"`
	// Lineage is where the application comes from, with what a promotion
	// compares with.
	Lineage *storedLineage `json:"lineage,omitempty"`
}

// releaseHead binds the parts of a release together; it is signed.
type releaseHead struct {
	envelope
	Revision int      `json:"revision"`
	Parts    []string `json:"parts"` // SHA-256 of each, in order
}

// releaseID finds the Secrets of a release: those that were sealed again have
// names of their own, so that the old ones are there until the record knows the
// new ones.
type releaseID struct {
	revision int
	resealed string // empty, or the beginning of the id of the key
}

// id is that of a release.
func (r *record) id(revision int) releaseID {
	if r != nil {
		for _, release := range r.Releases {
			if release.Revision == revision {
				return releaseID{revision, release.Resealed}
			}
		}
	}
	return releaseID{revision: revision}
}

func (s scope) releaseRef(id releaseID, part int) driver.Ref {
	name := s.parent() + "-r" + strconv.Itoa(id.revision)
	if id.resealed != "" {
		name += "-" + id.resealed
	}
	if part > 0 {
		name += "-p" + strconv.Itoa(part)
	}
	return driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: s.namespace, Name: name}
}

// releaseContext binds a release to its place and revision.
func (s scope) releaseContext(revision int) []byte {
	return append(s.seal("release"), "\x00"+strconv.Itoa(revision)...)
}

// releaseObjects are the Secrets of a release in the order in which they are
// written: parts first, the head, which holds the first part, last.
func (d *Deployer) releaseObjects(s scope, id releaseID, body *releaseBody) ([]driver.Object, error) {
	revision := id.revision
	body.envelope = envelope{Format: releaseFormat, MinReader: releaseFormat}
	packed, err := pack(body)
	if err != nil {
		return nil, err
	}
	sealed, err := d.opts.Keys.Seal(packed, s.releaseContext(revision))
	if err != nil {
		return nil, err
	}
	head := releaseHead{envelope: body.envelope, Revision: revision}
	var parts [][]byte
	for rest := sealed; len(rest) > 0; {
		n := min(len(rest), partSize)
		parts = append(parts, rest[:n])
		sum := sha256.Sum256(rest[:n])
		head.Parts = append(head.Parts, hex.EncodeToString(sum[:]))
		rest = rest[n:]
	}
	if len(parts) > maxParts {
		return nil, fmt.Errorf("release %d: %w: %d bytes are too many to record; put big files into images or volumes", revision, appspan.ErrExhausted, len(sealed))
	}
	headJSON, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	var out []driver.Object
	for i := len(parts) - 1; i >= 0; i-- {
		data := map[string][]byte{"part": parts[i]}
		if i == 0 {
			data["head"] = headJSON
			data["mac"] = d.opts.Keys.MAC("deploy release", s.releaseContext(revision), headJSON)
		}
		immutable := true
		ref := s.releaseRef(id, i)
		obj, err := driver.NewObject(&corev1.Secret{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Name: ref.Name, Namespace: ref.Namespace, Labels: map[string]string{
				appmodel.LabelInstallation: s.installation, labelReleaseOf: s.application, labelRevision: strconv.Itoa(revision),
				"app.kubernetes.io/managed-by": "appspan",
			}},
			Type: releaseType, Immutable: &immutable, Data: data,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, obj)
	}
	return out, nil
}

// readRelease reads one release and checks all that binds it.
func (d *Deployer) readRelease(ctx context.Context, c *cluster.Cluster, s scope, id releaseID) (*releaseBody, error) {
	revision := id.revision
	fail := func(err error) (*releaseBody, error) {
		return nil, fmt.Errorf("release %d of %s: %w", revision, s.application, err)
	}
	read := func(part int) (map[string][]byte, error) {
		obj, err := c.Get(ctx, s.releaseRef(id, part))
		if err != nil {
			return nil, err
		}
		var secret corev1.Secret
		if err := json.Unmarshal(obj.JSON, &secret); err != nil {
			return nil, fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
		}
		return secret.Data, nil
	}
	first, err := read(0)
	if err != nil {
		return fail(err)
	}
	if !d.opts.Keys.VerifyMAC("deploy release", first["mac"], s.releaseContext(revision), first["head"]) {
		return fail(fmt.Errorf("%w: its signature does not hold", appspan.ErrCorrupt))
	}
	var head releaseHead
	if err := json.Unmarshal(first["head"], &head); err != nil {
		return fail(fmt.Errorf("%w: %w", appspan.ErrCorrupt, err))
	}
	if err := head.check("release", releaseFormat); err != nil {
		return fail(err)
	}
	if len(head.Parts) > maxParts {
		return fail(fmt.Errorf("%w: it has %d parts", appspan.ErrCorrupt, len(head.Parts)))
	}
	var sealed []byte
	for i, digest := range head.Parts {
		data := first
		if i > 0 {
			if data, err = read(i); err != nil {
				return fail(err)
			}
		}
		if sum := sha256.Sum256(data["part"]); hex.EncodeToString(sum[:]) != digest {
			return fail(fmt.Errorf("%w: part %d is not what was written", appspan.ErrCorrupt, i))
		}
		sealed = append(sealed, data["part"]...)
	}
	packed, err := d.opts.Keys.Open(sealed, s.releaseContext(revision))
	if err != nil {
		return fail(err)
	}
	body := &releaseBody{}
	if err := unpack(packed, body); err != nil {
		return fail(err)
	}
	if err := body.check("release", releaseFormat); err != nil {
		return fail(err)
	}
	return body, nil
}

// forgetReleases deletes the Secrets of releases: those too that a process
// which died has left.
func (d *Deployer) forgetReleases(ctx context.Context, c *cluster.Cluster, s scope, forgotten func(revision int) bool) error {
	var old []driver.Object
	q := cluster.Query{APIVersion: "v1", Kind: "Secret", Namespace: s.namespace, Projection: cluster.Metadata, Labels: releaseSelector(s)}
	for obj, err := range c.List(ctx, q) {
		if err != nil {
			return err
		}
		if revision, err := strconv.Atoi(obj.Labels[labelRevision]); err == nil && forgotten(revision) {
			old = append(old, obj)
		}
	}
	for _, obj := range old {
		err := c.Delete(ctx, obj.Ref, driver.DeleteOptions{UID: obj.UID})
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
	}
	return nil
}

func releaseSelector(s scope) string {
	return appmodel.LabelInstallation + "=" + s.installation + "," + labelReleaseOf + "=" + s.application
}
