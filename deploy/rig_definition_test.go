package deploy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

// TestRigAnApplicationBringsAKindAndObjectsOfIt: an API server takes a moment
// to serve what was defined; the apply waits for it. Removed, nothing is left,
// neither of the kind nor of the namespace, and another deployment of the same
// brings all of it again.
func TestRigAnApplicationBringsAKindAndObjectsOfIt(t *testing.T) {
	// not parallel: what others list must not come and go
	r := newRig(t, "kinds", rigOptions{})
	group := r.namespace + ".example.com" // definitions are of the whole cluster
	app := decode(t, strings.ReplaceAll(widgets, "example.com", group))
	definition := driver.Ref{APIVersion: widgetDefinition.APIVersion, Kind: widgetDefinition.Kind, Name: "widgets." + group}
	two := driver.Ref{APIVersion: group + "/v1", Kind: "Widget", Namespace: r.namespace, Name: "two"}
	for range 2 {
		p, err := r.Plan(t.Context(), app, r.both(), nil)
		require.NoError(t, err)
		require.NoError(t, p.Err())
		_, err = r.Apply(t.Context(), p, &patient)
		require.NoError(t, err)
		require.True(t, r.exists("rig-1", two))
		for _, c := range r.deployed(app, r.both()).Clusters {
			require.Equal(t, deploy.OutcomeUnchanged, c.Outcome)
		}
		r.removed("factory", r.both(), true)
		require.False(t, r.exists("rig-1", definition))
		require.False(t, r.exists("rig-2", definition))
		require.False(t, r.exists("rig-1", namespaceRef(r.namespace)))
	}
}
