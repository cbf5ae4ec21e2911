package deploy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage/seal"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels and annotations of ApplySets (KEP-3659). Only this package prunes;
// kubectl can list.
const (
	applySetID      = "applyset.kubernetes.io/id"
	applySetPartOf  = "applyset.kubernetes.io/part-of"
	applySetTooling = "applyset.kubernetes.io/tooling"
	applySetKinds   = "applyset.kubernetes.io/contains-group-kinds"
)

const (
	annotationKeep = "appspan.dev/keep"        // on an object that holds data
	labelReleaseOf = "appspan.dev/release-of"  // on release Secrets
	labelRevision  = "appspan.dev/revision"    // on release Secrets
	labelRecycled  = "appspan.dev/recycled"    // on the ApplySet parent of what was removed
	releaseType    = "appspan.dev/release"     // Secret type of releases
	recordType     = "appspan.dev/application" // Secret type of the ApplySet parent
	keptReleases   = 10
)

// scope is one application on one cluster: what all names, labels and seals
// are bound to.
type scope struct {
	installation, application, namespace, clusterUID string
}

// manager is the field manager: one per application and installation.
func (s scope) manager() string { return "appspan-" + s.installation + "-" + s.application }

// parent is the name of the ApplySet parent Secret. It differs between
// installations, so that two never share one.
func (s scope) parent() string {
	sum := sha256.Sum256([]byte(s.installation))
	return "appspan-" + s.application + "-" + hex.EncodeToString(sum[:4])
}

func (s scope) parentRef() driver.Ref {
	return driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: s.namespace, Name: s.parent()}
}

// applySet is the id of the ApplySet, made as KEP-3659 says.
func (s scope) applySet() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{s.parent(), s.namespace, "Secret", ""}, ".")))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// seal is the context that a sealed or signed document is bound to.
func (s scope) seal(what string) []byte {
	return []byte(strings.Join([]string{what, s.installation, s.clusterUID, s.namespace, s.application}, "\x00"))
}

// ours reports whether labels say that an object belongs to the application.
func (s scope) ours(labels map[string]string) bool {
	return labels[appmodel.LabelInstallation] == s.installation && labels[appmodel.LabelApplication] == s.application
}

// item is what is known of one object after it was written.
type item struct {
	UID        string `json:"u,omitempty"` // empty: it may or may not exist
	Revision   string `json:"r,omitempty"`
	Generation int64  `json:"g,omitempty"`
	Hash       string `json:"h,omitempty"`
	Keep       bool   `json:"k,omitempty"` // it holds data
	Passing    bool   `json:"p,omitempty"` // it goes by itself once it has ended
}

// record is what a cluster knows of an application: the truth about what is
// ours there. It is stored, signed, in the ApplySet parent.
type record struct {
	envelope
	Revision int `json:"revision"`
	// Release is the one that its jobs were last made for: it stays while
	// nothing changes.
	Release string `json:"release,omitempty"`
	// Kinds are the kinds of which objects of ours may exist.
	Kinds []kindRef `json:"kinds"`
	// Inventory is every object of ours, by "apiVersion|kind|name".
	Inventory map[string]item `json:"inventory,omitempty"`
	// Releases are the last ten, the newest last.
	Releases []Release `json:"releases,omitempty"`
	// States are what was asked of components beside the application.
	States states `json:"states,omitempty"`
	// Heals are what was healed of late.
	Heals []healed `json:"heals,omitempty"`
	// Meant tells that which is meant from something else, also where no object
	// is another; see Deployer.sign.
	Meant string `json:"meant,omitempty"`
	// Lineage is where the application comes from; the releases hold more.
	Lineage *Lineage `json:"lineage,omitempty"`
	// Recycled says that it was removed, and may be brought back.
	Recycled *recycled `json:"recycled,omitempty"`
	// Gated is the environment whose gates what comes new has to pass.
	Gated string `json:"gated,omitempty"`
	// Removing: a removal has begun and not ended.
	Removing bool `json:"removing,omitempty"`
}

type kindRef struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

func (k kindRef) groupKind() string {
	return driver.Ref{APIVersion: k.APIVersion, Kind: k.Kind}.GroupKind()
}

func inventoryKey(r driver.Ref) string { return r.APIVersion + "|" + r.Kind + "|" + r.Name }

// refOfKey is the reverse of inventoryKey for a namespaced object.
func refOfKey(key, namespace string) driver.Ref {
	parts := strings.SplitN(key, "|", 3)
	return driver.Ref{APIVersion: parts[0], Kind: parts[1], Namespace: namespace, Name: parts[2]}
}

// newest is the last release, or nil.
func (r *record) newest() *Release {
	if r == nil || len(r.Releases) == 0 {
		return nil
	}
	return &r.Releases[len(r.Releases)-1]
}

// of is a release of the record.
func (r *record) of(revision int) Release {
	for _, release := range r.Releases {
		if release.Revision == revision {
			return release
		}
	}
	return Release{}
}

// runs reports whether the application is there.
func (r *record) runs() bool { return r != nil && r.Recycled == nil }

// clone copies what a caller may change.
func (r *record) clone() *record {
	out := *r
	out.Kinds = slices.Clone(r.Kinds)
	out.Releases = slices.Clone(r.Releases)
	out.States = maps.Clone(r.States)
	out.Inventory = make(map[string]item, len(r.Inventory))
	for k, v := range r.Inventory {
		out.Inventory[k] = v
	}
	return &out
}

// state is what one cluster holds of one application, as read.
type state struct {
	record *record
	// parent is the parent Secret as read; its Revision guards its writing.
	parent driver.Object
	// generated are the generated secrets that the installation made.
	generated secretValues
}

// secretValues are values of secret items by group and item. They never
// leave the process unsealed.
type secretValues map[string]map[string]string

func (v secretValues) get(group, name string) (string, bool) {
	value, ok := v[group][name]
	return value, ok
}

func (v secretValues) set(group, name, value string) {
	if v[group] == nil {
		v[group] = map[string]string{}
	}
	v[group][name] = value
}

// sensitive are the values as render takes them.
func (v secretValues) sensitive() map[string]map[string]appmodel.Sensitive {
	out := make(map[string]map[string]appmodel.Sensitive, len(v))
	for group, items := range v {
		out[group] = make(map[string]appmodel.Sensitive, len(items))
		for name, value := range items {
			out[group][name] = appmodel.NewSensitive(value)
		}
	}
	return out
}

// openState reads the parent Secret. A record whose signature does not hold is
// appspan.ErrCorrupt: somebody changed it, or it is of other keys.
func (d *Deployer) openState(s scope, parent driver.Object) (*state, error) {
	var secret corev1.Secret
	if err := json.Unmarshal(parent.JSON, &secret); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", parent.Ref, appspan.ErrCorrupt, err)
	}
	st := &state{parent: parent, generated: secretValues{}}
	packed := secret.Data["record"]
	if err := d.opts.Keys.CheckMAC("deploy record", secret.Data["mac"], s.seal("record"), packed); errors.Is(err, seal.ErrUnknownKey) {
		return nil, fmt.Errorf("%s: the record of the application: %w; this program has %s: is the key file another one, or in another directory?", parent.Ref, err, d.opts.Keys)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w: the record's signature does not hold: it was changed by hand, or made for another cluster; restore the Secret: %w", parent.Ref, appspan.ErrCorrupt, err)
	}
	var e envelope
	if err := unpack(packed, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", parent.Ref, err)
	}
	if err := e.check(parent.String(), recordFormat); err != nil {
		return nil, err
	}
	st.record = &record{}
	if err := unpack(packed, st.record); err != nil {
		return nil, fmt.Errorf("%s: %w", parent.Ref, err)
	}
	if sealed := secret.Data["secrets"]; len(sealed) > 0 {
		values, err := d.openValues(s, sealed)
		if err != nil {
			return nil, fmt.Errorf("%s: generated secrets: %w", parent.Ref, err)
		}
		st.generated = values
	}
	return st, nil
}

func (d *Deployer) sealValues(s scope, v secretValues) ([]byte, error) {
	packed, err := pack(v)
	if err != nil {
		return nil, err
	}
	return d.opts.Keys.Seal(packed, s.seal("secrets"))
}

func (d *Deployer) openValues(s scope, sealed []byte) (secretValues, error) {
	packed, err := d.opts.Keys.Open(sealed, s.seal("secrets"))
	if err != nil {
		return nil, err
	}
	v := secretValues{}
	return v, unpack(packed, &v)
}

// parentObject is the ApplySet parent Secret that stores a record.
func (d *Deployer) parentObject(s scope, r *record, generated secretValues) (driver.Object, error) {
	packed, err := pack(r)
	if err != nil {
		return driver.Object{}, err
	}
	if len(packed) > 700<<10 { // a Secret holds 1 MiB; without the inventory's hashes every object is compared
		slim := r.clone()
		for k := range slim.Inventory {
			slim.Inventory[k] = item{Keep: slim.Inventory[k].Keep, Passing: slim.Inventory[k].Passing}
		}
		if packed, err = pack(slim); err != nil {
			return driver.Object{}, err
		}
	}
	data := map[string][]byte{"record": packed, "mac": d.opts.Keys.MAC("deploy record", s.seal("record"), packed), "secrets": {}}
	if len(generated) > 0 {
		if data["secrets"], err = d.sealValues(s, generated); err != nil {
			return driver.Object{}, err
		}
	}
	kinds := make([]string, 0, len(r.Kinds))
	for _, k := range r.Kinds {
		kinds = append(kinds, k.groupKind())
	}
	slices.Sort(kinds)
	labels := map[string]string{
		applySetID:                     s.applySet(),
		appmodel.LabelInstallation:     s.installation,
		appmodel.LabelApplication:      s.application,
		"app.kubernetes.io/managed-by": "appspan",
	}
	if r.Recycled != nil {
		labels[labelRecycled] = "true"
	}
	return driver.NewObject(&corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: s.parent(), Namespace: s.namespace, Labels: labels,
			Annotations: map[string]string{
				applySetTooling: "appspan/v1",
				applySetKinds:   strings.Join(slices.Compact(kinds), ","),
			},
		},
		Type: recordType,
		Data: data,
	})
}

// ReleaseState says how far a release came.
type ReleaseState string

// The states of a release.
const (
	ReleaseApplying    ReleaseState = "applying"    // under way, or its process died
	ReleaseDeployed    ReleaseState = "deployed"    // everything was written, and became ready if that was awaited
	ReleaseFailed      ReleaseState = "failed"      // see Message
	ReleaseInterrupted ReleaseState = "interrupted" // its process died; a later one found it so
)

// Release is one applied revision of an application on one cluster.
type Release struct {
	Revision int          `json:"revision"`
	Kind     PlanKind     `json:"kind"`
	State    ReleaseState `json:"state"`
	Started  time.Time    `json:"started"`
	Finished time.Time    `json:"finished,omitzero"`
	PlanHash string       `json:"planHash"`
	// Subject is who applied it.
	Subject string `json:"subject,omitempty"`
	// Message says why it failed.
	Message string `json:"message,omitempty"`
	// Resealed is the beginning of the id of the key with which it was sealed
	// again, empty if it was not.
	Resealed string `json:"resealed,omitempty"`
	// RollbackTo is the revision that a rollback went back to.
	RollbackTo int `json:"rollbackTo,omitempty"`
	// Created, Updated and Deleted count the objects that it changed.
	Created int `json:"created"`
	Updated int `json:"updated"`
	Deleted int `json:"deleted"`
}
