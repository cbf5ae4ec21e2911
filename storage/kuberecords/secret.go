package kuberecords

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/appspan-dev/appspan"
	cluster "github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage/driver"
)

// What a Secret of a record has.
const (
	secretType = "appspan.dev/record"
	labelStore = "appspan.dev/records" // the store's name
	noteKey    = "appspan.dev/key"
	noteWrite  = "appspan.dev/write" // random, another one for each write
	dataValue  = "value"
)

type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Type       string            `json:"type"`
	Data       map[string][]byte `json:"data"`
}

type metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

var labelValue = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)

func validLabel(s string) bool { return labelValue.MatchString(s) }

// ref is the Secret of a key: 160 bits of a hash of the store's name and the
// key, so that a key's length and case do not matter.
func (r *Records) ref(key string) cluster.Ref {
	sum := sha256.Sum256([]byte(r.opts.Store + "\x00" + key))
	return cluster.Ref{APIVersion: "v1", Kind: "Secret", Namespace: r.opts.Namespace, Name: "record-" + hex.EncodeToString(sum[:20])}
}

func (r *Records) encode(key string, value []byte) (cluster.Object, error) {
	ref := r.ref(key)
	return cluster.NewObject(secret{
		APIVersion: ref.APIVersion, Kind: ref.Kind, Type: secretType,
		Metadata: metadata{
			Name: ref.Name, Namespace: ref.Namespace, Labels: map[string]string{labelStore: r.opts.Store},
			Annotations: map[string]string{noteKey: key, noteWrite: rand.Text()},
		},
		Data: map[string][]byte{dataValue: append([]byte{}, value...)},
	})
}

// decode reads a record from its Secret, whose name must be the hash of
// the key.
func (r *Records) decode(obj cluster.Object) (driver.Record, error) {
	var s secret
	if err := json.Unmarshal(obj.JSON, &s); err != nil {
		return driver.Record{}, fmt.Errorf("%w: Secret %s/%s: %w", appspan.ErrCorrupt, obj.Namespace, obj.Name, err)
	}
	key := s.Metadata.Annotations[noteKey]
	if s.Type != secretType || r.ref(key).Name != obj.Name || obj.Revision == "" {
		return driver.Record{}, fmt.Errorf("%w: Secret %s/%s is no record, or somebody changed it; delete it or restore it", appspan.ErrCorrupt, obj.Namespace, obj.Name)
	}
	return driver.Record{Key: key, Value: s.Data[dataValue], Revision: obj.Revision}, nil
}
