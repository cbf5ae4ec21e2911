package driver

import (
	"encoding/json"
	"fmt"

	"github.com/appspan-dev/appspan"
)

// meta is what an Object's fields are read from.
type meta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		UID               string            `json:"uid"`
		ResourceVersion   string            `json:"resourceVersion"`
		Generation        int64             `json:"generation"`
		DeletionTimestamp *string           `json:"deletionTimestamp"`
		Labels            map[string]string `json:"labels"`
	} `json:"metadata"`
}

// ParseObject reads an Object's fields from its JSON, which it keeps. It
// fails with appspan.ErrInvalid when data is not an object of a kind with a
// name.
func ParseObject(data []byte) (Object, error) {
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return Object{}, fmt.Errorf("object: %w: %w", appspan.ErrInvalid, err)
	}
	if m.APIVersion == "" || m.Kind == "" || m.Metadata.Name == "" {
		return Object{}, fmt.Errorf("object: %w: apiVersion, kind and metadata.name are required", appspan.ErrInvalid)
	}
	return Object{
		Ref: Ref{APIVersion: m.APIVersion, Kind: m.Kind, Namespace: m.Metadata.Namespace, Name: m.Metadata.Name},
		UID: m.Metadata.UID, Revision: m.Metadata.ResourceVersion, Generation: m.Metadata.Generation,
		Deleting: m.Metadata.DeletionTimestamp != nil, Labels: m.Metadata.Labels, JSON: data,
	}, nil
}

// NewObject encodes v, which must marshal to a whole Kubernetes object, and
// reads its fields.
func NewObject(v any) (Object, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Object{}, fmt.Errorf("object: %w: %w", appspan.ErrInvalid, err)
	}
	return ParseObject(data)
}

// CheckApply reports, as appspan.ErrInvalid, options that exclude each other,
// a missing manager, and a Ref that disagrees with the JSON. Drivers need not
// call it: package cluster does, before every Apply.
func CheckApply(obj Object, opts ApplyOptions) error {
	if opts.Manager == "" {
		return fmt.Errorf("%w: ApplyOptions.Manager is empty; name the field manager", appspan.ErrInvalid)
	}
	if opts.IfAbsent && (opts.Force || opts.IfRevision != "" || opts.IfUID != "") {
		return fmt.Errorf("%w: IfAbsent excludes Force, IfRevision and IfUID", appspan.ErrInvalid)
	}
	parsed, err := ParseObject(obj.JSON)
	if err != nil {
		return err
	}
	if parsed.Ref != obj.Ref {
		return fmt.Errorf("%w: the object's Ref is %s (%s), its JSON is %s (%s)", appspan.ErrInvalid, obj.Ref, obj.APIVersion, parsed.Ref, parsed.APIVersion)
	}
	return nil
}
