package deploy

import (
	"encoding/json"
	"sort"
	"strconv"
	"strings"
)

// step is one step of a path through an object: a field, an entry of a keyed
// list, or an index of an atomic list.
type step struct {
	field string
	key   map[string]any // of a keyed list
	index int            // of an atomic list, when field and key are empty
}

// trail is a path through an object.
type trail []step

func (t trail) with(s step) trail { return append(t[:len(t):len(t)], s) }

// String is the API server's notation: .spec.containers[name="web"].image
func (t trail) String() string {
	var b strings.Builder
	for _, s := range t {
		switch {
		case s.field != "":
			if strings.ContainsAny(s.field, "./ ") {
				b.WriteString("[" + strconv.Quote(s.field) + "]")
			} else {
				b.WriteString("." + s.field)
			}
		case s.key != nil:
			names := make([]string, 0, len(s.key))
			for k := range s.key {
				names = append(names, k)
			}
			sort.Strings(names)
			b.WriteByte('[')
			for i, k := range names {
				if i > 0 {
					b.WriteByte(',')
				}
				v, _ := json.Marshal(s.key[k])
				b.WriteString(k + "=" + string(v))
			}
			b.WriteByte(']')
		default:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		}
	}
	return b.String()
}

// in is what v, which stands at a path, has at a step further; absent is nil.
func (s step) in(v any, at trail) any {
	if s.field != "" {
		m, _ := v.(map[string]any)
		return m[s.field]
	}
	l, _ := v.([]any)
	if s.key != nil {
		found, _ := find(l, listKeys(at), s.key)
		return found
	}
	if s.index >= len(l) {
		return nil
	}
	return l[s.index]
}

// listKeys are the keys of Kubernetes' associative lists, by the field that
// holds the list, as the API's x-kubernetes-list-map-keys say. What is not
// here is atomic. Ports have other keys in a Service than in a container.
func listKeys(at trail) []string {
	n := len(at)
	if n == 0 {
		return nil
	}
	switch at[n-1].field {
	case "containers", "initContainers", "ephemeralContainers", "env", "imagePullSecrets", "schedulingGates", "resourceClaims":
		return []string{"name"}
	case "volumes":
		return []string{"name"}
	case "volumeMounts":
		return []string{"mountPath"}
	case "volumeDevices":
		return []string{"devicePath"}
	case "hostAliases":
		return []string{"ip"}
	case "topologySpreadConstraints":
		return []string{"topologyKey", "whenUnsatisfiable"}
	case "ports":
		if n >= 2 && at[n-2].key != nil { // of a container
			return []string{"containerPort", "protocol"}
		}
		if n == 2 && at[0].field == "spec" { // of a Service
			return []string{"port", "protocol"}
		}
	}
	return nil
}

// keyOf reads an entry's key; protocol has a default.
func keyOf(entry any, names []string) (map[string]any, bool) {
	m, ok := entry.(map[string]any)
	if !ok {
		return nil, false
	}
	key := make(map[string]any, len(names))
	for _, n := range names {
		v, ok := m[n]
		if !ok {
			if n != "protocol" {
				return nil, false
			}
			v = "TCP"
		}
		key[n] = v
	}
	return key, true
}

func sameKey(a, b map[string]any) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// find returns the entry of a keyed list.
func find(list []any, names []string, key map[string]any) (any, bool) {
	for _, entry := range list {
		if k, ok := keyOf(entry, names); ok && sameKey(k, key) {
			return entry, true
		}
	}
	return nil, false
}
