package team_test

import (
	"context"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func ExampleNew() {
	ctx := context.Background()
	clusters, err := cluster.NewSet(cluster.New("eu-1", fake.New(nil), nil))
	if err != nil {
		panic(err)
	}
	defer clusters.Close()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	teams, err := team.New(records, clusters, &team.Options{Installation: "acme", Authorizer: appspan.AllowAll{}})
	if err != nil {
		panic(err)
	}
	if _, err := teams.Create(ctx, team.Team{ID: "blue", Quota: cluster.Amounts{"cpu": "10"}}); err != nil {
		panic(err)
	}
	if _, _, err := teams.Allocate(ctx, "blue", "eu-1", team.Allocation{}); err != nil {
		panic(err)
	}
	plan, err := teams.Reconcile(ctx, "blue")
	if err != nil {
		panic(err)
	}
	fmt.Print(plan)
	// Output:
	// eu-1: create Namespace blue
	// eu-1: create ResourceQuota blue/appspan-team
	// eu-1: create LimitRange blue/appspan-team
	// eu-1: create NetworkPolicy blue/appspan-team
	// eu-1: create Role blue/appspan-team
	// eu-1: create RoleBinding blue/appspan-team
}

func ExampleNewLedger() {
	ctx := context.Background()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	clusters, _ := cluster.NewSet()
	teams, err := team.New(records, clusters, &team.Options{Installation: "acme", Authorizer: appspan.AllowAll{}})
	if err != nil {
		panic(err)
	}
	here := team.Allocation{Namespaces: []team.Namespace{{Name: "blue"}}}
	if _, err := teams.Create(ctx, team.Team{ID: "blue", Quota: cluster.Amounts{"cpu": "10"},
		Clusters: map[string]team.Allocation{"eu-1": here, "us-1": here}}); err != nil {
		panic(err)
	}
	ledger := team.NewLedger(records)
	fmt.Println(ledger.Reserve(ctx, "blue", "blue/shop", "eu-1", cluster.Amounts{"cpu": "7"}))
	fmt.Println(ledger.Reserve(ctx, "blue", "blue/shop", "us-1", cluster.Amounts{"cpu": "7"}))
	// Output:
	// <nil>
	// team blue: exhausted: the quota of cpu over all clusters is 10, of which 3 is free, and 7 is asked for; remove or scale down what is not needed, or have the quota raised
}

func ExampleNewGate() {
	ctx := context.Background()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	clusters, _ := cluster.NewSet()
	teams, err := team.New(records, clusters, &team.Options{Installation: "acme", Authorizer: appspan.AllowAll{}})
	if err != nil {
		panic(err)
	}
	if _, err := teams.Create(ctx, team.Team{ID: "blue", Quota: cluster.Amounts{"cpu": "10"},
		Clusters: map[string]team.Allocation{"eu-1": {Namespaces: []team.Namespace{{Name: "blue"}}}}}); err != nil {
		panic(err)
	}
	object, err := driver.ParseObject([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"blue"},
		"spec":{"replicas":3,"template":{"spec":{"containers":[{"name":"web","image":"web:1","resources":{"requests":{"cpu":"2"}}}]}}}}`))
	if err != nil {
		panic(err)
	}
	gate := team.NewGate(records)
	if err := gate.Admit(ctx, "blue", "blue/web", "eu-1", 3, []driver.Object{object}); err != nil {
		panic(err)
	}
	usage, err := teams.Usage(ctx, "blue")
	fmt.Println(usage.Reserved["cpu"], "of", usage.Quota["cpu"], err)
	fmt.Println(gate.Admit(ctx, "blue", "blue/other", "eu-1", 3, []driver.Object{object}))
	// Output:
	// 6 of 10 <nil>
	// team blue: exhausted: the quota of cpu over all clusters is 10, of which 4 is free, and 6 is asked for; remove or scale down what is not needed, or have the quota raised
}

func ExampleNewAuthorizer() {
	records := storage.NewRecords(memstore.NewRecords(), nil)
	authorizer := team.NewAuthorizer(records, &team.AuthorizerOptions{Operators: []string{"root"}})
	access := appspan.Access{Verb: appspan.VerbCreate, Resource: "team", Team: "blue"}
	fmt.Println(authorizer.Authorize(context.Background(), appspan.Subject{ID: "root"}, access))
	fmt.Println(authorizer.Authorize(context.Background(), appspan.Subject{ID: "eve"}, access))
	// Output:
	// <nil>
	// eve may not create team: denied: it is no member of team "blue"; ask an admin of the team
}

func ExampleNewAudit() {
	ctx := context.Background()
	audit := team.NewAudit(storage.NewRecords(memstore.NewRecords(), nil), nil)
	if err := audit.Audit(ctx, appspan.AuditEntry{Subject: appspan.Subject{ID: "ada"}, Outcome: "ok",
		Access: appspan.Access{Verb: appspan.VerbDeploy, Resource: "application", Team: "blue", Application: "shop"}}); err != nil {
		panic(err)
	}
	for e, err := range audit.Entries(ctx, team.AuditQuery{Team: "blue"}) {
		fmt.Println(e.Subject, e.Access, e.Outcome, err)
	}
	// Output:
	// ada deploy application shop ok <nil>
}

func ExampleCheck() {
	blue := team.Team{ID: "blue", Clusters: map[string]team.Allocation{"eu-1": {Namespaces: []team.Namespace{{Name: "blue"}}}}}
	object, err := driver.ParseObject([]byte(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"blue"},"spec":{"type":"LoadBalancer"}}`))
	if err != nil {
		panic(err)
	}
	for _, refusal := range team.Check(blue, "eu-1", []driver.Object{object}) {
		fmt.Println(refusal)
	}
	// Output:
	// Service blue/web spec.type: a load balancer costs money and an address; leave it out, or have the permit "load-balancers" allocated
}

func ExampleTeams_Drift() {
	ctx := context.Background()
	eu := fake.New(nil)
	clusters, err := cluster.NewSet(cluster.New("eu-1", eu, nil))
	if err != nil {
		panic(err)
	}
	defer clusters.Close()
	teams, err := team.New(storage.NewRecords(memstore.NewRecords(), nil), clusters, &team.Options{Installation: "acme", Authorizer: appspan.AllowAll{}})
	if err != nil {
		panic(err)
	}
	if _, err := teams.Create(ctx, team.Team{ID: "blue", Clusters: map[string]team.Allocation{"eu-1": {Namespaces: []team.Namespace{{Name: "blue"}}}}}); err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = teams.Run(ctx, &team.RunOptions{OnEvent: func(appspan.Event) { stop() }}) // until there is news
	drift, failed := teams.Drift(context.Background(), "blue")
	for _, c := range drift.Conditions {
		fmt.Println(c.Cluster, c.State, len(c.History[0].Changes), "made")
	}
	fmt.Println(err, failed)
	// Output:
	// eu-1 synced 6 made
	// <nil> <nil>
}
