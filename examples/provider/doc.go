// Package provider is an example of a provider of clusters: those of a vendor's
// inventory, an HTTP API that knows where each cluster is, in which rack its nodes
// stand, and that hands out tokens which are good for minutes.
//
// What speaks to Kubernetes is package cluster/kube; the provider finds the way
// there, keeps the token fresh, and says more of the nodes.
//
//	fleet, err := cluster.NewFleet(records, &cluster.FleetOptions{Keys: keys, Authorizer: authorizer,
//		Providers: map[string]driver.Provider{"inventory": &provider.Inventory{URL: "https://inventory.example.com", Client: client}}})
//	_, err = fleet.Add(ctx, cluster.Registration{Name: "eu-1", Provider: "inventory"}, nil)
//
// # Errors
//
// A cluster that the inventory does not have is appspan.ErrInvalid; an inventory
// that does not answer is appspan.ErrUnavailable, and retryable.
//
// # Concurrency
//
// An Inventory, and the clusters that it opens, are safe for concurrent use.
package provider
