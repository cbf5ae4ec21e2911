package manifests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	kjson "k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan/appmodel"
)

// Bounds of what is read: those of an application document, as what is read
// must fit into one.
const (
	maxFile    = 4 << 20  // bytes of one file
	maxInput   = 16 << 20 // bytes of all files
	maxFiles   = 2000
	maxObjects = 2000
	maxDepth   = 64
	maxNodes   = 200_000 // of all files, after aliases
	maxTokens  = 1_000_000
	maxFaults  = 100
)

// object is one object of the input, or a list's or document's own leaves.
type object struct {
	file, chart      string
	apiVersion, kind string
	name, namespace  string
	display          string // how paths begin
	root             *place
	wrapper          bool   // a list, whose items are objects of their own
	made             string // who makes it, if that is not the author

	// forced says why no field may hold the object, refused why it cannot
	// even be kept raw.
	forced, refused string
	mapped          bool              // some mapping took it
	unknown         []*place          // fields that its kind does not have
	skip            map[string]string // fields that the model refuses, which a patch keeps, and why
}

// aside reports whether the object is none of the application's.
func (o *object) aside() bool { return o.wrapper || o.made != "" }

// is reports whether the object is of a kind of a group, in a version that is
// known here.
func (o *object) is(group, kind string) bool {
	g, version, found := strings.Cut(o.apiVersion, "/")
	if !found {
		g, version = "", o.apiVersion
	}
	known := []string{"v1"}
	switch group {
	case "autoscaling":
		known = append(known, "v2")
	case "gateway.networking.k8s.io":
		known = append(known, "v1beta1", "v1alpha3", "v1alpha2")
	case "keda.sh":
		known = []string{"v1alpha1"}
	}
	return o.kind == kind && g == group && slices.Contains(known, version)
}

// at is the metadata, spec, … of the object.
func (o *object) at(names ...string) *place { return o.root.get(names...) }

// reader turns files into objects.
type reader struct {
	faults  appmodel.Faults
	objects []*object
	nodes   int
	full    bool // a bound is crossed: nothing more is read
}

// fault records an error at a line of a file.
func (r *reader) fault(file string, line, column int, path, problem, next string) {
	if len(r.faults) < maxFaults {
		r.faults = append(r.faults, appmodel.Fault{File: file, Line: line, Column: column, Path: path, Problem: problem, Next: next, Severity: appmodel.SeverityError})
	}
}

// file reads the documents of one file.
func (r *reader) file(ctx context.Context, file string, data []byte) error {
	if len(data) > maxFile {
		r.fault(file, 1, 1, "", fmt.Sprintf("%d MiB, more than %d MiB", len(data)>>20, maxFile>>20), "split the file, or leave definitions out that the clusters have")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	start, line := 0, 1
	for at := 0; at <= len(data); {
		end := bytes.IndexByte(data[at:], '\n')
		next := len(data) + 1
		if end >= 0 {
			next = at + end + 1
		}
		if at > start && separates(data[at:min(next, len(data))]) || next > len(data) {
			stop := at
			if next > len(data) && !separates(data[at:]) {
				stop = len(data)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			r.document(file, data[start:stop], line)
			line += bytes.Count(data[start:stop], []byte("\n"))
			start = stop
		}
		at = next
	}
	if start < len(data) { // a separator is the last line
		r.document(file, data[start:], line)
	}
	return nil
}

// document reads one document, whose first line is that of the file.
func (r *reader) document(file string, data []byte, line int) {
	if r.full {
		return
	}
	tokens := 0
	for _, c := range data {
		if strings.IndexByte("\n,[{:-", c) >= 0 {
			tokens++
		}
	}
	if tokens > maxTokens {
		r.fault(file, line, 1, "", "too many entries", "split the document")
		return
	}
	broken := func(err error) {
		at, text := yamlLine(strings.TrimPrefix(err.Error(), "yaml: "))
		r.fault(file, line+at-1, 1, "", "no YAML: "+cut(text), "check the indentation and quotes there; Helm's templates are read once `helm template` has filled them in")
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return // nothing, or comments
	} else if err != nil {
		broken(err)
		return
	}
	if len(doc.Content) == 0 {
		return
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		r.fault(file, line+second.Line-1, max(1, second.Column), "", "a second document without a line --- before it", "write --- on a line of its own between documents")
		return
	} else if !errors.Is(err, io.EOF) {
		broken(err)
		return
	}
	root := doc.Content[0]
	before := len(r.faults)
	if !r.bounded(file, root, line, 0) || len(r.faults) > before {
		return
	}
	text, err := sigsyaml.YAMLToJSON(data) // the YAML that kubectl reads
	if err != nil {
		broken(errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "error converting YAML to JSON: yaml: ")))
		return
	}
	var value any
	if err := kjson.Unmarshal(text, &value); err != nil {
		r.fault(file, line, 1, "", "no YAML: "+cut(err.Error()), "correct it")
		return
	}
	if value == nil {
		return
	}
	p := build(root, value, line)
	if p.shape != mapping {
		r.fault(file, p.line, p.column, "", "is no Kubernetes object", "write apiVersion, kind and metadata")
		return
	}
	r.object(file, source(data), p)
}

// object takes in one object, or the objects of a list.
func (r *reader) object(file, chart string, p *place) {
	o := &object{file: file, chart: chart, root: p, apiVersion: p.get("apiVersion").text(), kind: p.get("kind").text(),
		name: p.get("metadata", "name").text(), namespace: p.get("metadata", "namespace").text()}
	fail := func(at *place, problem, next string) {
		if at == nil {
			at = p
		}
		r.fault(file, at.line, at.column, "", problem, next)
	}
	if o.apiVersion == "" || o.kind == "" {
		fail(nil, "has no apiVersion or no kind, so it is no Kubernetes object", "complete it, or leave the file out")
		return
	}
	if items := p.get("items"); items != nil && items.shape == list && strings.HasSuffix(o.kind, "List") && o.name == "" {
		o.wrapper = true
		o.display = fmt.Sprintf("%s[#%d]", o.kind, len(r.objects)+1)
		r.objects = append(r.objects, o)
		for _, item := range items.items {
			if item.shape != mapping {
				fail(item, "is no Kubernetes object", "write apiVersion, kind and metadata")
				continue
			}
			r.object(file, chart, item)
		}
		p.fields = slices.DeleteFunc(p.fields, func(f *place) bool { return f == items && len(items.items) > 0 }) // they are objects of their own
		return
	}
	if o.name == "" {
		next := "give it a name"
		if p.get("metadata", "generateName") != nil {
			next = "give it a fixed name: one that a server makes up cannot be found again"
		}
		fail(p.get("metadata"), o.kind+" has no metadata.name", next)
		return
	}
	o.display = o.kind + "[" + o.name + "]"
	o.made = o.maker()
	for _, other := range r.objects {
		if other.apiVersion == o.apiVersion && other.kind == o.kind && other.name == o.name && !other.wrapper {
			if other.namespace == o.namespace {
				fail(p.get("metadata", "name"), fmt.Sprintf("%s %q stands in %s:%d already", o.kind, cut(o.name), other.file, other.root.line), "keep one of the two")
				return
			}
			fail(p.get("metadata", "namespace"), fmt.Sprintf("%s %q stands in namespace %q already, and an application has one namespace", o.kind, cut(o.name), cut(other.namespace)), "import one namespace at a time")
			return
		}
	}
	for _, other := range r.objects {
		if other.display == o.display { // of another group
			o.display = o.kind + "." + o.apiVersion + "[" + o.name + "]"
		}
	}
	if len(r.objects) >= maxObjects {
		if !r.full {
			fail(nil, fmt.Sprintf("more than %d objects", maxObjects), "split the input into several applications")
		}
		r.full = true
		return
	}
	r.objects = append(r.objects, o)
}

// cut shortens what a message quotes.
func cut(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
