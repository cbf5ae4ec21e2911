package refserver_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/refserver/client"
)

func TestWhoHasSomethingOnAClusterHearsHowItDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // in which blue has something on a, and nothing on b
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	heard := make(chan cluster.Status, 16)
	listening := make(chan struct{})
	go func() {
		close(listening)
		for e, err := range w.client("blue-observer", "blue").Events(ctx, "cluster") {
			var st cluster.Status
			if err == nil && e.Kind == "cluster" && json.Unmarshal(e.Data, &st) == nil && st.Health == cluster.Maintenance {
				heard <- st
			}
		}
	}()
	<-listening
	for _, name := range []string{"b", "a"} { // in this order: what is heard of a comes after what is not of b
		why := "new disks"
		_, err := w.client("admin", "").ChangeCluster(t.Context(), name, client.ClusterChange{Maintenance: &why}, "*")
		require.NoError(t, err)
		time.Sleep(3 * time.Second) // the fleet is looked at every other second
	}
	select {
	case st := <-heard:
		require.Equal(t, "a", st.Name)
	case <-ctx.Done():
		require.Fail(t, "nothing was heard")
	}
	require.Empty(t, heard)
}
