package status_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/status"
)

func object(json string) driver.Object {
	obj, err := driver.ParseObject([]byte(json))
	if err != nil {
		fmt.Println(err)
	}
	return obj
}

func ExampleOfCluster() {
	objects := []driver.Object{
		object(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"shop-web","namespace":"shop","uid":"d","generation":1,
			"labels":{"appspan.dev/component":"web"}},"spec":{"replicas":2},
			"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2}}`),
		object(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"shop-web-1","namespace":"shop","labels":{"appspan.dev/component":"web"},
			"ownerReferences":[{"kind":"ReplicaSet","name":"shop-web-x","uid":"r","controller":true}]},
			"status":{"phase":"Pending","containerStatuses":[{"name":"main","image":"web:9","state":{"waiting":{"reason":"ImagePullBackOff","message":"not found"}}}]}}`),
		object(`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"shop-db","namespace":"shop","uid":"s","generation":1,
			"labels":{"appspan.dev/component":"db"}},"spec":{"replicas":1},
			"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1}}`),
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	eu := status.OfCluster(status.Input{Name: "eu-1", Namespace: "shop", Objects: objects, Now: now})
	us := status.Stale(status.Cluster{Name: "us-1", Namespace: "shop", Value: status.Ready, Fresh: true, ObservedAt: now.Add(-90 * time.Second)},
		now, errors.New("the cluster does not answer"))
	fmt.Print(status.Of("shop", []status.Cluster{eu, us}).Tree(nil))
	// Output:
	// shop  1 Failed, 1 Unknown
	// ├─ ✘ Failed  eu-1/shop
	// │  ├─ ✔ Ready  db  StatefulSet  1/1
	// │  └─ ✘ Failed  web  Deployment  0/2
	// │     └─ ImagePull: image web:9: not found
	// │        → check the image's name and tag; if the registry is private, add imagePull.secrets
	// └─ ? Unknown  us-1/shop  (was Ready 1m30s ago) the cluster does not answer
}
