package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
)

// talkative refuses StatefulSets and repeats what must not be told.
type talkative struct{ driver.Cluster }

func (d talkative) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	if obj.Kind == "StatefulSet" {
		return driver.Object{}, fmt.Errorf("%w: env: Invalid value: \"swordfish\"\x1b[2J%s", appspan.ErrInvalid, strings.Repeat(" and so on", 1000))
	}
	return d.Cluster.Apply(ctx, obj, opts)
}

type auditor struct{ entries []appspan.AuditEntry }

func (a *auditor) Audit(_ context.Context, e appspan.AuditEntry) error {
	a.entries = append(a.entries, e)
	return nil
}

func TestWhatAServerSaysIsRecordedBoundedAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fake.New(nil)
		set, err := cluster.NewSet(cluster.New("a", talkative{f}, nil))
		require.NoError(t, err)
		defer set.Close()
		audit, heard := &auditor{}, &recorder{}
		d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: newKeys(t), Authorizer: appspan.AllowAll{}, Auditor: audit})
		require.NoError(t, err)
		_, err = d.Deploy(t.Context(), shop(t, "generate: {length: 20}", "value: swordfish"), on("a"), &deploy.DeployOptions{Apply: deploy.ApplyOptions{OnEvent: heard.hear}})
		require.ErrorIs(t, err, appspan.ErrInvalid)
		releases, err := d.Releases(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Len(t, audit.entries, 1)
		last := heard.events[len(heard.events)-1]
		require.Equal(t, appspan.EventFailure, last.Kind)
		for _, text := range []string{releases["a"][0].Message, audit.entries[0].Outcome, strings.TrimPrefix(last.Message, "failed: ")} {
			require.Contains(t, text, "StatefulSet shop/shop-db")
			require.Contains(t, text, `Invalid value: "(redacted)" [2J and so on`)
			require.NotContains(t, text, "swordfish")
			require.LessOrEqual(t, len(text), 500)
		}
	})
}
