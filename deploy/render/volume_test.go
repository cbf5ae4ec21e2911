package render_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy/render"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	const (
		projected = podSpec + "volumes 0 projected sources"
		files     = `files: [{path: /etc/a.json, content: "{}", mode: "0400"}, {path: /etc/b, base64: AAEC}, {path: /etc/c, template: "${param.host}"}, {path: /etc/d, config: {name: pinned, item: a}},
       {path: /etc/e, secret: {name: old, item: x}}, {path: /etc/f, template: "p=${secret.db.password}"}]`
	)
	testPodCases(t, []podCase{
		{name: "files are mounted alone", text: web(`files: [{path: "/etc/a b.json", content: "{}"}]`), path: container + "volumeMounts",
			want: `[{"name":"appspan-files","mountPath":"/etc/a b.json","subPath":"8d6acf12-a_b.json","readOnly":true}]`},
		{name: "text and templates go to a ConfigMap", text: web(files), object: "ConfigMap/shop-web-files", path: "data", want: `{"c50ec33b-c":"shop.example","0783d841-a.json":"{}"}`},
		{name: "bytes go to a ConfigMap", text: web(files), object: "ConfigMap/shop-web-files", path: "binaryData", want: `{"ef23c8b7-b":"AAEC"}`},
		{name: "what mentions a secret goes to a Secret", text: web(files), object: "Secret/shop-web-secret-files", path: "data", want: `{"b4407466-f":"cD1wYSQkd29yZA=="}`},
		{name: "all are projected, items of groups from where they are", text: web(files), path: projected, want: `[
			{"configMap":{"name":"my-config","items":[{"key":"a","path":"fcf32651-d","mode":420}]}},
			{"configMap":{"name":"shop-web-files","items":[{"key":"0783d841-a.json","path":"0783d841-a.json","mode":256},{"key":"c50ec33b-c","path":"c50ec33b-c","mode":420},{"key":"ef23c8b7-b","path":"ef23c8b7-b","mode":420}]}},
			{"secret":{"name":"old-secret","items":[{"key":"x","path":"70ce083b-e","mode":420}]}},
			{"secret":{"name":"shop-web-secret-files","items":[{"key":"b4407466-f","path":"b4407466-f","mode":420}]}}]`},
		{name: "files of sidecars are beside them", text: web(`sidecars: [{name: log, image: log, files: [{path: /etc/a, content: x}]}]`), path: podSpec + "initContainers 0 volumeMounts 0 mountPath", want: `"/etc/a"`},
		{name: "without files there is no ConfigMap", text: web(""), object: "ConfigMap/shop-web-files"},
	})
}

func TestPodsRestartWhenWhatTheyReadChanges(t *testing.T) {
	t.Parallel()
	content := func(t *testing.T, text string, replace ...string) any {
		out, err := render.Render(podInput(t, strings.NewReplacer(replace...).Replace(text)))
		require.NoError(t, err)
		return dig(find(t, out, "Deployment/shop-web"), "spec template metadata annotations appspan.dev/content")
	}
	for _, c := range []struct {
		name, fields string
		replace      []string
		same         bool
	}{
		{name: "a file", fields: `files: [{path: /a, content: early}]`, replace: []string{"early", "late"}},
		{name: "not a file that says so", fields: `files: [{path: /a, content: early, reload: none}, {path: /b, content: b}]`, replace: []string{"early", "late"}, same: true},
		{name: "a group in the environment", fields: `envFrom: [{config: site}]`, replace: []string{"Shanghai", "Tokyo"}},
		{name: "a mounted secret group", fields: `volumes: [{name: s, kind: secret, secret: db}], mounts: [{path: /s, volume: s}]`, replace: []string{"value: root", "value: admin"}},
		{name: "a secret variable", fields: `env: [{name: A, template: "${secret.pinned.a}"}]`, replace: []string{"hidden", "other"}},
		{name: "part of a composed variable", fields: `env: [{name: A, template: "a${secret.pinned.a}"}]`, replace: []string{"hidden", "other"}},
		{name: "not for an item that they do not read", fields: `env: [{name: A, template: "${secret.pinned.a}"}]`, replace: []string{"value: root", "value: admin"}, same: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before := content(t, web(c.fields))
			require.Len(t, before, 16)
			require.Equal(t, c.same, before == content(t, web(c.fields), c.replace...))
		})
	}
	require.Nil(t, content(t, web("")), "pods that read nothing have no hash")
	require.Nil(t, content(t, web(`kubernetes: {defaults: none}, files: [{path: /a, content: x}]`)))
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	const (
		volume = podSpec + "volumes 0"
		shared = `volumes: [{name: up, kind: persistent, size: 5Gi, storageClass: shared, accessMode: ReadWriteMany, data: files}, {name: scratch, kind: memory, size: 1Mi}]` + "\n"
		db     = `components: [{id: db, kind: stateful, image: db, volumes: [{name: data, kind: persistent, size: 2Gi}, {name: all, kind: persistent, size: 1Gi, scope: component}], mounts: [{path: /d, volume: data, subPath: x}, {path: /a, volume: all}]}]` + "\n"
	)
	one := func(v string) string { return web(`volumes: [` + v + `], mounts: [{path: /v, volume: v}]`) }
	host := func(v string) string {
		return web(`security: {level: privileged}, volumes: [` + v + `], mounts: [{path: /v, volume: v}]`)
	}
	testPodCases(t, []podCase{
		{name: "ephemeral", text: one(`{name: v, kind: ephemeral, size: 1Gi}`), path: volume, want: `{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}`},
		{name: "memory", text: one(`{name: v, kind: memory, size: 64Mi}`), path: volume, want: `{"name":"v","emptyDir":{"medium":"Memory","sizeLimit":"64Mi"}}`},
		{name: "host", text: host(`{name: v, kind: host, hostPath: /var/log}`), path: volume, want: `{"name":"v","hostPath":{"path":"/var/log"}}`},
		{name: "a config group", text: one(`{name: v, kind: config, config: pinned, mode: "0440"}`), path: volume, want: `{"name":"v","configMap":{"name":"my-config","defaultMode":288}}`},
		{name: "a secret group", text: one(`{name: v, kind: secret, secret: old}`), path: volume, want: `{"name":"v","secret":{"secretName":"old-secret"}}`},
		{name: "a claim of the component", text: one(`{name: v, kind: persistent, size: 1Gi}`), path: volume, want: `{"name":"v","persistentVolumeClaim":{"claimName":"shop-web-v"}}`},
		{name: "a claim says what volume it is", text: one(`{name: v, kind: persistent, size: 1Gi}`), object: "PersistentVolumeClaim/shop-web-v", path: "metadata labels appspan.dev/volume", want: `"v"`},
		{name: "a claim asks for size and mode", text: one(`{name: v, kind: persistent, size: 1Gi, storageClass: shared}`), object: "PersistentVolumeClaim/shop-web-v", path: "spec",
			want: `{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}},"storageClassName":"shared"}`},
		{name: "a claim that is taken over keeps its name", text: one(`{name: v, kind: persistent, size: 1Gi, claim: old}`), object: "PersistentVolumeClaim/old", path: "spec resources requests storage", want: `"1Gi"`},
		{name: "a claim that is taken over is used", text: one(`{name: v, kind: persistent, claim: old}`), path: volume, want: `{"name":"v","persistentVolumeClaim":{"claimName":"old"}}`},
		{name: "a claim that is taken over without a size is left as it is", text: one(`{name: v, kind: persistent, claim: old}`), object: "PersistentVolumeClaim/old"},
		{name: "volumes of the application are rendered once", text: shared + strings.Replace(web(`mounts: [{path: /up, volume: up, readOnly: true}]`), podGroups, "", 1), object: "PersistentVolumeClaim/shop-up", path: "spec accessModes", want: `["ReadWriteMany"]`},
		{name: "volumes of the application are mounted where they are asked for", text: shared + strings.Replace(web(`mounts: [{path: /s, volume: scratch}, {path: /up, volume: up, readOnly: true}]`), podGroups, "", 1), path: podSpec + "volumes",
			want: `[{"name":"scratch","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}},{"name":"up","persistentVolumeClaim":{"claimName":"shop-up"}}]`},
		{name: "two containers share a volume", text: web(`volumes: [{name: v, kind: ephemeral}], mounts: [{path: /v, volume: v}], sidecars: [{name: log, image: log, mounts: [{path: /l, volume: v, readOnly: true}]}]`),
			path: podSpec + "initContainers 0 volumeMounts", want: `[{"name":"v","mountPath":"/l","readOnly":true}]`},
		{name: "replicas of a stateful component have their own claims", text: db, object: "StatefulSet/shop-db", path: "spec volumeClaimTemplates 0 metadata",
			want: `{"name":"data","labels":{"appspan.dev/application":"shop","appspan.dev/component":"db","appspan.dev/installation":"i1","appspan.dev/volume":"data"}}`},
		{name: "a volume of the whole stateful component is one claim", text: db, object: "StatefulSet/shop-db", path: volume, want: `{"name":"all","persistentVolumeClaim":{"claimName":"shop-db-all"}}`},
		{name: "mounts are by path", text: db, object: "StatefulSet/shop-db", path: container + "volumeMounts", want: `[{"name":"all","mountPath":"/a"},{"name":"data","mountPath":"/d","subPath":"x"}]`},
		{name: "claims outlive their replicas", text: db, object: "StatefulSet/shop-db", path: "spec persistentVolumeClaimRetentionPolicy", want: `{"whenDeleted":"Retain","whenScaled":"Retain"}`},
	})
}

func TestNotesOfStorageSayWhatTheClusterMayLack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, volume, path, want string }{
		{"a class that is not there", `{name: v, kind: persistent, size: 1Gi, storageClass: gone}`, "components[web].volumes[v].storageClass", `has no storage class "gone"`},
		{"a class that may not be shared", `{name: v, kind: persistent, size: 1Gi, accessMode: ReadWriteMany}`, "components[web].volumes[v].accessMode", `storage class "standard" (disk.example) can give ReadWriteMany`},
		{"nothing where the class is known to share", `{name: v, kind: persistent, size: 1Gi, accessMode: ReadWriteMany, storageClass: shared}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(podInput(t, web(`volumes: [`+c.volume+`], mounts: [{path: /v, volume: v}]`)))
			require.NoError(t, err)
			var found []render.Note
			for _, n := range out.Notes {
				if strings.Contains(n.Path, "volumes[v]") {
					found = append(found, n)
				}
			}
			if c.want == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			require.Equal(t, c.path, found[0].Path)
			require.Equal(t, "web", found[0].Component)
			require.Contains(t, found[0].Message, c.want)
		})
	}
}
