package deploy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy/status"
)

func TestAWatchThatIsCancelledEndsWithThatErrorAloneThoughSomethingIsNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told, ended := 0, 0
		for s, err := range w.Watch(ctx, "shop", on("a")) {
			if err != nil {
				ended++
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, status.Application{}, s)
				continue
			}
			told++
			_, err := w.Deploy(t.Context(), shop(t), on("a"), nil)
			require.NoError(t, err)
			time.Sleep(time.Minute) // it is seen
			cancel()
		}
		require.Equal(t, 1, told)
		require.Equal(t, 1, ended)
	})
}
