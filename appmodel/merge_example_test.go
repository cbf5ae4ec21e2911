package appmodel_test

import (
	"fmt"

	"github.com/appspan-dev/appspan/appmodel"
)

// shop is a small application with one component.
func shop(image, zone string) *appmodel.Application {
	return &appmodel.Application{
		APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "shop"},
		Parameters: []appmodel.Parameter{{Name: "zone", Sets: []string{"components[web].env[TZ].value"}}},
		Components: []appmodel.Component{{ID: "web", Kind: appmodel.KindService, Container: appmodel.Container{
			Image: image, Env: []appmodel.Env{{Name: "TZ", Value: zone}},
		}}},
	}
}

func ExampleDiff() {
	o, err := appmodel.Diff(shop("web:1", "UTC"), shop("web:2", "UTC"))
	fmt.Println(o.Set, o.Remove, err)
	// Output: {"components":[{"id":"web","image":"web:2"}]} [] <nil>
}

func ExampleChanges() {
	for _, c := range appmodel.Changes(shop("web:1", "UTC"), shop("web:2", "UTC")) {
		fmt.Println(c.Path, c.Kind, c.Old, c.New)
	}
	// Output: components[web].image changed "web:1" "web:2"
}

func ExampleMerge() {
	r, err := appmodel.Merge(shop("web:1", "UTC"), shop("web:1", "Asia/Shanghai"), shop("web:2", "Europe/Berlin"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Application.Components[0].Image)
	for _, c := range r.Conflicts {
		fmt.Println(c.Path, c.Reason, c.Base, c.Ours, c.Theirs, c.Default)
	}
	// Output:
	// web:2
	// components[web].env[TZ].value bothChanged "UTC" "Asia/Shanghai" "Europe/Berlin" ours
}

func ExampleApply() {
	o := &appmodel.Override{Metadata: appmodel.Metadata{Name: "production"}, Set: &appmodel.OverrideSet{
		JSON: appmodel.JSON(`{"components": [{"id": "web", "scale": {"replicas": 4}}]}`)},
		Remove: []string{"components[web].scale.auto"}}
	a, faults, err := appmodel.Apply(shop("web:1", "UTC"), o)
	fmt.Println(*a.Components[0].Scale.Replicas, err)
	fmt.Println(faults[0])
	_, _, err = appmodel.Apply(a, &appmodel.Override{Set: &appmodel.OverrideSet{JSON: appmodel.JSON(`{"components": [{"id": "web", "scale": {"replicsa": 4}}]}`)}})
	fmt.Println(err)
	// Output:
	// 4 <nil>
	// production: warning: remove: components[web].scale.auto is not there; leave the line out
	// invalid: components[web].scale: there is no field "replicsa"; did you mean "replicas"?
}

func ExampleResolve() {
	a, params, err := appmodel.Resolve(shop("web:1", "UTC"), map[string]appmodel.JSON{"zone": appmodel.JSON(`"Asia/Shanghai"`)})
	fmt.Println(a.Components[0].Env[0].Value, params["zone"], err)
	_, _, err = appmodel.Resolve(shop("web:1", "UTC"), map[string]appmodel.JSON{"zoen": appmodel.JSON(`"UTC"`)})
	fmt.Println(err)
	// Output:
	// Asia/Shanghai "Asia/Shanghai" <nil>
	// invalid: answers: there is no parameter "zoen"; did you mean "zone"?
}
