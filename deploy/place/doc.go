// Package place says where an application goes: pure functions over what is
// known of clusters, for programs that want to show or test a choice before
// anything is planned.
//
//	names := place.Choose(appmodel.ClusterSelector{Labels: map[string]string{"region": "cn"}}, clusters)
//
// # Errors
//
// There are none: a choice of nothing is an empty one.
//
// # Concurrency
//
// Functions keep nothing.
package place
