package clustertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

type (
	runSub = func() (json.RawMessage, error)
	subs   = func(x *mutant, verb string, ref driver.Ref, sub string, body json.RawMessage, run runSub) (json.RawMessage, error)
)

// subresourceMutants say what subresources can get wrong.
func subresourceMutants() map[string]mutation {
	at := func(verb, kind, name string, do subs) mutation {
		return mutation{sub: func(x *mutant, v string, ref driver.Ref, sub string, body json.RawMessage, run runSub) (json.RawMessage, error) {
			if v == verb && is(ref, kind, name) {
				return do(x, v, ref, sub, body, run)
			}
			return run()
		}}
	}
	nothing := func(_ *mutant, _ string, _ driver.Ref, _ string, body json.RawMessage, _ runSub) (json.RawMessage, error) {
		return body, nil
	}
	err := func(change func(error) error) subs {
		return func(_ *mutant, _ string, _ driver.Ref, _ string, _ json.RawMessage, run runSub) (json.RawMessage, error) {
			data, err := run()
			return data, change(err)
		}
	}
	patched := func(manager, body string) subs {
		return func(x *mutant, _ string, ref driver.Ref, _ string, _ json.RawMessage, run runSub) (json.RawMessage, error) {
			obj, err := driver.NewObject(map[string]any{"apiVersion": ref.APIVersion, "kind": ref.Kind,
				"metadata": map[string]any{"name": ref.Name, "namespace": ref.Namespace}, "spec": json.RawMessage(body)})
			if err == nil {
				_, err = x.full.Apply(context.Background(), obj, options{Manager: manager, Force: true})
			}
			if err != nil {
				return nil, err
			}
			return run()
		}
	}
	return map[string]mutation{
		"scale shows the replicas": at("get", "Deployment", "web", func(_ *mutant, _ string, _ driver.Ref, _ string, _ json.RawMessage, _ runSub) (json.RawMessage, error) {
			return json.RawMessage(`{"kind":"Scale","spec":{}}`), nil
		}),
		"scale sets the replicas": at("update", "Deployment", "scaled", nothing),
		"scale makes another manager of the replicas": {
			sub: func(x *mutant, verb string, ref driver.Ref, sub string, body json.RawMessage, run runSub) (json.RawMessage, error) {
				if verb == "update" && ref.Kind == "StatefulSet" {
					return body, nil
				}
				return run()
			},
		},
		"scale raises the generation": seen("Deployment", "counted", generation(1)),
		"scale refuses a negative number": {sub: func(_ *mutant, _ string, _ driver.Ref, _ string, body json.RawMessage, run runSub) (json.RawMessage, error) {
			data, err := run()
			if strings.Contains(string(body), "-1") {
				return data, nil
			}
			return data, err
		}},
		"scale of what is missing is not found": at("get", "Deployment", "missing", err(func(err error) error {
			return instead(err, appspan.ErrNotFound, appspan.ErrUnsupported)
		})),
		"an update of the status sets it": at("update", "PersistentVolumeClaim", "pending", nothing),
		"an update of the status changes no spec": {sub: func(x *mutant, verb string, ref driver.Ref, sub string, body json.RawMessage, run runSub) (json.RawMessage, error) {
			if strings.Contains(string(body), "ingressClassName") {
				return patched("status", `{"ingressClassName":"other"}`)(x, verb, ref, sub, body, run)
			}
			return run()
		}},
		"an update of the status keeps the generation": seen("Ingress", "", func(o object) object {
			if has(o, "192.0.2.2") {
				o.Generation++
			}
			return o
		}),
		"a subresource that the kind does not have is unsupported": at("get", "ConfigMap", "", err(func(err error) error {
			return instead(err, appspan.ErrUnsupported, appspan.ErrNotFound)
		})),
		"an eviction removes a pod": at("create", "Pod", "", nothing),
	}
}

// view is what a mutant shows to somebody else.
type view struct {
	driver.Cluster
	get    func(context.Context, driver.Ref) (object, error)
	apply  func(context.Context, object, options) (object, error)
	remove func(context.Context, driver.Ref, driver.DeleteOptions) error
	close  func() error
}

func (v view) Get(ctx context.Context, ref driver.Ref) (object, error) {
	if v.get != nil {
		return v.get(ctx, ref)
	}
	return v.Cluster.Get(ctx, ref)
}

func (v view) Apply(ctx context.Context, obj object, opts options) (object, error) {
	if v.apply != nil {
		return v.apply(ctx, obj, opts)
	}
	return v.Cluster.Apply(ctx, obj, opts)
}

func (v view) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	if v.remove != nil {
		return v.remove(ctx, ref, opts)
	}
	return v.Cluster.Delete(ctx, ref, opts)
}

func (v view) Close() error {
	if v.close != nil {
		return v.close()
	}
	return v.Cluster.Close()
}

// identityMutants say what impersonation can get wrong.
func identityMutants() map[string]mutation {
	viewed := func(change func(x *mutant, id driver.Identity, v *view)) mutation {
		return mutation{as: func(x *mutant, id driver.Identity, inner driver.Cluster) driver.Cluster {
			v := view{Cluster: inner}
			change(x, id, &v)
			return v
		}}
	}
	denied := func(id func(driver.Identity) bool) mutation {
		return viewed(func(_ *mutant, who driver.Identity, v *view) {
			if id(who) {
				v.get = func(context.Context, driver.Ref) (object, error) { return object{}, appspan.ErrDenied }
			}
		})
	}
	reads := func(kind, name string) mutation {
		return viewed(func(x *mutant, _ driver.Identity, v *view) {
			v.get = func(ctx context.Context, ref driver.Ref) (object, error) {
				if is(ref, kind, name) {
					return x.full.Get(ctx, ref)
				}
				return v.Cluster.Get(ctx, ref)
			}
		})
	}
	return map[string]mutation{
		"an identity without a role is denied":                 reads("Secret", "hidden"),
		"an identity without a role may not write":             viewed(func(x *mutant, _ driver.Identity, v *view) { v.apply = x.full.Apply }),
		"a role allows what it says to a user":                 denied(func(id driver.Identity) bool { return strings.HasPrefix(id.User, "ct-reader") }),
		"a role may allow to read the namespace that it is in": denied(func(id driver.Identity) bool { return strings.HasPrefix(id.User, "ct-inside") }),
		"a role allows what it says to a group":                denied(func(id driver.Identity) bool { return len(id.Groups) > 0 }),
		"a role allows no more than it says":                   viewed(func(x *mutant, _ driver.Identity, v *view) { v.remove = x.full.Delete }),
		"a role counts in its namespace only":                  reads("ConfigMap", "hidden"),
		"closing a view leaves the cluster open":               viewed(func(x *mutant, _ driver.Identity, v *view) { v.close = x.full.Close }),
	}
}

// parallelMutants say what goes wrong when several write.
func parallelMutants() map[string]mutation {
	return map[string]mutation{
		"parallel applies of different objects all land": unstored("Secret", "p3"),
		"parallel applies of different fields all land": asked(func(o *object, opts *options, _ *object) {
			opts.DryRun = opts.DryRun || opts.Manager == "racer-3"
		}),
		"of parallel applies if absent one wins": asked(func(o *object, opts *options, _ *object) {
			if o.Name == "throne" && opts.IfAbsent {
				opts.IfAbsent, opts.Force = false, true
			}
		}),
		"of parallel applies onto one revision one wins": asked(func(o *object, opts *options, _ *object) {
			if o.Name == "throne" {
				opts.IfRevision = ""
			}
		}),
		"of parallel deletes of one UID one wins": undeleted(func(ref driver.Ref, err error) error {
			if ref.Name == "doomed" && errors.Is(err, appspan.ErrNotFound) {
				return nil
			}
			return err
		}),
	}
}

// workloadMutants say what clusters can get wrong about workloads.
func workloadMutants() map[string]mutation {
	pods := func(labels string, change func(object) object) mutation {
		return items("Pod", func(q driver.Query, o object) object {
			if q.Labels == labels {
				return change(o)
			}
			return o
		})
	}
	return map[string]mutation{
		"a Deployment becomes available": seen("Deployment", "", without("status", "conditions")),
		"a Deployment's observed generation follows": seen("Deployment", "", func(o object) object {
			if has(o, `"observation"`) {
				return set(o, 1, "status", "observedGeneration")
			}
			return o
		}),
		"a Deployment rolls its pods when the template changes": pods("app=web", func(o object) object { return say(o, "web:2", "web:1") }),
		"a Deployment's pods are owned through a ReplicaSet":    items("ReplicaSet", func(_ driver.Query, o object) object { return set(o, nil, "metadata", "ownerReferences") }),
		"a Deployment of no replicas has no pods": listed("Pod", func(q driver.Query, page *driver.Page) {
			if q.Labels == "app=web" && len(page.Items) == 0 {
				page.Items = []object{{JSON: []byte(`{}`)}}
			}
		}),
		"a Deployment whose pods find no node says so": pods("app=web", func(o object) object { return say(o, `"Unschedulable"`, `""`) }),
		"a pod runs on a node with an address":         pods("app=web", without("status", "podIP")),
		"a StatefulSet numbers its pods":               pods("app=data", func(o object) object { o.Name += "-x"; return o }),
		"a StatefulSet's claims are bound":             seen("PersistentVolumeClaim", "disk-data-0", with("Pending", "status", "phase")),
		"a StatefulSet leaves its claims":              seen("PersistentVolumeClaim", "disk-data-0", func(o object) object { o.Deleting = true; return o }),
		"a DaemonSet has a pod on each node": listed("Pod", func(q driver.Query, page *driver.Page) {
			if q.Labels == "app=agent" && len(page.Items) > 0 {
				page.Items = page.Items[1:]
			}
		}),
		"a Job completes":                           seen("Job", "once", func(o object) object { return say(o, `"Complete"`, `"Failed"`) }),
		"a CronJob is taken and waits":              seen("CronJob", "", without("spec", "concurrencyPolicy")),
		"a Service has its ready pods as endpoints": items("EndpointSlice", func(_ driver.Query, o object) object { return say(o, `"ready":true`, `"ready":false`) }),
		"an autoscaler is taken":                    seen("HorizontalPodAutoscaler", "", without("status", "conditions")),
		"a disruption budget counts healthy pods":   seen("PodDisruptionBudget", "web", with(0, "status", "disruptionsAllowed")),
		"a new namespace gets a service account": {get: func(ctx context.Context, x *mutant, ref driver.Ref) (object, error) {
			if is(ref, "ServiceAccount", "default") {
				return object{}, appspan.ErrNotFound
			}
			return x.full.Get(ctx, ref)
		}},
		"a claim that a pod uses is bound": seen("PersistentVolumeClaim", "disk", without("spec", "volumeName")),
		"a claim of a class that is missing waits": seen("PersistentVolumeClaim", "disk", func(o object) object {
			if has(o, "appspan-none") {
				return set(o, "Bound", "status", "phase")
			}
			return o
		}),
	}
}
