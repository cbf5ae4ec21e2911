package appmodel

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

const ownPrefix = "appspan.dev/"

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (v *checker) labelKey(key string, at Path) {
	if reasons := validation.IsQualifiedName(key); len(reasons) > 0 {
		v.errorf(at, "write name or domain/name, with at most 63 letters, digits, hyphens, dots or underscores in the name",
			"%q is not a key", cut(key))
	} else if strings.HasPrefix(key, ownPrefix) {
		v.errorf(at, "use a domain of your own", "keys under %s are reserved", ownPrefix)
	}
}

func (v *checker) labels(labels map[string]string, at Path) {
	for _, key := range sortedKeys(labels) {
		p := at.entry(key)
		v.labelKey(key, p)
		if len(validation.IsValidLabelValue(labels[key])) > 0 {
			v.errorf(p, "use at most 63 letters, digits, hyphens, dots and underscores; other text goes under annotations",
				"%q is not the value of a label", cut(labels[key]))
		}
	}
}

func (v *checker) annotations(annotations map[string]string, at Path) {
	size := 0
	for _, key := range sortedKeys(annotations) {
		v.labelKey(key, at.entry(key))
		size += len(key) + len(annotations[key])
	}
	if size > maxAnnotations {
		v.errorf(at, "shorten them", "annotations have %d bytes, more than 256 KiB", size)
	}
}

func (v *checker) extensions(e Extensions, at Path) {
	size := 0
	for _, key := range sortedKeys(e) {
		size += len(key) + len(e[key])
		if len(validation.IsDNS1123Subdomain(key)) > 0 || !strings.Contains(key, ".") {
			v.errorf(at.entry(key), "write for example "+`"tool.example.com"`, "the key is not a domain name")
		}
	}
	if size > maxExtensions {
		v.errorf(at, "keep less here", "extensions have %d bytes, more than 256 KiB", size)
	}
}
