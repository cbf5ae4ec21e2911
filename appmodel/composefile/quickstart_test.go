package composefile_test

import (
	"os"
	"testing"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/stretchr/testify/require"
)

func TestTheQuickstartComesInWhole(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../examples/quickstart/shop.compose.yaml")
	require.NoError(t, err)
	app, report, err := composefile.Import(t.Context(), data, &composefile.Options{File: "shop.compose.yaml"})
	require.NoError(t, err)
	requireValid(t, app)
	requireEveryLeafOnce(t, "shop.compose.yaml", data, report)
	require.Equal(t, "shop", app.Metadata.Name)
	require.Equal(t, appmodel.KindStateful, app.Components[2].Kind)
	require.Equal(t, 1, report.Count(composefile.StatusUnsupported), report) // logging
	require.Zero(t, report.Count(composefile.StatusDegraded), report)
}
