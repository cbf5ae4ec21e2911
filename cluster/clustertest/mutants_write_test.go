package clustertest_test

import (
	"context"
	"errors"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

type (
	object  = driver.Object
	options = driver.ApplyOptions
)

// changed changes what Apply returns for one object.
func changed(kind, name string, change func(object) object) mutation {
	return applied(func(obj, result object) object {
		if is(obj.Ref, kind, name) {
			return change(result)
		}
		return result
	})
}

func without(path ...any) func(object) object {
	return func(o object) object { return set(o, nil, path...) }
}

func with(value any, path ...any) func(object) object {
	return func(o object) object { return set(o, value, path...) }
}

func generation(n int64) func(object) object {
	return func(o object) object { o.Generation = n; return o }
}

// infoMutants say what Info can get wrong.
func infoMutants() map[string]mutation {
	kind := func(name string, change func(*driver.KindInfo)) mutation {
		return informed(func(info *driver.Info) {
			for i := range info.Kinds {
				if info.Kinds[i].Kind == name {
					change(&info.Kinds[i])
				}
			}
		})
	}
	return map[string]mutation{
		"info identifies the cluster by the UID of kube-system": informed(func(i *driver.Info) { i.UID = "another" }),
		"info has the server's version":                         informed(func(i *driver.Info) { i.Version = "37" }),
		"info says how a kind is called in URLs":                kind("Ingress", func(k *driver.KindInfo) { k.Resource = "ingresss" }),
		"info tells namespaced kinds from cluster-scoped ones":  kind("PersistentVolume", func(k *driver.KindInfo) { k.Namespaced = true }),
		"info has the verbs of a kind":                          kind("ConfigMap", func(k *driver.KindInfo) { k.Verbs = nil }),
		"info has every kind that applications are made of":     kind("NetworkPolicy", func(k *driver.KindInfo) { k.Kind = "Policy" }),
		"info shows storage classes":                            informed(func(i *driver.Info) { i.StorageClasses = nil }),
		"info shows ingress classes":                            informed(func(i *driver.Info) { i.IngressClasses = nil }),
		"info shows nodes and whether they take pods":           informed(func(i *driver.Info) { i.Nodes = nil }),
	}
}

// applyMutants say what Apply can get wrong.
func applyMutants() map[string]mutation {
	return map[string]mutation{
		"apply creates what is absent": unstored("ServiceAccount", "fresh"),
		"apply updates what is there": asked(func(o *object, opts *options, live *object) {
			opts.DryRun = opts.DryRun || live != nil && o.Name == "updated"
		}),
		"apply of what is so already keeps the revision": {apply: func(ctx context.Context, x *mutant, obj object, opts options) (object, error) {
			before, _ := x.full.Get(ctx, obj.Ref)
			result, err := x.full.Apply(ctx, obj, opts)
			if err == nil && before.Revision == result.Revision && !opts.DryRun {
				result.Revision += "0"
			}
			return result, err
		}},
		"apply of a change raises the revision":         changed("Secret", "secret", func(o object) object { o.Revision = "7"; return o }),
		"apply returns the object as it is stored":      changed("Service", "front", without("metadata", "managedFields")),
		"apply returns fields that agree with the JSON": changed("Deployment", "labelled", func(o object) object { o.Labels = nil; return o }),
		"apply keeps the UID of what is there":          changed("Endpoints", "", func(o object) object { o.UID += o.Revision; return o }),
		"apply makes a new UID for what comes again":    changed("LimitRange", "", func(o object) object { o.UID = "the same"; return o }),
		"apply writes cluster-scoped kinds": asked(func(o *object, opts *options, _ *object) {
			opts.DryRun = opts.DryRun || strings.HasPrefix(o.Name, "ct-priority")
		}),
		"apply shows the server's defaults": changed("Deployment", "", without("spec", "strategy")),
		"apply gives a Service an address":  changed("Service", "addressed", without("spec", "clusterIP")),
		"apply keeps the bytes of a Secret": asked(func(o *object, _ *options, _ *object) { *o = say(*o, "AP8KIsMo", "AO+/vQoi") }),
		"apply turns stringData into data":  changed("Secret", "text", with("swordfish", "stringData", "password")),
		"apply does not write the status":   changed("StatefulSet", "lying", with(7, "status", "replicas")),
		"apply in a namespace that is missing is not found": failed(func(_ object, _ options, err error) error {
			return instead(err, appspan.ErrNotFound, appspan.ErrDenied)
		}),
		"apply of a kind that is not served is unsupported": failed(func(_ object, _ options, err error) error {
			return instead(err, appspan.ErrUnsupported, appspan.ErrInvalid)
		}),
	}
}

// ownershipMutants say what server-side apply can get wrong.
func ownershipMutants() map[string]mutation {
	conflict := func(change func(*driver.ConflictError)) mutation {
		return failed(func(_ object, _ options, err error) error {
			var c *driver.ConflictError
			if errors.As(err, &c) {
				change(c)
			}
			return err
		})
	}
	return map[string]mutation{
		"apply keeps fields of other managers": changed("ConfigMap", "shared", without("data", "theirs")),
		"apply onto another manager's value is a conflict": asked(func(o *object, opts *options, _ *object) {
			opts.Force = opts.Force || o.Name == "contested"
		}),
		"a conflict names the field and its manager": conflict(func(c *driver.ConflictError) { c.Fields[0].Path = strings.TrimPrefix(c.Fields[0].Path, ".spec") }),
		"a conflict lists every field":               conflict(func(c *driver.ConflictError) { c.Fields = c.Fields[:1] }),
		"apply with force takes fields over":         changed("Service", "taken", with("None", "spec", "sessionAffinity")),
		"what was taken over belongs to the taker alone": {apply: func(ctx context.Context, x *mutant, obj object, opts options) (object, error) {
			result, err := x.full.Apply(ctx, obj, opts)
			if err == nil && opts.Force && obj.Kind == "Secret" {
				opts.Manager = "appspan-other"
				return x.full.Apply(ctx, obj, opts)
			}
			return result, err
		}},
		"apply removes what its manager applies no more": asked(func(o *object, opts *options, live *object) {
			if o.Name == "shrinking" && live != nil {
				opts.Manager, opts.Force = "another", true
			}
		}),
		"apply leaves what another manager applies too": applied(func(obj, result object) object {
			if obj.Name == "co-owned" && !has(obj, `"data"`) {
				return set(result, nil, "data")
			}
			return result
		}),
		"apply merges lists by their keys": changed("Deployment", "sidecar", func(o object) object {
			return set(o, []any{"one"}, "spec", "template", "spec", "containers")
		}),
		"apply keys container ports by port and protocol": changed("DaemonSet", "dns", func(o object) object {
			return set(o, []any{"one"}, "spec", "template", "spec", "containers", 0, "ports")
		}),
		"apply replaces atomic lists": changed("ReplicaSet", "args", func(o object) object {
			return set(o, []any{"one", "two", "three"}, "spec", "template", "spec", "containers", 0, "args")
		}),
		"apply merges finalizers as a set": changed("ConfigMap", "finalized", func(o object) object {
			return set(o, []any{"appspan.example/b"}, "metadata", "finalizers")
		}),
		"apply records the manager's operation": seen("ServiceAccount", "recorded", func(o object) object { return say(o, `"operation":"Apply"`, `"operation":"Update"`) }),
		"apply fills what a create of the same manager left": {apply: func(ctx context.Context, x *mutant, obj object, opts options) (object, error) {
			if obj.Name == "evolving" && !opts.IfAbsent {
				return object{}, &driver.ConflictError{Fields: []driver.FieldConflict{{Path: ".data.a", Manager: opts.Manager}}}
			}
			return x.full.Apply(ctx, obj, opts)
		}},
	}
}

// preconditionMutants say what the options of Apply can get wrong.
func preconditionMutants() map[string]mutation {
	return map[string]mutation{
		"apply if absent creates": unstored("ConfigMap", "first"),
		"apply if absent refuses what is there": asked(func(o *object, opts *options, _ *object) {
			if o.Name == "second" && opts.IfAbsent {
				opts.IfAbsent, opts.Force = false, true
			}
		}),
		"apply if absent records its manager": asked(func(o *object, opts *options, _ *object) {
			if opts.IfAbsent && o.Name == "managed" {
				opts.Manager = "somebody"
			}
		}),
		"apply onto the right revision writes": asked(func(_ *object, opts *options, _ *object) {
			if opts.IfRevision != "" && opts.IfUID == "" {
				opts.IfRevision = "1"
			}
		}),
		"apply onto an old revision is refused": asked(func(_ *object, opts *options, live *object) {
			if opts.IfUID == "" && live != nil {
				opts.IfRevision = ""
			}
		}),
		"apply onto a revision of nothing is refused": asked(func(_ *object, opts *options, live *object) {
			if live == nil {
				opts.IfRevision = ""
			}
		}),
		"apply onto the right UID writes": asked(func(_ *object, opts *options, _ *object) {
			if opts.IfUID != "" && opts.IfRevision == "" {
				opts.IfUID = "5ff98d8e-1b5c-4a52-9d3f-0123456789ac"
			}
		}),
		"apply onto another UID is refused": asked(func(_ *object, opts *options, live *object) {
			if live != nil && !opts.Force {
				opts.IfUID = ""
			}
		}),
		"apply onto a UID of nothing is refused": asked(func(_ *object, opts *options, live *object) {
			if live == nil {
				opts.IfUID = ""
			}
		}),
		"force does not override a precondition": asked(func(_ *object, opts *options, _ *object) {
			if opts.Force {
				opts.IfUID = ""
			}
		}),
		"a dry run creates nothing": asked(func(_ *object, opts *options, live *object) {
			opts.DryRun = opts.DryRun && (live != nil || opts.IfAbsent)
		}),
		"a dry run if absent creates nothing": asked(func(_ *object, opts *options, _ *object) { opts.DryRun = opts.DryRun && !opts.IfAbsent }),
		"a dry run changes nothing":           asked(func(_ *object, opts *options, live *object) { opts.DryRun = opts.DryRun && live == nil }),
		"a dry run returns what would be": {apply: func(ctx context.Context, x *mutant, obj object, opts options) (object, error) {
			result, err := x.full.Apply(ctx, obj, opts)
			if err == nil && opts.DryRun {
				return obj, nil
			}
			return result, err
		}},
		"a dry run validates": failed(func(_ object, opts options, err error) error {
			if opts.DryRun {
				return instead(err, appspan.ErrInvalid, nil)
			}
			return err
		}),
		"a dry run finds conflicts": asked(func(_ *object, opts *options, _ *object) { opts.Force = opts.Force || opts.DryRun && !opts.IfAbsent }),
	}
}

// validationMutants say what can be accepted although it is wrong.
func validationMutants() map[string]mutation {
	swallowedIf := func(match func(obj object, opts options) bool) mutation {
		return failed(func(obj object, opts options, err error) error {
			if match(obj, opts) {
				return nil
			}
			return err
		})
	}
	return map[string]mutation{
		"an unknown field is refused":                  swallowedIf(func(o object, opts options) bool { return has(o, "dada") && !opts.IfAbsent }),
		"an unknown field is refused also by a create": swallowedIf(func(o object, opts options) bool { return has(o, "dada") && opts.IfAbsent }),
		"a field that comes twice is refused":          swallowed("ConfigMap", `"a":"b","a":"c"`),
		"a value of the wrong type is refused":         swallowed("ConfigMap", `{"a":[1]}`),
		"a name that is none is refused":               swallowed("ConfigMap", "Not_A_Name"),
		"a label that is none is refused":              swallowed("ConfigMap", `"b c"`),
		"a negative number of replicas is refused":     swallowed("Deployment", `"replicas":-1`),
		"a selector that does not select its template is refused": swallowedIf(func(o object, _ options) bool {
			return has(o, `"labels":{"app":"other"}`) && has(o, `"matchLabels":{"app":"web"}`)
		}),
		"a container without an image is refused":                     swallowed("StatefulSet", `"containers":[{"name":"web"}]`),
		"a port that is none is refused":                              swallowed("Service", "70000"),
		"two ports of one name are refused":                           swallowed("Service", `"port":81`),
		"a schedule that is none is refused":                          swallowed("CronJob", "every night"),
		"a Job whose pods always restart is refused":                  swallowed("Job", "Always"),
		"a claim without an access mode is refused":                   swallowedIf(func(o object, _ options) bool { return o.Kind == "PersistentVolumeClaim" && !has(o, "accessModes") }),
		"a quantity that is none is refused":                          swallowed("PersistentVolumeClaim", "much"),
		"an object that is too large is refused":                      swallowedIf(func(o object, _ options) bool { return len(o.JSON) > 1<<20 }),
		"a Ref that names another namespace than the JSON is refused": swallowedIf(func(o object, _ options) bool { return !has(o, `"namespace":"`+o.Namespace+`"`) && o.Namespace != "" }),
		"a Ref that names another name than the JSON is refused":      swallowedIf(func(o object, _ options) bool { return !has(o, `"name":"`+o.Name+`"`) }),
		"the selector of a Deployment is immutable":                   swallowed("Deployment", `"matchLabels":{"app":"other"}`),
		"the template of a Job is immutable":                          swallowed("Job", "a:2"),
		"the claim templates of a StatefulSet are immutable":          swallowed("StatefulSet", "2Gi"),
		"an immutable Secret stays as it is":                          swallowed("Secret", `"immutable":true`),
		"the type of a Secret is immutable":                           swallowed("Secret", "appspan.example/other"),
		"a used-up quota is exhausted": failed(func(_ object, _ options, err error) error {
			return instead(err, appspan.ErrExhausted, appspan.ErrDenied)
		}),
		"the generation rises with the spec": applied(func(obj, result object) object {
			if obj.Kind == "Deployment" && !has(obj, "annotations") {
				result.Generation = 1
			}
			return result
		}),
		"the generation stays with labels": applied(func(obj, result object) object {
			if is(obj.Ref, "Deployment", "web") && obj.Labels["a"] == "b" {
				result.Generation++
			}
			return result
		}),
		"the generation stays with annotations": applied(func(obj, result object) object {
			if obj.Kind == "StatefulSet" && has(obj, "annotations") {
				result.Generation++
			}
			return result
		}),
		"the generation of a Deployment rises with its annotations": applied(func(obj, result object) object {
			if obj.Kind == "Deployment" && has(obj, "annotations") {
				result.Generation = 1
			}
			return result
		}),
		"a ConfigMap has no generation": changed("ConfigMap", "counted", generation(1)),
	}
}

// deleteMutants say what Delete, and what comes after it, can get wrong.
func deleteMutants() map[string]mutation {
	named := func(name string) mutation {
		return deleted(func(ref driver.Ref, _ *driver.DeleteOptions) bool { return ref.Name != name })
	}
	propagated := func(from, to driver.Propagation) mutation {
		return deleted(func(ref driver.Ref, opts *driver.DeleteOptions) bool {
			if ref.Name == "owner" && opts.Propagation == from {
				opts.Propagation = to
			}
			return true
		})
	}
	return map[string]mutation{
		"delete removes": named("done"),
		"delete of what is missing is not found": undeleted(func(ref driver.Ref, err error) error {
			if ref.Name == "missing" {
				return nil
			}
			return err
		}),
		"delete of a kind that is not served is unsupported": undeleted(func(_ driver.Ref, err error) error {
			return instead(err, appspan.ErrUnsupported, appspan.ErrNotFound)
		}),
		"delete of the right UID and revision removes": deleted(func(_ driver.Ref, opts *driver.DeleteOptions) bool {
			if opts.UID != "" && opts.Revision != "" {
				opts.Revision = "1"
			}
			return true
		}),
		"delete of another UID is refused": deleted(func(ref driver.Ref, opts *driver.DeleteOptions) bool {
			if ref.Name == "kept" {
				opts.UID = ""
			}
			return true
		}),
		"delete of an old revision is refused": deleted(func(_ driver.Ref, opts *driver.DeleteOptions) bool { opts.Revision = ""; return true }),
		"a dry run deletes nothing":            deleted(func(_ driver.Ref, opts *driver.DeleteOptions) bool { opts.DryRun = false; return true }),
		"delete waits for finalizers":          seen("ConfigMap", "held", func(o object) object { o.Deleting = false; return o }),
		"the last finalizer lets an object go": unseen(func(ref driver.Ref, err error) error {
			if is(ref, "Secret", "held") {
				return nil
			}
			return err
		}),
		"delete of a cluster-scoped object removes it": deleted(func(ref driver.Ref, _ *driver.DeleteOptions) bool {
			return !strings.HasPrefix(ref.Name, "ct-doomed")
		}),
		"what an object owned goes after it":                    propagated(driver.Background, driver.Orphan),
		"what an object owned goes before it in the foreground": propagated(driver.Foreground, driver.Background),
		"what an orphaning delete leaves has no owner":          propagated(driver.Orphan, driver.Background),
		"a deleted namespace takes its content along": unseen(func(ref driver.Ref, err error) error {
			if ref.Name == "content" {
				return nil
			}
			return err
		}),
		"a namespace that is going takes nothing new": failed(func(o object, _ options, err error) error {
			if o.Name == "late" {
				return instead(err, appspan.ErrDenied, appspan.ErrInvalid)
			}
			return err
		}),
	}
}
