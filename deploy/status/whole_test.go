package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy/status"
)

func TestACauseOfTheWholeMakesItDegradedAtBestAndIsDrawnFirst(t *testing.T) {
	t.Parallel()
	causes := []status.Cause{{Reason: status.Interrupted, Message: "release 2 has not ended", Next: "deploy it again"}}
	ready := status.OfCluster(status.Input{Name: "eu-1", Deployed: true, Causes: causes})
	require.Equal(t, status.Degraded, ready.Value)
	causes[0].Message = "changed"
	require.Equal(t, "release 2 has not ended", ready.Causes[0].Message)
	absent := status.OfCluster(status.Input{Name: "eu-2", Causes: ready.Causes})
	require.Equal(t, status.Absent, absent.Value)
	ready.Components = []status.Component{{ID: "web", Value: status.Ready}}
	require.Equal(t, `shop  1 Absent, 1 Degraded
├─ ▲ Degraded  eu-1
│  ├─ Interrupted: release 2 has not ended
│  │  → deploy it again
│  └─ ✔ Ready  web
└─ ○ Absent  eu-2
   └─ Interrupted: release 2 has not ended
      → deploy it again
`, status.Of("shop", []status.Cluster{ready, absent}).Tree(nil))
}
