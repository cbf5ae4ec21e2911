package render_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// podInput is an application "shop" with what the tests of pods refer to; the
// text is what is added below the document.
func podInput(t *testing.T, text string) render.Input {
	t.Helper()
	doc := `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
` + text
	app, _, err := appmodel.Decode([]byte(doc), nil)
	require.NoError(t, err, doc)
	return render.Input{
		Application: app, Namespace: "ns", Installation: "i1", HashKey: []byte("key"),
		Info: driver.Info{Version: "v1.37.2", StorageClasses: []driver.StorageClass{
			{Name: "standard", Provisioner: "disk.example", Default: true}, {Name: "shared", Provisioner: "nfs.example"}}},
		Cluster:   render.ClusterRef{Name: "eu-1", Labels: map[string]string{"region": "eu"}},
		Params:    map[string]appmodel.JSON{"host": appmodel.JSON(`"shop.example"`), "workers": appmodel.JSON("3"), "key": appmodel.JSON(`"k$1"`)},
		Generated: map[string]map[string]appmodel.Sensitive{"db": {"password": appmodel.NewSensitive("pa$$word")}},
		Images:    map[string]string{"web:1": "mirror.example/web:1"},
	}
}

// podGroups are groups and parameters for tests.
const podGroups = `
parameters:
  - {name: host}
  - {name: workers}
  - {name: key, secret: true}
configs:
  - {name: site, items: [{name: TZ, value: Asia/Shanghai}, {name: url, template: "https://${param.host}"}]}
  - {name: pinned, objectName: my-config, items: [{name: a, value: b}]}
secrets:
  - {name: db, items: [{name: user, value: root}, {name: password, generate: {}}, {name: dsn, template: "${secret.db.user}:${secret.db.password}"}]}
  - {name: old, existing: old-secret}
  - {name: pinned, objectName: my-secret, items: [{name: a, value: hidden}]}
`

// find is an object of an output as decoded JSON, nil if there is none.
func find(t *testing.T, out *render.Output, object string) any {
	t.Helper()
	for _, o := range out.Objects {
		if o.Kind+"/"+o.Name == object || strings.HasSuffix(object, "*") && strings.HasPrefix(o.Kind+"/"+o.Name, strings.TrimSuffix(object, "*")) {
			var v any
			require.NoError(t, json.Unmarshal(o.JSON, &v))
			return v
		}
	}
	return nil
}

// dig follows a path of fields and indexes, separated by spaces.
func dig(v any, path string) any {
	for _, field := range strings.Fields(path) {
		switch x := v.(type) {
		case map[string]any:
			v = x[field]
		case []any:
			i, err := strconv.Atoi(field)
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// podCase says what stands somewhere in an object. An empty object is the
// Deployment of component web, and an empty want that nothing stands there.
type podCase struct {
	name, text, object, path, want string
	edit                           func(*render.Input)
}

func testPodCases(t *testing.T, cases []podCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := podInput(t, c.text)
			if c.edit != nil {
				c.edit(&in)
			}
			out, err := render.Render(in)
			require.NoError(t, err)
			object := c.object
			if object == "" {
				object = "Deployment/shop-web"
			}
			tree := find(t, out, object)
			if c.want == "" {
				require.Nil(t, dig(tree, c.path))
				return
			}
			require.NotNil(t, tree, "no %s", object)
			got, err := json.Marshal(dig(tree, c.path))
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(got))
		})
	}
}

const (
	podSpec   = "spec template spec "
	container = podSpec + "containers 0 "
)

// web is a document with one service, written as flow fields.
func web(fields string) string {
	return podGroups + "components:\n  - {id: web, kind: service, image: \"web:1\", ports: [{name: http, port: 8080}], " + fields + "}\n"
}

func kubernetes(version string) func(*render.Input) {
	return func(in *render.Input) { in.Info.Version = version }
}

func TestContainers(t *testing.T) {
	t.Parallel()
	testPodCases(t, []podCase{
		{name: "an image is taken from where it was relocated to", text: web(""), path: container + "image", want: `"mirror.example/web:1"`},
		{name: "command args directory and terminal are as written",
			text: web(`command: [run], args: ["$(A)"], workingDir: /srv, stdin: true, tty: true, security: {level: baseline}, kubernetes: {defaults: none}`), path: "spec template spec containers 0",
			want: `{"name":"web","image":"mirror.example/web:1","command":["run"],"args":["$(A)"],"workingDir":"/srv","stdin":true,"tty":true,"ports":[{"containerPort":8080,"protocol":"TCP"}]}`},
		{name: "resources keep their amounts", text: web(`resources: {requests: {cpu: 100m}, limits: {memory: 256Mi}}`), path: container + "resources",
			want: `{"requests":{"cpu":"100m"},"limits":{"memory":"256Mi"}}`},
		{name: "pull secrets are sorted names of Secrets",
			text: podGroups + "  - {name: r2, type: registry, existing: z-pull}\n  - {name: r1, type: registry, objectName: a-pull, items: [{name: server, value: r.example}, {name: username, value: u}, {name: password, value: p}]}\n" +
				"components:\n  - {id: web, kind: service, image: \"web:1\", imagePull: {policy: Always, secrets: [r2, r1]}}\n",
			path: podSpec + "imagePullSecrets", want: `[{"name":"a-pull"},{"name":"z-pull"}]`},
		{name: "a native sidecar is an init container that stays", text: web(`sidecars: [{name: log, image: log}]`), path: podSpec + "initContainers 0 restartPolicy", want: `"Always"`},
		{name: "a sidecar before 1.29 is a plain container", text: web(`sidecars: [{name: log, image: log}]`), edit: kubernetes("v1.28.9+k3s1"), path: podSpec + "containers 1 name", want: `"log"`},
		{name: "a sidecar that is not native is a plain container", text: web(`sidecars: [{name: log, image: log, native: false}]`), path: podSpec + "containers 1 restartPolicy"},
		{name: "preStop sleeps by itself from 1.30", text: web(`lifecycle: {preStop: {sleep: 5s}}`), path: container + "lifecycle preStop", want: `{"sleep":{"seconds":5}}`},
		{name: "preStop runs sleep before 1.30", text: web(`lifecycle: {preStop: {sleep: 5s}}`), edit: kubernetes("v1.29.3"), path: container + "lifecycle preStop", want: `{"exec":{"command":["sleep","5"]}}`},
		{name: "the grace period is the pod's", text: web(`lifecycle: {gracePeriod: 90s}`), path: podSpec + "terminationGracePeriodSeconds", want: `90`},
		{name: "a probe by http", text: web(`probes: {readiness: {http: {path: /ok, port: http, scheme: HTTPS, host: h, headers: [{name: A, value: b}]}, period: 5s, initialDelay: 2s}}`), path: container + "readinessProbe",
			want: `{"httpGet":{"path":"/ok","port":8080,"scheme":"HTTPS","host":"h","httpHeaders":[{"name":"A","value":"b"}]},"periodSeconds":5,"initialDelaySeconds":2}`},
		{name: "a probe by grpc", text: web(`probes: {liveness: {grpc: {port: 8080, service: health}, failureThreshold: 6, timeout: 3s}}`), path: container + "livenessProbe",
			want: `{"grpc":{"port":8080,"service":"health"},"failureThreshold":6,"timeoutSeconds":3}`},
		{name: "a probe by tcp without what Kubernetes does anyway", text: web(`probes: {startup: {tcp: {port: http}}}`), path: container + "startupProbe", want: `{"tcpSocket":{"port":8080}}`},
	})
}

func TestSecurityAndIdentity(t *testing.T) {
	t.Parallel()
	testPodCases(t, []podCase{
		{name: "restricted is what Pod Security demands of pods", text: web(""), path: podSpec + "securityContext", want: `{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}}`},
		{name: "restricted is what Pod Security demands of containers", text: web(`security: {capabilities: [NET_BIND_SERVICE], runAsUser: 7}`), path: container + "securityContext",
			want: `{"runAsUser":7,"allowPrivilegeEscalation":false,"capabilities":{"add":["NET_BIND_SERVICE"],"drop":["ALL"]}}`},
		{name: "sidecars are restricted too", text: web(`sidecars: [{name: log, image: log}]`), path: podSpec + "initContainers 0 securityContext", want: `{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}`},
		{name: "restricted has no token", text: web(""), path: podSpec + "automountServiceAccountToken", want: `false`},
		{name: "a token is mounted where it is asked for", text: web(`serviceAccount: {token: true}`), path: podSpec + "automountServiceAccountToken", want: `true`},
		{name: "baseline writes nothing for pods", text: web(`security: {level: baseline}`), path: podSpec + "securityContext"},
		{name: "baseline writes nothing for containers", text: web(`security: {level: baseline}`), path: container + "securityContext"},
		{name: "baseline says nothing of the token", text: web(`security: {level: baseline}`), path: podSpec + "automountServiceAccountToken"},
		{name: "privileged writes what is asked", text: web(`security: {level: privileged, privileged: true, allowPrivilegeEscalation: true, capabilities: [SYS_ADMIN, NET_ADMIN], seccomp: profiles/a.json, readOnlyRootFilesystem: true}`), path: container + "securityContext",
			want: `{"privileged":true,"allowPrivilegeEscalation":true,"capabilities":{"add":["NET_ADMIN","SYS_ADMIN"]},"seccompProfile":{"type":"Localhost","localhostProfile":"profiles/a.json"},"readOnlyRootFilesystem":true}`},
		{name: "groups and sysctls are the pod's", text: web(`security: {level: baseline, fsGroup: 5, supplementalGroups: [9, 8], sysctls: {net.ipv4.tcp_syncookies: "1"}}`), path: podSpec + "securityContext",
			want: `{"fsGroup":5,"supplementalGroups":[8,9],"sysctls":[{"name":"net.ipv4.tcp_syncookies","value":"1"}]}`},
		{name: "the host's network keeps the names of the cluster", text: web(`security: {level: privileged, hostNetwork: true}`), path: podSpec + "dnsPolicy", want: `"ClusterFirstWithHostNet"`},
		{name: "no variables of other Services", text: web(""), path: podSpec + "enableServiceLinks", want: `false`},
		{name: "a named service account is rendered", text: web(`serviceAccount: {name: robot, annotations: {a.example/b: c}}`), object: "ServiceAccount/robot", path: "metadata annotations", want: `{"a.example/b":"c"}`},
		{name: "a service account that exists is not rendered", text: web(`kubernetes: {names: {serviceAccount: robot}}`), object: "ServiceAccount/robot"},
		{name: "defaults none writes no security", text: web(`kubernetes: {defaults: none}, security: {runAsUser: 7}`), path: podSpec, want: `{"containers":[{"name":"web","image":"mirror.example/web:1","ports":[{"containerPort":8080,"protocol":"TCP"}],"securityContext":{"runAsUser":7}}]}`},
		{name: "defaults none writes the pinned labels alone", text: web(`kubernetes: {defaults: none, selector: {app: w}}, labels: {tier: front}`), path: "spec template metadata", want: `{"labels":{"app":"w","tier":"front"}}`},
		{name: "a pinned selector selects", text: web(`kubernetes: {selector: {app: w}}`), path: "spec selector matchLabels", want: `{"app":"w"}`},
		{name: "pinned names are used", text: web(`kubernetes: {names: {workload: old-web, container: main}}`), object: "Deployment/old-web", path: container + "name", want: `"main"`},
		{name: "annotations go to the pods", text: web(`annotations: {a.example/b: c}`), path: "spec template metadata annotations", want: `{"a.example/b":"c"}`},
	})
}

func TestScheduling(t *testing.T) {
	t.Parallel()
	const selector = `"labelSelector":{"matchLabels":{"appspan.dev/application":"shop","appspan.dev/component":"web"}}`
	testPodCases(t, []podCase{
		{name: "spread over nodes, zones and a label", text: web(`scheduling: {spread: [{over: zone, required: true, maxSkew: 2}, {over: node}, {over: rack.example/id}]}`), path: podSpec + "topologySpreadConstraints",
			want: `[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"ScheduleAnyway",` + selector + `},{"maxSkew":1,"topologyKey":"rack.example/id","whenUnsatisfiable":"ScheduleAnyway",` + selector + `},{"maxSkew":2,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule",` + selector + `}]`},
		{name: "architectures are a must", text: web(`scheduling: {architectures: [arm64, amd64]}`), path: podSpec + "affinity nodeAffinity requiredDuringSchedulingIgnoredDuringExecution nodeSelectorTerms 0 matchExpressions 0",
			want: `{"key":"kubernetes.io/arch","operator":"In","values":["amd64","arm64"]}`},
		{name: "tolerations last", text: web(`scheduling: {tolerations: [{key: a, operator: Exists, effect: NoExecute, duration: 1m}]}`), path: podSpec + "tolerations 0", want: `{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":60}`},
		{name: "nodes and priority", text: web(`scheduling: {nodeSelector: {disk: ssd}, priorityClass: high}`), path: podSpec + "nodeSelector", want: `{"disk":"ssd"}`},
	})
}
