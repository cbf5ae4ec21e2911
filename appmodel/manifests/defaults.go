package manifests

import (
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// written accounts for what servers write into objects, and for what says
// nothing.
func (o *object) written() {
	server := func(p *place) { p.settle(fidelity.Implied, "", "written by the server") }
	server(o.at("status"))
	for _, f := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		server(o.at("metadata", f))
	}
	for _, f := range []string{"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation",
		"pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller", "volume.kubernetes.io/storage-provisioner",
		"volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/selected-node"} {
		server(o.at("metadata", "annotations", f))
	}
	if o.wrapper {
		o.root.settle(fidelity.Implied, "", "a list is what it lists")
		return
	}
	if o.made != "" {
		o.root.settle(fidelity.Implied, "", o.made)
		return
	}
	if o.live() {
		o.assigned(server)
	}
	o.at("metadata", "namespace").settle(fidelity.Implied, "", "the namespace is chosen where the application is deployed")
	o.root.leaves(func(l *place) {
		if l.shape == scalar && l.value == nil {
			l.settle(fidelity.Implied, "", "null says nothing")
		}
		if l.shape != scalar && slices.Contains(hollow(), l.key) {
			l.settle(fidelity.Implied, "", "empty, it says nothing")
		}
	})
}

// live reports whether the object was read from a cluster.
func (o *object) live() bool {
	return o.at("metadata", "uid") != nil || o.at("metadata", "resourceVersion") != nil
}

// assigned accounts for what a cluster chose for an object that lived there.
func (o *object) assigned(server func(*place)) {
	switch {
	case o.is("", "Service"):
		if !o.at("spec", "clusterIP").is("None") {
			server(o.at("spec", "clusterIP"))
		}
		for _, f := range []string{"clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"} {
			server(o.at("spec", f))
		}
		for _, p := range o.at("spec", "ports").list() {
			if o.at("spec", "type").is("LoadBalancer") {
				server(p.get("nodePort"))
			}
		}
	case o.is("", "PersistentVolumeClaim"):
		server(o.at("spec", "volumeName"))
	case o.is("batch", "Job"):
		server(o.at("spec", "selector"))
		for _, labels := range []*place{o.at("metadata", "labels"), o.at("spec", "template", "metadata", "labels")} {
			for _, f := range labels.entries() {
				if ofJobs(f.key) {
					server(f)
				}
			}
		}
	}
}

// ofJobs reports whether a label is one that a cluster gives the pods of Jobs.
func ofJobs(label string) bool {
	return strings.HasSuffix(label, "controller-uid") || strings.HasSuffix(label, "job-name")
}

// maker says who makes an object that is none of the author's own; empty if
// the author does.
func (o *object) maker() string {
	for _, owner := range o.at("metadata", "ownerReferences").list() {
		if owner.get("controller").truth() {
			return "its owner makes it: " + owner.get("kind").text() + " " + owner.get("name").text()
		}
	}
	switch {
	case o.is("", "ServiceAccount") && o.name == "default", o.is("", "ConfigMap") && o.name == "kube-root-ca.crt",
		o.live() && (o.is("", "Endpoints") || o.is("discovery.k8s.io", "EndpointSlice")), o.kind == "Event":
		return "the cluster makes it"
	}
	return ""
}

// hollow are the fields that say nothing when they are empty.
func hollow() []string {
	return []string{"securityContext", "resources", "affinity", "nodeSelector", "tolerations", "env", "envFrom", "ports", "volumeMounts", "volumes",
		"labels", "annotations", "strategy", "updateStrategy", "rollingUpdate", "imagePullSecrets", "initContainers", "command", "args", "limits", "requests",
		"lifecycle", "dnsConfig", "hostAliases", "topologySpreadConstraints", "secrets", "loadBalancer", "capabilities", "add", "drop"}
}

// usual are defaults of Kubernetes 1.37 that a server writes itself: a path
// below the object, where / separates fields and * is an entry of a list, and
// the value.
func usual(o *object) [][2]string {
	var out [][2]string
	if base := o.podPath(); base != nil {
		pod := strings.Join(base, "/")
		for _, d := range [][2]string{
			{"dnsPolicy", "ClusterFirst"}, {"schedulerName", "default-scheduler"}, {"enableServiceLinks", "true"}, {"terminationGracePeriodSeconds", "30"},
			{"hostNetwork", "false"}, {"hostPID", "false"}, {"hostIPC", "false"},
			{"volumes/*/configMap/defaultMode", "420"}, {"volumes/*/secret/defaultMode", "420"}, {"volumes/*/projected/defaultMode", "420"},
			{"volumes/*/downwardAPI/defaultMode", "420"}, {"volumes/*/hostPath/type", ""},
		} {
			out = append(out, [2]string{pod + "/spec/" + d[0], d[1]})
		}
		if !o.is("batch", "Job") && !o.is("batch", "CronJob") {
			out = append(out, [2]string{pod + "/spec/restartPolicy", "Always"})
		}
		for _, list := range []string{"containers", "initContainers"} {
			at := pod + "/spec/" + list + "/*/"
			for _, d := range [][2]string{
				{"terminationMessagePath", "/dev/termination-log"}, {"terminationMessagePolicy", "File"}, {"ports/*/protocol", "TCP"},
				{"stdin", "false"}, {"stdinOnce", "false"}, {"tty", "false"}, {"env/*/valueFrom/fieldRef/apiVersion", "v1"},
				{"volumeMounts/*/readOnly", "false"}, {"lifecycle/postStart/httpGet/scheme", "HTTP"}, {"lifecycle/preStop/httpGet/scheme", "HTTP"},
			} {
				out = append(out, [2]string{at + d[0], d[1]})
			}
			for _, probe := range []string{"readinessProbe", "livenessProbe", "startupProbe"} {
				for _, d := range [][2]string{{"timeoutSeconds", "1"}, {"periodSeconds", "10"}, {"successThreshold", "1"}, {"failureThreshold", "3"},
					{"initialDelaySeconds", "0"}, {"httpGet/scheme", "HTTP"}, {"httpGet/path", "/"}, {"grpc/service", ""}} {
					out = append(out, [2]string{at + probe + "/" + d[0], d[1]})
				}
			}
		}
	}
	of := func(list ...[2]string) { out = append(out, list...) }
	switch {
	case o.is("apps", "Deployment"):
		of([2]string{"spec/replicas", "1"}, [2]string{"spec/revisionHistoryLimit", "10"}, [2]string{"spec/progressDeadlineSeconds", "600"},
			[2]string{"spec/minReadySeconds", "0"}, [2]string{"spec/paused", "false"})
	case o.is("apps", "ReplicaSet"):
		of([2]string{"spec/replicas", "1"}, [2]string{"spec/minReadySeconds", "0"})
	case o.is("apps", "StatefulSet"):
		of([2]string{"spec/replicas", "1"}, [2]string{"spec/revisionHistoryLimit", "10"}, [2]string{"spec/minReadySeconds", "0"},
			[2]string{"spec/podManagementPolicy", "OrderedReady"}, [2]string{"spec/updateStrategy/type", "RollingUpdate"},
			[2]string{"spec/updateStrategy/rollingUpdate/partition", "0"}, [2]string{"spec/persistentVolumeClaimRetentionPolicy/whenDeleted", "Retain"},
			[2]string{"spec/persistentVolumeClaimRetentionPolicy/whenScaled", "Retain"}, [2]string{"spec/volumeClaimTemplates/*/spec/volumeMode", "Filesystem"},
			[2]string{"spec/volumeClaimTemplates/*/apiVersion", "v1"}, [2]string{"spec/volumeClaimTemplates/*/kind", "PersistentVolumeClaim"})
	case o.is("apps", "DaemonSet"):
		of([2]string{"spec/revisionHistoryLimit", "10"}, [2]string{"spec/minReadySeconds", "0"}, [2]string{"spec/updateStrategy/type", "RollingUpdate"},
			[2]string{"spec/updateStrategy/rollingUpdate/maxUnavailable", "1"}, [2]string{"spec/updateStrategy/rollingUpdate/maxSurge", "0"})
	case o.is("batch", "Job"), o.is("batch", "CronJob"):
		job := "spec/"
		if o.kind == "CronJob" {
			job = "spec/jobTemplate/spec/"
			of([2]string{"spec/concurrencyPolicy", "Allow"}, [2]string{"spec/suspend", "false"},
				[2]string{"spec/successfulJobsHistoryLimit", "3"}, [2]string{"spec/failedJobsHistoryLimit", "1"})
		}
		for _, d := range [][2]string{{"completions", "1"}, {"parallelism", "1"}, {"backoffLimit", "6"}, {"completionMode", "NonIndexed"}, {"suspend", "false"},
			{"manualSelector", "false"}, {"podReplacementPolicy", "TerminatingOrFailed"}} {
			of([2]string{job + d[0], d[1]})
		}
	case o.is("", "Service"):
		of([2]string{"spec/type", "ClusterIP"}, [2]string{"spec/sessionAffinity", "None"}, [2]string{"spec/ports/*/protocol", "TCP"},
			[2]string{"spec/internalTrafficPolicy", "Cluster"}, [2]string{"spec/externalTrafficPolicy", "Cluster"},
			[2]string{"spec/allocateLoadBalancerNodePorts", "true"}, [2]string{"spec/publishNotReadyAddresses", "false"})
	case o.is("", "PersistentVolumeClaim"):
		of([2]string{"spec/volumeMode", "Filesystem"})
	case o.is("", "Secret"):
		of([2]string{"type", "Opaque"})
	case o.is("autoscaling", "HorizontalPodAutoscaler"):
		of([2]string{"spec/minReplicas", "1"})
	}
	return out
}

// defaults accounts for the leaves that say what Kubernetes assumes anyway.
func (o *object) defaults() {
	if o.aside() {
		return
	}
	known := map[string]string{}
	for _, d := range usual(o) {
		known[d[0]] = d[1]
	}
	var walk func(p *place, at string)
	walk = func(p *place, at string) {
		if p.shape == scalar {
			if v, ok := known[at]; ok && p.is(v) {
				p.settle(fidelity.Implied, "", "the default of Kubernetes")
				p.form = p.key == "enableServiceLinks" // which a server does not write into templates
			}
		}
		for _, f := range p.fields {
			if !strings.ContainsAny(f.key, "/*") {
				walk(f, strings.TrimPrefix(at+"/"+f.key, "/"))
			}
		}
		for _, i := range p.items {
			walk(i, at+"/*")
		}
	}
	walk(o.root, "")
}
