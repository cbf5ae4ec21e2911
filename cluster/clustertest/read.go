package clustertest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const (
	contractGet  = "driver.Cluster.Get"
	contractList = "driver.Cluster.List"
	selectors    = "Kubernetes: labels and selectors"
	fields       = "Kubernetes: field selectors"
)

func getPromises() []promise {
	return []promise{
		{name: "get of what is missing is not found", why: contractGet, run: func(e *env) {
			_, err := e.c.Get(e.ctx, driver.Ref{APIVersion: "v1", Kind: "PodTemplate", Namespace: e.namespace(), Name: "missing"})
			e.ErrorIs(err, appspan.ErrNotFound)
		}},
		{name: "get in a missing namespace is not found", why: contractGet, run: func(e *env) {
			_, err := e.c.Get(e.ctx, driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: unique("none"), Name: "missing"})
			e.ErrorIs(err, appspan.ErrNotFound)
		}},
		{name: "get of a kind that is not served is unsupported", why: "appspan.ErrUnsupported", run: func(e *env) {
			_, err := e.c.Get(e.ctx, driver.Ref{APIVersion: "appspan.example/v1", Kind: "Nothing", Namespace: e.namespace(), Name: "none"})
			e.ErrorIs(err, appspan.ErrUnsupported)
		}},
		{name: "get returns the whole object", why: "driver.Object.JSON", run: func(e *env) {
			obj := e.object("policy/v1 PodDisruptionBudget whole", "spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}")
			e.apply(obj)
			live := e.get(obj.Ref)
			e.EqualValues(1, e.at(live, "spec", "maxUnavailable"))
			e.NotEmpty(e.at(live, "metadata", "creationTimestamp"))
			e.NotEmpty(e.at(live, "metadata", "managedFields"))
		}},
		{name: "get returns fields that agree with the JSON", why: "driver.Object", run: func(e *env) {
			obj := e.object("networking.k8s.io/v1 NetworkPolicy agreed", "metadata: {labels: {a: b}}\nspec: {podSelector: {}}")
			e.apply(obj)
			live := e.get(obj.Ref)
			parsed, err := driver.ParseObject(live.JSON)
			e.NoError(err)
			e.Equal(parsed, live)
			e.Equal(obj.Ref, live.Ref)
		}},
		{name: "get reads cluster-scoped kinds", why: contractGet, run: func(e *env) {
			role := e.clusterwide("rbac.authorization.k8s.io/v1 ClusterRole "+unique("role"), "rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]")
			e.apply(role)
			e.Equal(role.Ref, e.get(role.Ref).Ref)
		}},
	}
}

// secrets makes Secrets with labels; the suite lists them, because nobody else
// makes them in a new namespace.
func (e *env) secrets(labelled map[string]string) {
	e.t.Helper()
	for name, labels := range labelled {
		e.apply(e.object("v1 Secret "+name, "metadata: {labels: {"+labels+"}}\nstringData: {key: value}"))
	}
}

func listPromises() []promise {
	selects := func(name, labels string, want ...string) promise {
		return promise{name: name, why: selectors, run: func(e *env) {
			e.secrets(map[string]string{"a": "tier: front, env: prod", "b": "tier: back, env: prod", "c": "tier: back", "d": ""})
			e.Equal(want, names(e.list(driver.Query{APIVersion: "v1", Kind: "Secret", Labels: labels}).Items))
		}}
	}
	picks := func(name, selector string, want ...string) promise {
		return promise{name: name, why: fields, run: func(e *env) {
			e.secrets(map[string]string{"a": "", "b": ""})
			e.apply(e.object("v1 Secret c", "type: appspan.example/state"))
			e.Equal(want, names(e.list(driver.Query{APIVersion: "v1", Kind: "Secret", Fields: selector}).Items))
		}}
	}
	return []promise{
		{name: "list is confined to a namespace", why: contractList, run: func(e *env) {
			e.secrets(map[string]string{"here": ""})
			e.apply(e.objectIn(e.newNamespace(), "v1 Secret there", ""))
			e.Equal([]string{"here"}, names(e.list(driver.Query{APIVersion: "v1", Kind: "Secret"}).Items))
		}},
		{name: "list without a namespace reads all of them", why: "driver.Query.Namespace", run: func(e *env) {
			mark := unique("mark")
			for _, namespace := range []string{e.namespace(), e.newNamespace()} {
				e.apply(e.objectIn(namespace, "v1 Secret marked", "metadata: {labels: {mark: "+mark+"}}"))
			}
			page, err := e.c.List(e.ctx, driver.Query{APIVersion: "v1", Kind: "Secret", Labels: "mark=" + mark})
			e.NoError(err)
			e.Len(page.Items, 2)
			e.NotEqual(page.Items[0].Namespace, page.Items[1].Namespace)
		}},
		{name: "list reads cluster-scoped kinds", why: contractList, run: func(e *env) {
			mark := unique("mark")
			e.apply(e.clusterwide("rbac.authorization.k8s.io/v1 ClusterRole "+mark, "metadata: {labels: {mark: "+mark+"}}"))
			page, err := e.c.List(e.ctx, driver.Query{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Labels: "mark=" + mark})
			e.NoError(err)
			e.Equal([]string{mark}, names(page.Items))
		}},
		selects("list selects by a label's value", "tier=back", "b", "c"),
		selects("list selects by several labels at once", "tier=back,env=prod", "b"),
		selects("list selects what has not a label's value, or not the label", "tier!=front", "b", "c", "d"),
		selects("list selects by a set of values", "tier in (front, none)", "a"),
		selects("list selects what is not in a set, or has not the label", "tier notin (back)", "a", "d"),
		selects("list selects what has a label", "env", "a", "b"),
		selects("list selects what has not a label", "!env", "c", "d"),
		picks("list selects by name", "metadata.name=b", "b"),
		picks("list selects all names but one", "metadata.name!=b", "a", "c"),
		picks("list selects Secrets by type", "type=appspan.example/state", "c"),
		picks("list selects all Secrets but those of a type", "type!=appspan.example/state", "a", "b"),
		{name: "a label selector that is none is refused", why: selectors, run: func(e *env) {
			_, err := e.c.List(e.ctx, driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: e.namespace(), Labels: "a in b"})
			e.ErrorIs(err, appspan.ErrInvalid)
		}},
		{name: "a field selector that the kind does not have is refused", why: fields, run: func(e *env) {
			_, err := e.c.List(e.ctx, driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: e.namespace(), Fields: "spec.colour=red"})
			e.ErrorIs(err, appspan.ErrInvalid)
		}},
		{name: "list of nothing is empty and has a revision", why: "driver.Page.Revision, for Watch", run: func(e *env) {
			page := e.list(driver.Query{APIVersion: "v1", Kind: "PodTemplate"})
			e.Empty(page.Items)
			e.NotEmpty(page.Revision)
		}},
		{name: "list of a missing namespace is empty", why: contractList, run: func(e *env) {
			e.Empty(e.list(driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: unique("none")}).Items)
		}},
		{name: "list of a kind that is not served is unsupported", why: contractList, run: func(e *env) {
			_, err := e.c.List(e.ctx, driver.Query{APIVersion: "appspan.example/v1", Kind: "Nothing"})
			e.ErrorIs(err, appspan.ErrUnsupported)
		}},
		{name: "list returns objects that say what they are", why: "driver.Object: a list's items have apiVersion and kind, unlike on the wire", run: func(e *env) {
			obj := e.object("v1 Secret typed", "metadata: {labels: {a: b}}")
			e.apply(obj)
			item := e.list(driver.Query{APIVersion: "v1", Kind: "Secret"}).Items[0]
			e.Equal("v1", e.at(item, "apiVersion"))
			e.Equal("Secret", e.at(item, "kind"))
			e.Equal(e.get(obj.Ref), driver.Object{
				Ref: item.Ref, UID: item.UID, Revision: item.Revision, Generation: item.Generation, Labels: item.Labels, JSON: e.get(obj.Ref).JSON,
			})
		}},
		{name: "a whole list has managed fields", why: "driver.Whole", run: func(e *env) {
			e.secrets(map[string]string{"a": ""})
			item := e.list(driver.Query{APIVersion: "v1", Kind: "Secret"}).Items[0]
			e.NotNil(e.at(item, "metadata", "managedFields"))
			e.NotNil(e.at(item, "data"))
		}},
		{name: "a trimmed list has all but managed fields", why: "driver.Trimmed", run: func(e *env) {
			e.secrets(map[string]string{"a": ""})
			item := e.list(driver.Query{APIVersion: "v1", Kind: "Secret", Projection: driver.Trimmed}).Items[0]
			e.Nil(e.at(item, "metadata", "managedFields"))
			e.NotNil(e.at(item, "data"))
		}},
		{name: "a list of metadata has no more than that", why: "driver.Metadata", run: func(e *env) {
			e.apply(e.object("v1 Secret a", "metadata: {labels: {a: b}, annotations: {c: d}}\nstringData: {key: value}"))
			item := e.list(driver.Query{APIVersion: "v1", Kind: "Secret", Projection: driver.Metadata}).Items[0]
			e.Equal("Secret", e.at(item, "kind"))
			e.Equal(map[string]string{"a": "b"}, item.Labels)
			e.Equal("d", e.at(item, "metadata", "annotations", "c"))
			e.Nil(e.at(item, "metadata", "managedFields"))
			e.Nil(e.at(item, "data"))
			e.Nil(e.at(item, "type"))
		}},
	}
}

// pages reads every page of the promise's Secrets; between is called between
// two pages.
func (e *env) pages(limit int, between func()) [][]string {
	e.t.Helper()
	q := driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: e.namespace(), Limit: limit}
	var pages [][]string
	for {
		page, err := e.c.List(e.ctx, q)
		e.NoError(err)
		list := make([]string, len(page.Items))
		for i, item := range page.Items {
			list[i] = item.Name
		}
		pages = append(pages, list)
		if page.Continue == "" {
			return pages
		}
		e.Less(len(pages), 100, "the pages do not end")
		between()
		q.Continue = page.Continue
	}
}

func (e *env) seven() {
	e.t.Helper()
	for i := range 7 {
		e.apply(e.object(fmt.Sprintf("v1 Secret s%d", i), ""))
	}
}

func pagePromises() []promise {
	nothing := func() {}
	return []promise{
		{name: "pages hold every item once", why: contractList, run: func(e *env) {
			e.seven()
			all := slices.Concat(e.pages(3, nothing)...)
			slices.Sort(all)
			e.Equal("s0 s1 s2 s3 s4 s5 s6", strings.Join(all, " "))
		}},
		{name: "a page is not larger than its limit", why: "driver.Query.Limit", run: func(e *env) {
			e.seven()
			for _, page := range e.pages(3, nothing) {
				e.LessOrEqual(len(page), 3)
			}
		}},
		{name: "pages have a stable order", why: contractList, run: func(e *env) {
			e.seven()
			e.Equal(slices.Concat(e.pages(7, nothing)...), slices.Concat(e.pages(2, nothing)...))
		}},
		{name: "pages show the state of the first one", why: "Kubernetes API concepts: a continue token keeps its resource version", run: func(e *env) {
			e.seven()
			all := slices.Concat(e.pages(3, func() {
				ref := driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: e.namespace(), Name: "s6"}
				if err := e.c.Delete(e.ctx, ref, driver.DeleteOptions{}); err == nil {
					e.apply(e.object("v1 Secret s9", ""))
				}
			})...)
			e.Contains(all, "s6")
			e.NotContains(all, "s9")
		}},
		{name: "a continue token that is none is refused", why: contractList, run: func(e *env) {
			_, err := e.c.List(e.ctx, driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: e.namespace(), Continue: "nonsense"})
			e.ErrorIs(err, appspan.ErrInvalid)
		}},
	}
}
