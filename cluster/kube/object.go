package kube

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// parse reads an object of a kind from an answer, as much of it as the
// projection says. Its JSON is data itself if nothing has to change.
func parse(data []byte, apiVersion, kind string, p driver.Projection) (driver.Object, error) {
	obj := driver.Object{Ref: driver.Ref{APIVersion: apiVersion, Kind: kind}}
	var rest, metadata [][2][]byte // members to keep
	complete := 0                  // apiVersion and kind are there
	trim := false
	err := members(data, func(key, value []byte) error {
		switch string(key) {
		case `"apiVersion"`, `"kind"`:
			if s, err := decoded(value); err == nil && (s == apiVersion || s == kind) {
				complete++
			}
			return nil
		case `"metadata"`:
			return members(value, func(key, value []byte) error {
				if string(key) == `"managedFields"` {
					trim = p != driver.Whole
					if trim {
						return nil
					}
				}
				metadata = append(metadata, [2][]byte{key, value})
				return readMeta(&obj, key, value)
			})
		}
		rest = append(rest, [2][]byte{key, value})
		return nil
	})
	if err == nil && obj.Name == "" {
		err = fmt.Errorf("metadata.name is missing")
	}
	if err != nil {
		return driver.Object{}, corrupt(kind, err)
	}
	if p == driver.Metadata {
		trim, rest = true, nil
	}
	if complete == 2 && !trim {
		obj.JSON = data
		return obj, nil
	}
	out := make([]byte, 0, len(data)+len(apiVersion)+len(kind)+32)
	out = append(out, `{"apiVersion":`...)
	out = strconv.AppendQuote(out, apiVersion)
	out = append(out, `,"kind":`...)
	out = strconv.AppendQuote(out, kind)
	out = append(out, `,"metadata":`...)
	out = join(append(out, '{'), metadata, false)
	out = join(out, rest, true)
	obj.JSON = out
	return obj, nil
}

// join appends members and the closing brace.
func join(out []byte, members [][2][]byte, comma bool) []byte {
	for _, m := range members {
		if comma {
			out = append(out, ',')
		}
		out = append(append(append(out, m[0]...), ':'), m[1]...)
		comma = true
	}
	return append(out, '}')
}

// readMeta reads a member of an object's metadata.
func readMeta(obj *driver.Object, key, value []byte) (err error) {
	switch string(key) {
	case `"name"`:
		obj.Name, err = decoded(value)
	case `"namespace"`:
		obj.Namespace, err = decoded(value)
	case `"uid"`:
		obj.UID, err = decoded(value)
	case `"resourceVersion"`:
		obj.Revision, err = decoded(value)
	case `"generation"`:
		if !isNull(value) {
			obj.Generation, err = strconv.ParseInt(string(value), 10, 64)
		}
	case `"deletionTimestamp"`:
		obj.Deleting = !isNull(value)
	case `"labels"`:
		if isNull(value) {
			return nil
		}
		obj.Labels = map[string]string{}
		err = members(value, func(key, value []byte) error {
			k, err := decoded(key)
			if err != nil {
				return err
			}
			obj.Labels[k], err = decoded(value)
			return err
		})
	}
	return err
}

// parseList reads a page. Every object has memory of its own, so that keeping
// one does not keep the page.
func parseList(data []byte, q driver.Query) (driver.Page, error) {
	var page driver.Page
	err := members(data, func(key, value []byte) error {
		switch string(key) {
		case `"metadata"`:
			return members(value, func(key, value []byte) (err error) {
				switch string(key) {
				case `"resourceVersion"`:
					page.Revision, err = decoded(value)
				case `"continue"`:
					page.Continue, err = decoded(value)
				}
				return err
			})
		case `"items"`:
			return elements(value, func(value []byte) error {
				obj, err := parse(value, q.APIVersion, q.Kind, q.Projection)
				if err != nil {
					return err
				}
				if len(obj.JSON) > 0 && &obj.JSON[0] == &value[0] {
					obj.JSON = append(json.RawMessage(nil), obj.JSON...)
				}
				page.Items = append(page.Items, obj)
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return driver.Page{}, corrupt("list of "+q.Kind, err)
	}
	return page, nil
}

// withPreconditions sets the UID and revision that a write is meant for.
func withPreconditions(data []byte, uid, revision string) ([]byte, error) {
	if uid == "" && revision == "" {
		return data, nil
	}
	var obj, metadata map[string]json.RawMessage
	if err := json.Unmarshal(data, &obj); err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	if err := json.Unmarshal(obj["metadata"], &metadata); err != nil {
		return nil, fmt.Errorf("%w: metadata: %w", appspan.ErrInvalid, err)
	}
	set := func(key, s string) (err error) {
		if s != "" {
			metadata[key], err = json.Marshal(s)
		}
		return err
	}
	if err := set("uid", uid); err != nil {
		return nil, err
	}
	if err := set("resourceVersion", revision); err != nil {
		return nil, err
	}
	var err error
	if obj["metadata"], err = json.Marshal(metadata); err != nil {
		return nil, err
	}
	return json.Marshal(obj)
}
