package deploy

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func tree(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	return v
}

func paths(differences []difference) []string {
	out := []string{}
	for _, d := range differences {
		out = append(out, d.at.String())
	}
	return out
}

func TestCompareSeesOnlyLeavesThatAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want, live string
		paths            []string
	}{
		{"defaults of the server are no difference", `{"spec":{"replicas":2}}`, `{"spec":{"replicas":2,"revisionHistoryLimit":10},"status":{}}`, []string{}},
		{"a changed scalar is one", `{"spec":{"replicas":2}}`, `{"spec":{"replicas":5}}`, []string{".spec.replicas"}},
		{"quantities are compared by amount", `{"resources":{"requests":{"cpu":"1000m","memory":"1024Mi"}}}`, `{"resources":{"requests":{"cpu":"1","memory":"1Gi"}}}`, []string{}},
		{"another amount is a difference", `{"resources":{"requests":{"cpu":"1000m"}}}`, `{"resources":{"requests":{"cpu":"2"}}}`, []string{".resources.requests.cpu"}},
		{"other strings that look like amounts are compared as text", `{"data":{"size":"1000m"}}`, `{"data":{"size":"1"}}`, []string{".data.size"}},
		{"keyed lists are compared by key, in any order",
			`{"spec":{"containers":[{"name":"a","image":"x"},{"name":"b","image":"y"}]}}`,
			`{"spec":{"containers":[{"name":"b","image":"y","pullPolicy":"Always"},{"name":"a","image":"x"}]}}`, []string{}},
		{"a missing entry is a difference leaf by leaf",
			`{"spec":{"containers":[{"name":"a","image":"x"}]}}`, `{"spec":{"containers":[]}}`,
			[]string{`.spec.containers[name="a"].image`, `.spec.containers[name="a"].name`}},
		{"a port's protocol has a default",
			`{"spec":{"ports":[{"port":80,"targetPort":8080}]}}`, `{"spec":{"ports":[{"port":80,"protocol":"TCP","targetPort":8080}]}}`, []string{}},
		{"two protocols of one port are two entries",
			`{"spec":{"ports":[{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"}]}}`, `{"spec":{"ports":[{"port":53,"protocol":"TCP"}]}}`,
			[]string{`.spec.ports[port=53,protocol="UDP"].port`, `.spec.ports[port=53,protocol="UDP"].protocol`}},
		{"an atomic list is one leaf", `{"spec":{"args":["a","b"]}}`, `{"spec":{"args":["b","a"]}}`, []string{".spec.args"}},
		{"an atomic list's entries may have defaults", `{"spec":{"rules":[{"host":"h"}]}}`, `{"spec":{"rules":[{"host":"h","x":1}]}}`, []string{}},
		{"what is empty may be left out", `{"spec":{"a":false,"b":"","c":0,"d":{},"e":[]}}`, `{"spec":{}}`, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.paths, paths(compare(tree(t, c.want), tree(t, c.live))))
		})
	}
}

func TestAlignTakesTheLiveOrderOfKeyedLists(t *testing.T) {
	t.Parallel()
	live := tree(t, `{"spec":{"volumes":[{"name":"b"},{"name":"a"}],"containers":[{"name":"x","env":[{"name":"B"},{"name":"A"}]}]}}`)
	want := tree(t, `{"spec":{"volumes":[{"name":"a"},{"name":"new"},{"name":"b"}],"containers":[{"name":"x","env":[{"name":"A"},{"name":"B"}]}]}}`)
	got, changed := align(want, live)
	require.True(t, changed)
	require.Equal(t, tree(t, `{"spec":{"volumes":[{"name":"b"},{"name":"a"},{"name":"new"}],"containers":[{"name":"x","env":[{"name":"A"},{"name":"B"}]}]}}`), got)
	require.Equal(t, "a", want["spec"].(map[string]any)["volumes"].([]any)[0].(map[string]any)["name"], "the input is not changed")
	_, changed = align(got, live)
	require.False(t, changed)
}

func TestManagersSayWhoOwnsALeaf(t *testing.T) {
	t.Parallel()
	m := readManagers([]byte(`{"metadata":{"managedFields":[
		{"manager":"appspan-i-a","operation":"Apply","fieldsV1":{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{}}}}}}}},
		{"manager":"kubectl","operation":"Update","subresource":"scale","time":"2026-01-02T03:04:05Z","fieldsV1":{"f:spec":{"f:replicas":{}}}},
		{"manager":"kube-controller-manager","operation":"Update","subresource":"status","time":"2026-02-02T03:04:05Z","fieldsV1":{"f:status":{}}}]}}`))
	replicas := trail{{field: "spec"}, {field: "replicas"}}
	image := trail{{field: "spec"}, {field: "template"}, {field: "spec"}, {field: "containers"}, {key: map[string]any{"name": "web"}}, {field: "image"}}
	require.Equal(t, []string{"kubectl"}, m.owners(replicas, "appspan-i-a"))
	require.Empty(t, m.owners(image, "appspan-i-a"))
	entry, ok := m.applied("appspan-i-a")
	require.True(t, ok)
	require.True(t, owns(entry.Fields, image))
	require.False(t, owns(entry.Fields, replicas))
	live := tree(t, `{"metadata":{"labels":{"a":"b"}},"spec":{"template":{}}}`)
	paused := trail{{field: "spec"}, {field: "paused"}}
	require.Equal(t, "kubectl", m.remover(replicas, live, "appspan-i-a"))
	require.Empty(t, m.remover(paused, live, "appspan-i-a"), "scaling removes nothing else")
	require.Empty(t, m.remover(trail{{field: "metadata"}, {field: "labels"}, {field: "gone"}}, live, "appspan-i-a"), "nobody is blamed without a trace")

	m = readManagers([]byte(`{"metadata":{"managedFields":[
		{"manager":"first","operation":"Apply","time":"2026-01-01T00:00:00Z","fieldsV1":{"f:spec":{"f:replicas":{}}}},
		{"manager":"editor","operation":"Update","time":"2026-01-02T00:00:00Z","fieldsV1":{"f:spec":{"f:minReadySeconds":{}}}},
		{"manager":"scaler","operation":"Update","subresource":"scale","time":"2026-01-03T00:00:00Z","fieldsV1":{"f:spec":{"f:replicas":{}}}},
		{"manager":"kubelet","operation":"Update","subresource":"status","time":"2026-01-04T00:00:00Z","fieldsV1":{"f:spec":{"f:x":{}},"f:status":{}}}]}}`))
	require.Equal(t, []string{"scaler", "first"}, m.owners(replicas, "appspan-i-a"), "the newest is named")
	require.Equal(t, "scaler", m.remover(replicas, live, "appspan-i-a"))
	require.Equal(t, "editor", m.remover(paused, live, "appspan-i-a"))
}

func TestDroppedFindsOwnedLeavesThatAreNotAskedForAnyMore(t *testing.T) {
	t.Parallel()
	fields := tree(t, `{"f:spec":{"f:a":{},"f:b":{},"f:containers":{"k:{\"name\":\"x\"}":{".":{},"f:name":{},"f:tty":{}},"k:{\"name\":\"y\"}":{".":{},"f:name":{}}}}}`)
	live := tree(t, `{"spec":{"a":1,"b":2,"containers":[{"name":"x","tty":true},{"name":"y"}]}}`)
	want := tree(t, `{"spec":{"a":1,"containers":[{"name":"x"}]}}`)
	require.ElementsMatch(t, []string{".spec.b", `.spec.containers[name="x"].tty`, `.spec.containers[name="y"]`}, paths(dropped(fields, want, live)))
}
