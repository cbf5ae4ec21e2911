package team_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/team"
)

func TestRunningIsWhatTheObjectsAskFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.reconcile("blue")
	labels := func(app string) string {
		return `namespace: blue, labels: {appspan.dev/installation: test, appspan.dev/application: ` + app + `}`
	}
	const template = `template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x, resources: {requests: {cpu: 500m}}}]}}`
	for _, obj := range parse(t, `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, `+labels("shop")+`}, spec: {replicas: 2, serviceName: db, selector: {matchLabels: {a: b}}, `+template+`, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data-db-0, `+labels("shop")+`}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data-db-7, `+labels("shop")+`}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: kept, `+labels("removed")+`}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: record, `+labels("idle")+`}}
---
{apiVersion: v1, kind: Secret, metadata: {name: other, namespace: blue, labels: {appspan.dev/installation: other, appspan.dev/application: theirs}}}`) {
		_, err := w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "deploy"})
		require.NoError(t, err)
	}
	got, err := w.Running(t.Context(), "blue", "a")
	require.NoError(t, err)
	require.Equal(t, map[string]cluster.Amounts{
		"blue/shop":    {"cpu": "1", "memory": "256Mi", "pods": "2", "storage": "3Gi", "persistentvolumeclaims": "3"},
		"blue/removed": {"storage": "5Gi", "persistentvolumeclaims": "1"},
		"blue/idle":    {},
	}, got)
	require.NoError(t, w.Ledger().Reserve(t.Context(), "blue", "blue/gone", "a", cluster.Amounts{"cpu": "1"}))
	freed, err := w.Ledger().Reclaim(t.Context(), "blue", w, nil)
	require.NoError(t, err)
	require.Empty(t, freed, "it is young")
}

func TestWhatWasReservedOnAForgottenClusterIsFreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	here := blue()
	here.Clusters["forgotten"] = here.Clusters["a"]
	w.create(here)
	require.NoError(t, w.Ledger().Reserve(t.Context(), "blue", "blue/shop", "forgotten", cluster.Amounts{"cpu": "1"}))
	_, err := w.Update(t.Context(), "blue", func(t *team.Team) error { delete(t.Clusters, "forgotten"); return nil })
	require.NoError(t, err)
	freed, err := w.Ledger().Reclaim(t.Context(), "blue", w, &team.ReclaimOptions{Grace: time.Nanosecond})
	require.NoError(t, err)
	require.Len(t, freed, 1)
	left, err := w.Ledger().Reservations(t.Context(), "blue")
	require.NoError(t, err)
	require.Empty(t, left)
}
