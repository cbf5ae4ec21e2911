package deploy_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy"
)

func TestARestartOfAStoppedApplicationEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		_, err := w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindStop}, nil)
		require.NoError(t, err)
		_, err = w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindRestart}, nil)
		require.NoError(t, err)
	})
}
