package render_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
	sjson "sigs.k8s.io/json"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

const (
	variations = 20 // generated applications
	shuffles   = 50
)

// inputs are the shop and generated applications on every cluster.
func inputs(t *testing.T) map[string]render.Input {
	t.Helper()
	all := map[string]render.Input{}
	for name, info := range clusters(t) {
		shop := input(t, shopFile, info)
		all["the shop on "+name] = shop
		for seed := range uint64(variations) {
			in := shop
			in.Application, in.Bindings = generated(rand.New(rand.NewPCG(seed, 7))), nil
			in.Generated = map[string]map[string]appmodel.Sensitive{"keys": {"made": appmodel.NewSensitive(generatedValue)}}
			all[fmt.Sprintf("application %d on %s", seed, name)] = in
		}
	}
	return all
}

// generated is a valid application with names of all lengths.
func generated(r *rand.Rand) *appmodel.Application {
	chance := func() bool { return r.IntN(2) == 0 }
	name := func(stem string) string { return stem + strings.Repeat("x", r.IntN(41-len(stem))) }
	user, group := int64(1000), int64(2000)
	a := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: name("app")},
		Configs: []appmodel.Config{{Name: "site", Items: []appmodel.Item{{Name: "TZ", Value: "UTC"}, {Name: "app.conf", Value: "a=b"}}}},
		Secrets: []appmodel.Secret{{Name: "keys", Items: []appmodel.SecretItem{{Name: "made", Generate: &appmodel.Generate{Length: 16}},
			{Name: "typed", Value: appmodel.NewSensitive("an-answer-that-is-long")}}}},
		Volumes: []appmodel.Volume{{Name: name("shared"), Kind: appmodel.VolumePersistent, Size: "1Gi", AccessMode: "ReadWriteMany"}}}
	kinds := []appmodel.ComponentKind{appmodel.KindService, appmodel.KindStateful, appmodel.KindDaemon, appmodel.KindJob, appmodel.KindCron, appmodel.KindFunction}
	for i := range 2 + r.IntN(6) {
		c := appmodel.Component{ID: name(fmt.Sprintf("c%d", i)), Kind: kinds[r.IntN(len(kinds))]}
		c.Image = "registry.example.com/app:1"
		c.Env = []appmodel.Env{{Name: "PLAIN", Value: "v"}, {Name: "TZ", ValueFrom: &appmodel.ValueFrom{Config: &appmodel.ItemRef{Name: "site", Item: "TZ"}}},
			{Name: "KEY", Template: "${secret.keys.made}"}, {Name: "URL", Template: "https://me:${secret.keys.typed}@host"}}
		c.Files = []appmodel.File{{Path: "/etc/plain", Content: "plain"}, {Path: "/etc/conf", Config: &appmodel.ItemRef{Name: "site", Item: "app.conf"}},
			{Path: "/etc/mixed", Template: "key=${secret.keys.made}"}, {Path: "/etc/key", Secret: &appmodel.ItemRef{Name: "keys", Item: "typed"}}}
		c.Volumes = []appmodel.Volume{{Name: name("tmp"), Kind: appmodel.VolumeEphemeral}}
		c.Mounts = []appmodel.Mount{{Path: "/tmp", Volume: c.Volumes[0].Name}, {Path: "/shared", Volume: a.Volumes[0].Name}}
		c.Security = &appmodel.Security{RunAsUser: &user}
		if chance() {
			c.Security.FSGroup = &group
		}
		if i > 1 { // what others provide, in the order of the needs that ask for it
			one, two := "ONE_", "TWO_"
			c.Needs = []appmodel.Need{{Name: "two", Component: a.Components[0].ID, Prefix: &two}, {Name: "one", Component: a.Components[1].ID, Prefix: &one}}
			for k := range c.Needs {
				if len(a.Components[k].Ports) > 0 {
					c.Needs[k].Port = "http"
				}
			}
		}
		c.Provides = []appmodel.Item{{Name: "token", Template: "${secret.keys.typed}"}, {Name: "user", Value: "u"}}
		if chance() && c.Kind == appmodel.KindStateful {
			c.Volumes = append(c.Volumes, appmodel.Volume{Name: "data", Kind: appmodel.VolumePersistent, Size: "1Gi"})
			c.Mounts = append(c.Mounts, appmodel.Mount{Path: "/data", Volume: "data"})
		}
		if c.Kind != appmodel.KindJob && c.Kind != appmodel.KindCron && (chance() || c.Kind == appmodel.KindFunction) {
			c.Ports = []appmodel.Port{{Name: "http", Port: 8080, Access: appmodel.AccessAny}}
			c.Probes = &appmodel.Probes{Readiness: &appmodel.Probe{HTTP: &appmodel.HTTPCheck{Port: "http"}}}
			if chance() && c.Kind != appmodel.KindFunction {
				c.Monitors = []appmodel.Monitor{{Port: "http", Path: "/b"}, {Port: "http", Path: "/a"}}
				c.Ports = append(c.Ports, appmodel.Port{Port: 53, Protocol: appmodel.UDP}, appmodel.Port{Port: 53})
			}
			if c.Kind != appmodel.KindDaemon && chance() {
				c.Aliases = []string{fmt.Sprintf("alias-%d", i)}
				a.Routes = append(a.Routes, appmodel.Route{ID: name(fmt.Sprintf("r%d", i)), HTTP: &appmodel.HTTPRoute{Hosts: []string{fmt.Sprintf("h%d.example.com", i)},
					TLS: &appmodel.RouteTLS{Issuer: "public"}, Rules: []appmodel.HTTPRule{{Path: "/", To: []appmodel.Backend{{Component: c.ID, Port: "http"}}},
						{Path: "/a", Rewrite: &appmodel.Rewrite{Prefix: "/"}, To: []appmodel.Backend{{Component: c.ID, Port: "http"}}}}}})
			}
		}
		if chance() {
			c.Sidecars = []appmodel.NamedContainer{{Name: name("side"), Container: appmodel.Container{Image: "side:1", Mounts: c.Mounts[:1]}}}
			c.InitContainers = []appmodel.NamedContainer{{Name: name("init"), Container: appmodel.Container{Image: "init:1", Env: c.Env}}}
		}
		if chance() {
			c.ServiceAccount = &appmodel.ServiceAccount{Annotations: map[string]string{"example.com/role": "r"}, Token: chance()}
		}
		switch n := 2 + r.IntN(3); c.Kind {
		case appmodel.KindCron:
			c.Cron = &appmodel.Cron{Schedule: "0 3 * * *"}
		case appmodel.KindService, appmodel.KindStateful:
			c.Scale = &appmodel.Scale{Replicas: &n}
			if chance() {
				c.Scale = &appmodel.Scale{Auto: &appmodel.AutoScale{Min: &n, Max: 9, Metrics: []appmodel.Metric{
					{CPU: &appmodel.ResourceMetric{Utilization: 70}}, {Memory: &appmodel.ResourceMetric{Average: "1Gi"}}, {Custom: &appmodel.CustomMetric{Metric: "m", Target: "5"}}}}}
				c.Resources = &appmodel.Resources{Requests: map[string]appmodel.Quantity{"cpu": "100m", "memory": "1Gi"}}
			}
		}
		a.Components = append(a.Components, c)
	}
	return a
}

// typed is the empty object of a built-in kind, or nil.
func typed(r driver.Ref) any {
	o, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(r.APIVersion, r.Kind))
	if err != nil {
		return nil
	}
	return o
}

// template is the pod template of a workload and the selector by which it
// finds its pods, or nil.
func template(t *testing.T, o render.Object) (*corev1.PodTemplateSpec, *metav1.LabelSelector) {
	t.Helper()
	type spec struct {
		Template *corev1.PodTemplateSpec
		Selector json.RawMessage
	}
	var w struct {
		Spec struct {
			spec
			JobTemplate struct{ Spec spec }
		}
	}
	if typed(o.Ref) == nil && o.APIVersion != "serving.knative.dev/v1" {
		return nil, nil
	}
	require.NoError(t, json.Unmarshal(o.JSON, &w))
	if w.Spec.Template == nil {
		return w.Spec.JobTemplate.Spec.Template, nil
	}
	if w.Spec.Selector == nil {
		return w.Spec.Template, nil
	}
	selector := &metav1.LabelSelector{}
	require.NoError(t, json.Unmarshal(w.Spec.Selector, selector))
	return w.Spec.Template, selector
}

func TestEveryRenderedObjectIsSound(t *testing.T) {
	t.Parallel()
	for name, in := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(in)
			require.NoError(t, err)
			seen := map[driver.Ref]bool{}
			for _, o := range out.Objects {
				require.False(t, seen[o.Ref], "%s is there twice", o.Ref)
				seen[o.Ref] = true
				soundNames(t, o)
				if object := typed(o.Ref); object != nil {
					unknown, err := sjson.UnmarshalStrict(o.JSON, object)
					require.NoError(t, err, o.Ref)
					require.Empty(t, unknown, o.Ref)
				}
			}
			soundPods(t, in, out)
			soundServices(t, out)
			nothingLeaks(t, out)
		})
	}
}

// soundNames looks at what an API server refuses of names and labels.
func soundNames(t *testing.T, o render.Object) {
	t.Helper()
	valid := apivalidation.NameIsDNSSubdomain
	switch o.Kind {
	case "Service":
		valid = apivalidation.NameIsDNS1035Label
	case "Deployment", "DaemonSet", "Job":
		valid = apivalidation.NameIsDNSLabel // pods carry it in labels, and in their host names
	case "StatefulSet", "CronJob":
		valid = apivalidation.NameIsDNSLabel
		require.LessOrEqual(t, len(o.Name), 52, "%s leaves no room for what Kubernetes appends", o.Ref)
	}
	require.Empty(t, valid(o.Name, false), o.Ref)
	require.Equal(t, "ns", o.Namespace, o.Ref)
	require.Empty(t, metavalidation.ValidateLabels(o.Labels, field.NewPath("labels")), o.Ref)
	var m metav1.PartialObjectMetadata
	require.NoError(t, json.Unmarshal(o.JSON, &m))
	require.Empty(t, apivalidation.ValidateAnnotations(m.Annotations, field.NewPath("annotations")), o.Ref)
}

// soundPods looks at what pods refer to.
func soundPods(t *testing.T, in render.Input, out *render.Output) {
	t.Helper()
	keys := map[string]bool{} // kind/name and kind/name/key of what is rendered
	for _, o := range out.Objects {
		var d struct{ Data map[string]string }
		keys[o.Kind+"/"+o.Name] = true
		if o.Kind == "Secret" || o.Kind == "ConfigMap" {
			require.NoError(t, json.Unmarshal(o.JSON, &d))
			for k := range d.Data {
				keys[o.Kind+"/"+o.Name+"/"+k] = true
			}
		}
	}
	for _, o := range out.Objects {
		pod, selector := template(t, o)
		if pod == nil {
			continue
		}
		require.Empty(t, metavalidation.ValidateLabels(pod.Labels, field.NewPath("labels")), o.Ref)
		if selector != nil {
			s, err := metav1.LabelSelectorAsSelector(selector)
			require.NoError(t, err)
			require.False(t, s.Empty(), o.Ref)
			require.True(t, s.Matches(labels.Set(pod.Labels)), "%s does not find its own pods", o.Ref)
		}
		volumes := map[string]bool{}
		var claims struct {
			Spec struct {
				VolumeClaimTemplates []corev1.PersistentVolumeClaim
			}
		}
		require.NoError(t, json.Unmarshal(o.JSON, &claims))
		for _, c := range claims.Spec.VolumeClaimTemplates {
			volumes[c.Name] = true
		}
		for _, v := range pod.Spec.Volumes {
			require.False(t, volumes[v.Name], "%s has volume %s twice", o.Ref, v.Name)
			volumes[v.Name] = true
			require.Empty(t, validation.IsDNS1123Label(v.Name), o.Ref)
			if v.PersistentVolumeClaim != nil {
				require.True(t, keys["PersistentVolumeClaim/"+v.PersistentVolumeClaim.ClaimName], "%s: %s", o.Ref, v.Name)
			}
			if v.Projected != nil {
				for _, s := range v.Projected.Sources {
					if s.ConfigMap != nil {
						for _, i := range s.ConfigMap.Items {
							require.True(t, keys["ConfigMap/"+s.ConfigMap.Name+"/"+i.Key], "%s: %s", o.Ref, i.Key)
						}
					}
					if s.Secret != nil {
						for _, i := range s.Secret.Items {
							require.True(t, keys["Secret/"+s.Secret.Name+"/"+i.Key], "%s: %s", o.Ref, i.Key)
						}
					}
				}
			}
		}
		if account := pod.Spec.ServiceAccountName; account != "" {
			require.True(t, keys["ServiceAccount/"+account], o.Ref)
		}
		names := map[string]bool{}
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			require.False(t, names[c.Name], "%s has container %s twice", o.Ref, c.Name)
			names[c.Name] = true
			require.Empty(t, validation.IsDNS1123Label(c.Name), o.Ref)
			paths := map[string]bool{}
			for _, m := range c.VolumeMounts {
				require.True(t, volumes[m.Name], "%s mounts %s, which is no volume", o.Ref, m.Name)
				require.False(t, paths[m.MountPath], "%s mounts %s twice", o.Ref, m.MountPath)
				paths[m.MountPath] = true
			}
			variables := map[string]bool{}
			for _, e := range c.Env {
				require.False(t, variables[e.Name], "%s sets %s twice", o.Ref, e.Name)
				variables[e.Name] = true
				if e.ValueFrom == nil {
					continue
				}
				if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
					require.True(t, keys["ConfigMap/"+r.Name+"/"+r.Key], "%s: %s", o.Ref, e.Name)
				}
				if r := e.ValueFrom.SecretKeyRef; r != nil {
					require.True(t, keys["Secret/"+r.Name+"/"+r.Key], "%s: %s", o.Ref, e.Name)
				}
			}
			for _, e := range c.EnvFrom {
				if e.ConfigMapRef != nil {
					require.True(t, keys["ConfigMap/"+e.ConfigMapRef.Name], o.Ref)
				}
			}
		}
	}
}

// soundServices looks for the pods and the ports behind each Service.
func soundServices(t *testing.T, out *render.Output) {
	t.Helper()
	for _, o := range out.Objects {
		if o.Kind != "Service" || o.APIVersion != "v1" {
			continue
		}
		var s corev1.Service
		require.NoError(t, json.Unmarshal(o.JSON, &s))
		if len(s.Spec.Selector) == 0 {
			require.Equal(t, corev1.ServiceTypeExternalName, s.Spec.Type, o.Ref)
			continue
		}
		found, names := false, map[string]bool{}
		for _, w := range out.Objects {
			pod, _ := template(t, w)
			if pod == nil || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
				continue
			}
			found = true
			for _, p := range s.Spec.Ports {
				var listens bool
				for _, c := range pod.Spec.Containers {
					for _, cp := range c.Ports {
						listens = listens || cp.ContainerPort == p.TargetPort.IntVal && cp.Protocol == p.Protocol
					}
				}
				require.True(t, listens, "%s leads to port %s, where nothing listens", o.Ref, p.TargetPort.String())
			}
		}
		require.True(t, found, "%s leads to no pods", o.Ref)
		for _, p := range s.Spec.Ports {
			require.False(t, names[p.Name], "%s has port %s twice", o.Ref, p.Name)
			names[p.Name] = true
			require.Empty(t, validation.IsDNS1123Label(p.Name), o.Ref)
		}
	}
}

// nothingLeaks looks for secret values where they have no place.
func nothingLeaks(t *testing.T, out *render.Output) {
	t.Helper()
	for _, secret := range []string{generatedValue, "an-answer-that-is-long", "correct-horse"} {
		for _, spelling := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
			for _, n := range out.Notes {
				require.NotContains(t, n.Path+n.Message, spelling)
			}
			for _, o := range out.Objects {
				var tree map[string]any
				require.NoError(t, json.Unmarshal(o.JSON, &tree))
				if o.Kind == "Secret" {
					require.True(t, o.Sensitive, o.Ref)
					delete(tree, "data")
				}
				rest, err := json.Marshal(tree)
				require.NoError(t, err)
				require.NotContains(t, string(rest), spelling, o.Ref)
			}
		}
	}
}

func TestTheSameInputIsTheSameOutputInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, in := range inputs(t) {
		if !strings.HasPrefix(name, "the shop") && !strings.HasPrefix(name, "application 15 ") && !strings.HasPrefix(name, "application 19 ") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := render.Render(in)
			require.NoError(t, err)
			for seed := range uint64(shuffles) {
				again := in
				again.Application = appmodel.Clone(in.Application)
				shuffle(rand.New(rand.NewPCG(seed, 3)), reflect.ValueOf(again.Application), "")
				require.NotEqual(t, in.Application, again.Application, "nothing was shuffled")
				got, err := render.Render(again)
				require.NoError(t, err)
				require.Equal(t, want.Notes, got.Notes)
				require.Equal(t, want.Services, got.Services)
				require.Len(t, got.Objects, len(want.Objects))
				for i := range want.Objects {
					require.Equal(t, string(want.Objects[i].JSON), string(got.Objects[i].JSON), want.Objects[i].Ref)
				}
			}
		})
	}
}

// shuffle puts every list whose merge tag says that its order has no meaning
// into another order.
func shuffle(r *rand.Rand, v reflect.Value, tag reflect.StructTag) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			shuffle(r, v.Elem(), "")
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				shuffle(r, v.Field(i), f.Tag)
			}
		}
	case reflect.Slice:
		merge := tag.Get("merge")
		if merge == "set" || strings.HasPrefix(merge, "key=") && !strings.Contains(merge, "ordered") {
			swap := reflect.Swapper(v.Interface())
			r.Shuffle(v.Len(), swap)
		}
		for i := range v.Len() {
			shuffle(r, v.Index(i), "")
		}
	}
}

func TestReplicasOfAStatefulComponentMayConnectToEachOther(t *testing.T) {
	t.Parallel()
	for access, others := range map[appmodel.Access]int{appmodel.AccessNone: 0, appmodel.AccessNeeds: 1} {
		a := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "a"}, Components: []appmodel.Component{
			{ID: "etcd", Kind: appmodel.KindStateful, Container: appmodel.Container{Image: "etcd:1"}, Ports: []appmodel.Port{{Port: 2380, Access: access}}},
			{ID: "web", Kind: appmodel.KindService, Container: appmodel.Container{Image: "web:1"}, Needs: []appmodel.Need{{Component: "etcd"}}}}}
		out, err := render.Render(render.Input{Application: a, Namespace: "ns", Installation: "test", Info: kinds(t)})
		require.NoError(t, err)
		for _, o := range out.Objects {
			if o.Kind != "NetworkPolicy" || o.Component != "etcd" {
				continue
			}
			var p netv1.NetworkPolicy
			require.NoError(t, json.Unmarshal(o.JSON, &p))
			require.Len(t, p.Spec.Ingress, 1)
			require.Len(t, p.Spec.Ingress[0].From, 1+others)
			require.Equal(t, p.Spec.PodSelector, *p.Spec.Ingress[0].From[0].PodSelector)
		}
	}
}

func TestAHookThatSleepsLongerThanPodsMayTakeToEndIsAnError(t *testing.T) {
	t.Parallel()
	for grace, refused := range map[time.Duration]bool{30 * time.Second: true, 2 * time.Minute: false} {
		c := appmodel.Component{ID: "web", Kind: appmodel.KindService, Container: appmodel.Container{Image: "web:1",
			Lifecycle: &appmodel.Lifecycle{GracePeriod: appmodel.Duration(grace), PreStop: &appmodel.Handler{Sleep: appmodel.Duration(time.Minute)}}}}
		a := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "a"}, Components: []appmodel.Component{c}}
		_, err := render.Render(render.Input{Application: a, Namespace: "ns", Installation: "test", Info: kinds(t)})
		if !refused {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, appspan.ErrInvalid)
		require.ErrorContains(t, err, "components[web].lifecycle.preStop: sleeps 1m")
	}
}
