package team_test

// escape is one way for a team to get at what is not its own.
type escape struct {
	name   string
	object string
	// says is part of the refusal.
	says string
	// server: the API server refuses it too, by the team's rights, by Pod
	// Security, by its quota or by validation. The others are the guard's alone.
	server bool
}

// escapes are those of team blue, in namespace blue, beside team red.
func escapes() []escape {
	pod := func(spec string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {containers: [{name: c, image: x}], ` + spec + `}}`
	}
	container := func(fields string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {containers: [{name: c, image: x, ` + fields + `}]}}`
	}
	return []escape{
		{"a RoleBinding gives itself more", `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: x, namespace: blue}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: default, namespace: blue}]}`, "may not contain objects of kind RoleBinding", true},
		{"a Role gives more", `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: x, namespace: blue}, rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]}`, "kind Role", true},
		{"a ClusterRoleBinding", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: x}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: default, namespace: blue}]}`, "kind ClusterRoleBinding", true},
		{"a ClusterRole", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x}, rules: []}`, "kind ClusterRole", true},
		{"a namespace of its own making", `{apiVersion: v1, kind: Namespace, metadata: {name: blue-2}}`, "kind Namespace", true},
		{"its namespace without Pod Security", `{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {pod-security.kubernetes.io/enforce: privileged}}}`, "kind Namespace", true},
		{"a kind of its own", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: xs.example.com}, spec: {group: example.com, scope: Cluster, names: {plural: xs, kind: X}, versions: []}}`, "kind CustomResourceDefinition", true},
		{"a webhook that sees everything", `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: x}, webhooks: []}`, "kind MutatingWebhookConfiguration", true},
		{"a webhook that forbids everything", `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: x}, webhooks: []}`, "kind ValidatingWebhookConfiguration", true},
		{"a volume on a node's disk", `{apiVersion: v1, kind: PersistentVolume, metadata: {name: x}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /}}}`, "kind PersistentVolume", true},
		{"a priority above all", `{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: x}, value: 1000000}`, "kind PriorityClass", true},
		{"a bigger quota", `{apiVersion: v1, kind: ResourceQuota, metadata: {name: appspan-team, namespace: blue}, spec: {hard: {requests.cpu: "1000"}}}`, "kind ResourceQuota", true},
		{"another default", `{apiVersion: v1, kind: LimitRange, metadata: {name: x, namespace: blue}, spec: {limits: []}}`, "kind LimitRange", true},
		{"endpoints of the core group", `{apiVersion: v1, kind: Endpoints, metadata: {name: x, namespace: blue}, subsets: []}`, "kind Endpoints", true},
		{"another team's namespace", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: red}}`, `"red" is no namespace of team blue`, true},
		{"the cluster's namespace", `{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: kube-system}}`, `"kube-system" is no namespace`, true},
		{"the accounts of members", `{apiVersion: v1, kind: ServiceAccount, metadata: {name: x, namespace: appspan-members-test}}`, "is no namespace of team blue", true},
		{"a host path", pod(`volumes: [{name: v, hostPath: {path: /}}]`), "hostPath", true},
		{"the host's network", pod(`hostNetwork: true`), "host namespaces", true},
		{"the host's processes", pod(`hostPID: true`), "host namespaces", true},
		{"the host's memory", pod(`hostIPC: true`), "host namespaces", true},
		{"a host port", container(`ports: [{containerPort: 80, hostPort: 80}]`), "hostPort", true},
		{"a privileged container", container(`securityContext: {privileged: true}`), "privileged", true},
		{"a privileged init container", pod(`initContainers: [{name: i, image: x, securityContext: {privileged: true}}]`), "privileged", true},
		{"a capability", container(`securityContext: {capabilities: {add: [SYS_ADMIN]}}`), "capabilities", true},
		{"a host path in a template", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: blue}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}], volumes: [{name: v, hostPath: {path: /}}]}}}}`, "hostPath", false},
		{"a privileged job of a schedule", `{apiVersion: batch/v1, kind: CronJob, metadata: {name: x, namespace: blue}, spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x, securityContext: {privileged: true}}]}}}}}}`, "privileged", false},
		{"pods on every node", `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x, namespace: blue}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}}`, "every node", false},
		{"an account that others gave rights", pod(`serviceAccountName: builder`), `service account "builder" is not the application's own`, false},
		{"the same under its old name", pod(`serviceAccount: builder`), `service account "builder" is not the application's own`, false},
		{"a token that does not expire", `{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: x, namespace: blue, annotations: {kubernetes.io/service-account.name: builder}}}`, "token of a service account", false},
		{"past the scheduler", pod(`nodeName: control-plane-1`), "goes past the scheduler", false},
		{"the control plane's nodes", pod(`tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]`), "kept for the control plane", false},
		{"everybody's nodes", pod(`tolerations: [{operator: Exists}]`), "kept for the control plane or for others", false},
		{"another team's nodes", pod(`nodeSelector: {appspan.dev/team: red}`), "are not the team's", false},
		{"another team's nodes by affinity", pod(`affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: appspan.dev/team, operator: Exists}]}]}}}`), "by the team", false},
		{"the cluster's priority", pod(`priorityClassName: system-node-critical`), "cluster's own pods", false},
		{"others' connections", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {ports: [{port: 443}], externalIPs: [1.1.1.1]}}`, "CVE-2020-8554", false},
		{"a load balancer", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: LoadBalancer, ports: [{port: 80}]}}`, "load balancer", true},
		{"a node port", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: NodePort, ports: [{port: 80}]}}`, "node port", true},
		{"another team's service by name", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: ExternalName, externalName: db.red.svc.cluster.local}}`, "inside the cluster", false},
		{"the cloud's metadata", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: ExternalName, externalName: metadata.google.internal}}`, "inside the cluster or its cloud", false},
		{"another team's pods by address", `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, namespace: blue}, addressType: IPv4, endpoints: [{addresses: [10.1.2.3]}], ports: []}`, "addresses of its own choosing", false},
		{"the policy that holds the team", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: appspan-team, namespace: blue}, spec: {podSelector: {}}}`, "names that begin with appspan-team", false},
		{"a policy that opens egress", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: blue}, spec: {podSelector: {}, egress: [{}]}}`, "policies add up", false},
		{"another team's Secret in an annotation", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue, annotations: {nginx.ingress.kubernetes.io/auth-tls-secret: red/ca}}, spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}}`, `Secret of namespace "red"`, false},
		{"configuration of the ingress controller", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue, annotations: {nginx.ingress.kubernetes.io/server-snippet: x}}, spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}}`, "rights of the ingress controller", false},
		{"another team's service through a Gateway", `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x, namespace: blue}, spec: {parentRefs: [{name: g, namespace: gateways}], rules: [{backendRefs: [{name: db, namespace: red, port: 80}]}]}}`, `"red" is no namespace of the team`, false},
		{"another team's service by a route of a mesh", `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x, namespace: blue}, spec: {parentRefs: [{group: "", kind: Service, name: db, namespace: red}]}}`, `Service of namespace "red"`, false},
		{"another team's metrics", `{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: x, namespace: blue}, spec: {namespaceSelector: {any: true}, endpoints: []}}`, "metrics of other namespaces", false},
		{"the monitor's own token", `{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: x, namespace: blue}, spec: {endpoints: [{bearerTokenFile: /var/run/secrets/token}]}}`, "file of the program", false},
		{"others' credentials for scaling", `{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: x, namespace: blue}, spec: {triggers: [{authenticationRef: {name: x, kind: ClusterTriggerAuthentication}}]}}`, "is not the team's", false},
		{"a volume that others left", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x, namespace: blue}, spec: {accessModes: [ReadWriteOnce], volumeName: pv-of-red, resources: {requests: {storage: 1Gi}}}}`, "may hold the data of others", false},
		{"another team's volume as a source", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x, namespace: blue}, spec: {accessModes: [ReadWriteOnce], dataSourceRef: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: x, namespace: red}, resources: {requests: {storage: 1Gi}}}}`, `"red" is no namespace`, false},
		{"a pod that is not what it seems", `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {hostNetwork: true, containers: [{name: c, image: x}]}, Spec: {containers: []}}`, "can be read in more than one way", true},
		{"a privileged function", `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {template: {spec: {containers: [{image: x, securityContext: {privileged: true}}]}}}}`, "privileged", false},
	}
}

// harmless is an application that a team may run.
const harmless = `{apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: blue}, spec: {containers: [{name: c, image: x}]}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: blue}}
---
{apiVersion: v1, kind: Secret, metadata: {name: web, namespace: blue}, stringData: {a: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: blue}, data: {a: b}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: web, namespace: blue}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: blue}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: blue}, spec: {type: ExternalName, externalName: db.example.com}}
---
{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: blue}, spec: {type: ExternalName, externalName: web.blue.svc.cluster.local}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, namespace: blue, annotations: {nginx.ingress.kubernetes.io/auth-secret: web}}, spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web, namespace: blue}, spec: {podSelector: {}, policyTypes: [Ingress]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: blue}, spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: web, tolerations: [{key: example.com/gpu, operator: Exists}], containers: [{name: c, image: x}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: blue}, spec: {serviceName: db, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: x}]}}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: once, namespace: blue}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: often, namespace: blue}, spec: {schedule: "@daily", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}}}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web, namespace: blue}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: blue}, spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}}`
