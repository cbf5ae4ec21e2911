package fidelity_test

import (
	"fmt"

	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

func ExampleReport() {
	report := &fidelity.Report{Leaves: []fidelity.Leaf{
		{File: "shop.yaml", Path: "Deployment[web].spec.replicas", Line: 7, Status: fidelity.Mapped, To: "components[web].scale.replicas"},
		{File: "shop.yaml", Path: "Deployment[web].spec.paused", Line: 8, Status: fidelity.Raw, To: "patches[web]", Why: "no field says it"},
		{File: "shop.yaml", Path: "Deployment[web].spec.replica", Line: 9, Status: fidelity.Unsupported, Why: "Kubernetes does not know it"},
	}, Notes: []string{"names of objects are kept"}}
	fmt.Printf("%.2f mapped, %.2f kept\n", report.Fidelity(), report.Kept())
	fmt.Print(report)
	// Output:
	// 0.33 mapped, 0.67 kept
	// 3 leaves: 1 mapped, 0 implied, 1 raw, 0 degraded, 1 unsupported (67 % kept)
	// shop.yaml:9: Deployment[web].spec.replica: unsupported: Kubernetes does not know it
	// note: names of objects are kept
}
