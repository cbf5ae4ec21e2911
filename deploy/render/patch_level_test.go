package render_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// leveled renders components of all kinds and levels with patches.
func leveled(t *testing.T, patches string) (*render.Output, error) {
	t.Helper()
	app, _, err := appmodel.Decode([]byte(`apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", ports: [{name: http, port: 8080}], security: {runAsUser: 1000, readOnlyRootFilesystem: true},
     initContainers: [{name: prepare, image: "registry.example.com/web:1"}]}
  - {id: base, kind: service, image: "registry.example.com/base:1", security: {level: baseline, capabilities: [CHOWN]}}
  - {id: host, kind: service, image: "registry.example.com/host:1", security: {level: privileged}}
  - {id: bare, kind: service, image: "registry.example.com/bare:1", kubernetes: {defaults: none, selector: {app: bare}}}
  - {id: token, kind: service, image: "registry.example.com/token:1", serviceAccount: {name: caller, token: true}}
  - {id: db, kind: stateful, image: "registry.example.com/db:1"}
  - {id: agent, kind: daemon, image: "registry.example.com/agent:1"}
  - {id: once, kind: job, image: "registry.example.com/once:1"}
  - {id: nightly, kind: cron, image: "registry.example.com/nightly:1", cron: {schedule: "0 3 * * *"}}
  - {id: fn, kind: function, image: "registry.example.com/fn:1", ports: [{name: http, port: 8080}]}
patches:
`+patches), nil)
	if err != nil {
		return nil, err
	}
	return render.Render(render.Input{Application: app, Namespace: "shop", Installation: "test", HashKey: []byte("k"),
		Info: driver.Info{Version: "v1.37.2", Kinds: []driver.KindInfo{{APIVersion: "serving.knative.dev/v1", Kind: "Service", Resource: "services", Namespaced: true}}}})
}

// onPod is a patch of the pod template of a component's workload.
func onPod(component, template string) string {
	kind := map[string]string{"db": "StatefulSet", "agent": "DaemonSet", "once": "Job", "nightly": "CronJob", "fn": "Service"}[component]
	if kind == "" {
		kind = "Deployment"
	}
	spec := "{spec: {template: " + template + "}}"
	if kind == "CronJob" {
		spec = "{spec: {jobTemplate: " + spec + "}}"
	}
	return "  - {id: p, target: {kind: " + kind + ", component: " + component + "}, apply: " + spec + "}\n"
}

func TestAPatchCannotLoosenAPodTemplate(t *testing.T) {
	t.Parallel()
	const privileged, baseline, instead = "level: privileged under components[", "level: baseline under components[", "leave it out"
	for name, c := range map[string]struct{ component, template, why, next string }{
		"the host's network":                         {"web", `{spec: {hostNetwork: true}}`, "host namespaces", privileged},
		"the host's processes":                       {"base", `{spec: {hostPID: true}}`, "host namespaces", privileged},
		"the host's memory":                          {"web", `{spec: {hostIPC: true}}`, "host namespaces", privileged},
		"a host path":                                {"web", `{spec: {volumes: [{name: v, hostPath: {path: /}}]}}`, "hostPath", privileged},
		"a host path at baseline":                    {"base", `{spec: {volumes: [{name: v, hostPath: {path: /}}]}}`, "hostPath", privileged},
		"an NFS volume":                              {"web", `{spec: {volumes: [{name: v, nfs: {server: 10.0.0.1, path: /}}]}}`, "restricted volume types", baseline},
		"an iSCSI volume":                            {"db", `{spec: {volumes: [{name: v, iscsi: {targetPortal: "10.0.0.1", iqn: "iqn.2001-04.com.example:x", lun: 0}}]}}`, "restricted volume types", baseline},
		"a privileged container":                     {"web", `{spec: {containers: [{name: web, securityContext: {privileged: true}}]}}`, "privileged", privileged},
		"a privileged init container":                {"web", `{spec: {initContainers: [{name: prepare, securityContext: {privileged: true}}]}}`, "privileged", privileged},
		"a capability":                               {"web", `{spec: {containers: [{name: web, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}}`, "capabilities", privileged},
		"a capability of baseline":                   {"web", `{spec: {containers: [{name: web, securityContext: {capabilities: {add: [CHOWN]}}}]}}`, "capabilities", baseline},
		"other capabilities than were asked for":     {"base", `{spec: {containers: [{name: base, securityContext: {capabilities: {add: [CHOWN, KILL]}}}]}}`, "capabilities.add", instead},
		"dropped capabilities that come back":        {"web", `{spec: {containers: [{name: web, securityContext: {capabilities: {drop: [KILL]}}}]}}`, "capabilities.drop", instead},
		"escalation":                                 {"web", `{spec: {containers: [{name: web, securityContext: {allowPrivilegeEscalation: true}}]}}`, "allowPrivilegeEscalation", instead},
		"a writable root":                            {"web", `{spec: {containers: [{name: web, securityContext: {readOnlyRootFilesystem: false}}]}}`, "readOnlyRootFilesystem", instead},
		"another user":                               {"web", `{spec: {containers: [{name: web, securityContext: {runAsUser: 0}}]}}`, "runAsUser", instead},
		"a container as root":                        {"db", `{spec: {containers: [{name: db, securityContext: {runAsUser: 0}}]}}`, "runAsUser=0", baseline},
		"a container that may be root":               {"web", `{spec: {containers: [{name: web, securityContext: {runAsNonRoot: false}}]}}`, "runAsNonRoot", baseline},
		"a pod that may be root":                     {"web", `{spec: {securityContext: {runAsNonRoot: false}}}`, "securityContext.runAsNonRoot", instead},
		"no seccomp":                                 {"web", `{spec: {containers: [{name: web, securityContext: {seccompProfile: {type: Unconfined}}}]}}`, "seccompProfile", privileged},
		"an unmasked proc":                           {"web", `{spec: {containers: [{name: web, securityContext: {procMount: Unmasked}}]}}`, "procMount", privileged},
		"an unmasked proc in a user namespace":       {"base", `{spec: {hostUsers: false, containers: [{name: base, securityContext: {procMount: Unmasked}}]}}`, "procMount", privileged},
		"root in a user namespace":                   {"db", `{spec: {hostUsers: false, containers: [{name: db, securityContext: {runAsUser: 0}}]}}`, "runAsUser=0", baseline},
		"an unsafe sysctl":                           {"web", `{spec: {securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}}}`, "sysctls", privileged},
		"an SELinux type":                            {"web", `{spec: {containers: [{name: web, securityContext: {seLinuxOptions: {type: spc_t}}}]}}`, "seLinuxOptions", privileged},
		"a process on a Windows host":                {"web", `{spec: {securityContext: {windowsOptions: {hostProcess: true}}}}`, "hostProcess", privileged},
		"a container on a Windows host":              {"base", `{spec: {containers: [{name: base, securityContext: {windowsOptions: {hostProcess: true}}}]}}`, "hostProcess", privileged},
		"a Windows pod with an unconfined container": {"web", `{spec: {os: {name: windows}, containers: [{name: other, image: x, securityContext: {runAsNonRoot: true}}]}}`, "allowPrivilegeEscalation", baseline},
		"no AppArmor, by annotation":                 {"web", `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/web: unconfined}}}`, "AppArmor", privileged},
		"no AppArmor, by annotation, at night":       {"nightly", `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/nightly: unconfined}}}`, "AppArmor", privileged},
		"no AppArmor, by field":                      {"base", `{spec: {containers: [{name: base, securityContext: {appArmorProfile: {type: Unconfined}}}]}}`, "AppArmor", privileged},
		"a host port":                                {"web", `{spec: {containers: [{name: web, ports: [{containerPort: 8080, hostPort: 80, protocol: TCP}]}]}}`, "hostPort", privileged},
		"a probe of another host":                    {"web", `{spec: {containers: [{name: web, readinessProbe: {httpGet: {host: 169.254.169.254, path: /, port: 80}}}]}}`, "probe or lifecycle host", privileged},
		"a hook that calls another host":             {"web", `{spec: {containers: [{name: web, lifecycle: {preStop: {httpGet: {host: 10.0.0.1, path: /, port: 80}}}}]}}`, "probe or lifecycle host", privileged},
		"an unconfined container":                    {"web", `{spec: {containers: [{name: other, image: x}]}}`, `container "other"`, baseline},
		"an unconfined init container":               {"web", `{spec: {initContainers: [{name: other, image: x}]}}`, `container "other"`, baseline},
		"a privileged container at baseline":         {"base", `{spec: {containers: [{name: other, image: x, securityContext: {privileged: true}}]}}`, "privileged", privileged},
		"another service account":                    {"web", `{spec: {serviceAccountName: admin}}`, "serviceAccountName", "components[web].serviceAccount"},
		"another service account, by its old name":   {"web", `{spec: {serviceAccount: admin}}`, "serviceAccount", "components[web].serviceAccount"},
		"another one than was asked for":             {"token", `{spec: {serviceAccountName: admin}}`, "serviceAccountName", "components[token].serviceAccount"},
		"a token":                                    {"web", `{spec: {automountServiceAccountToken: true}}`, "automountServiceAccountToken", "components[web].serviceAccount"},
		"a token by a volume":                        {"web", `{spec: {volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: token}}]}}]}}`, "serviceAccountToken", "components[web].serviceAccount"},
		"a certificate of the pod":                   {"base", `{spec: {volumes: [{name: v, projected: {sources: [{podCertificate: {signerName: example.com/x, keyType: ED25519, keyPath: k}}]}}]}}`, "podCertificate", "level: privileged"},
		"a stateful one's host path":                 {"db", `{spec: {volumes: [{name: v, hostPath: {path: /}}]}}`, "hostPath", privileged},
		"a daemon's host path":                       {"agent", `{spec: {volumes: [{name: v, hostPath: {path: /}}]}}`, "hostPath", privileged},
		"a job's privileges":                         {"once", `{spec: {containers: [{name: once, securityContext: {privileged: true}}]}}`, "privileged", privileged},
		"a cron's privileges":                        {"nightly", `{spec: {containers: [{name: nightly, securityContext: {privileged: true}}]}}`, "privileged", privileged},
		"a function's privileges":                    {"fn", `{spec: {hostNetwork: true}}`, "host namespaces", privileged},
		"a function's privileges, behind another":    {"fn", `{spec: {hostNetwork: true, hostnetwork: false}}`, "host namespaces", privileged},
		"a function's privileges, behind a cron's":   {"fn", `{spec: {hostNetwork: true}}, jobTemplate: {spec: {template: {spec: {}}}}`, "host namespaces", privileged},
		"worse than unconfined":                      {"bare", `{spec: {containers: [{name: bare, securityContext: {privileged: true}}]}}`, "privileged", privileged},
		"seccomp off where nothing was said of it":   {"bare", `{spec: {containers: [{name: bare, securityContext: {seccompProfile: {type: Unconfined}}}]}}`, "seccompProfile", privileged},
		"one more that is as unconfined":             {"bare", `{spec: {containers: [{name: other, image: x}]}}`, `container "other"`, baseline},
		"a volume beside an unconfined one":          {"bare", `{spec: {volumes: [{name: v, nfs: {server: 10.0.0.1, path: /}}]}}`, "restricted volume types", baseline},
		"a label of ours on a cron's pods":           {"nightly", `{metadata: {labels: {applyset.kubernetes.io/part-of: other}}}`, "out of a patch's reach", "leave"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := leveled(t, onPod(c.component, c.template))
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, "patches[p]")
			require.ErrorContains(t, err, c.why)
			require.ErrorContains(t, err, c.next)
			require.NotContains(t, err.Error(), "\n", "one fault")
		})
	}
}

func TestAPatchCannotRemoveConfinement(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"securityContext", "securityContext.runAsNonRoot", "securityContext.seccompProfile", "automountServiceAccountToken",
		"containers[web].securityContext", "containers[web].securityContext.capabilities", "containers[web].securityContext.capabilities.drop",
		"containers[web].securityContext.readOnlyRootFilesystem", "initContainers[prepare].securityContext"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			_, err := leveled(t, `  - {id: p, target: {kind: Deployment, component: web}, remove: ["spec.template.spec.`+path+`"]}`+"\n")
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, "patches[p]")
			require.ErrorContains(t, err, "leave it out, and write what you want under components[web].")
		})
	}
}

func TestAPatchMayDoWhatTheLevelAllows(t *testing.T) {
	t.Parallel()
	const confined = `securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}`
	for name, c := range map[string]struct{ component, template, has string }{
		"a container that is confined":                 {"web", `{spec: {containers: [{name: other, image: x, ` + confined + `}]}}`, `"name":"other"`},
		"an init container that is confined":           {"fn", `{spec: {initContainers: [{name: other, image: x, ` + confined + `}]}}`, `"name":"other"`},
		"a container that the pod confines":            {"nightly", `{spec: {containers: [{name: other, image: x, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}`, `"name":"other"`},
		"a confined one beside unconfined ones":        {"bare", `{spec: {containers: [{name: other, image: x, ` + confined + `}]}}`, `"name":"other"`},
		"any container at baseline":                    {"base", `{spec: {containers: [{name: other, image: x}]}}`, `"name":"other"`},
		"an NFS volume at baseline":                    {"base", `{spec: {volumes: [{name: v, nfs: {server: 10.0.0.1, path: /}}]}}`, `"nfs"`},
		"a host path at privileged":                    {"host", `{spec: {volumes: [{name: v, hostPath: {path: /}}]}}`, `"hostPath"`},
		"a volume of memory":                           {"web", `{spec: {volumes: [{name: v, emptyDir: {medium: Memory}}]}}`, `"medium"`},
		"a capability that restricted pods may have":   {"web", `{spec: {containers: [{name: web, securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}}]}}`, `NET_BIND_SERVICE`},
		"a profile of AppArmor":                        {"web", `{spec: {securityContext: {appArmorProfile: {type: Localhost, localhostProfile: web}}}}`, `"localhostProfile"`},
		"the default profile, by annotation":           {"web", `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/web: runtime/default}}}`, `runtime/default`},
		"some confinement of what had none":            {"bare", `{spec: {securityContext: {runAsNonRoot: true}}}`, `"runAsNonRoot":true`},
		"a change of what is unconfined anyway":        {"bare", `{spec: {dnsPolicy: Default}}`, `"dnsPolicy":"Default"`},
		"a user namespace":                             {"web", `{spec: {hostUsers: false}}`, `"hostUsers":false`},
		"a runtime class":                              {"web", `{spec: {runtimeClassName: gvisor}}`, `gvisor`},
		"a token for another audience, where one is":   {"token", `{spec: {volumes: [{name: v, projected: {sources: [{serviceAccountToken: {audience: vault, path: token}}]}}]}}`, `"vault"`},
		"a token by a volume at baseline, as they are": {"base", `{spec: {volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: token}}]}}]}}`, `"serviceAccountToken"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := leveled(t, onPod(c.component, c.template))
			require.NoError(t, err)
			var all strings.Builder
			for _, o := range out.Objects {
				require.True(t, json.Valid(o.JSON))
				if o.Component == c.component {
					all.Write(o.JSON)
				}
			}
			require.Contains(t, all.String(), c.has)
		})
	}
}

func TestAPatchMayRemoveAContainer(t *testing.T) {
	t.Parallel()
	out, err := leveled(t, `  - {id: p, target: {kind: Deployment, component: web}, remove: ["spec.template.spec.initContainers[prepare]"]}`+"\n")
	require.NoError(t, err)
	for _, o := range out.Objects {
		require.NotContains(t, string(o.JSON), `"prepare"`)
	}
}
