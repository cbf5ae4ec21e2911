package deploy_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
)

func TestARollbackLeavesAloneWhereNothingIsToGoBackTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		_, err := w.Deploy(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		_, err = w.Deploy(t.Context(), shop(t, "web:1", "web:2"), on("a"), nil)
		require.NoError(t, err)
		r, err := w.Rollback(t.Context(), "shop", both, nil, nil) // b never had it
		require.ErrorIs(t, err, appspan.ErrConflict)
		require.ErrorContains(t, err, "rollback of shop: not found: it has never been deployed there")
		require.Equal(t, deploy.OutcomeDone, r.Cluster("a").Outcome)
		require.Equal(t, 3, r.Cluster("a").Revision)
		require.Equal(t, deploy.OutcomeRefused, r.Cluster("b").Outcome)
	})
}

func TestClaimsOfReplicasDoNotShrink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		_, err := w.Deploy(t.Context(), shop(t, "size: 1Gi", "size: 10Gi"), on("a"), nil)
		require.NoError(t, err)
		p, err := w.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.ErrorContains(t, p.Err(), "cannot shrink from 10Gi to 1Gi")
	})
}
