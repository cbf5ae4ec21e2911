package deploy_test

import (
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

// by writes an object as somebody else.
func (w *world) by(manager, name, text string) {
	w.t.Helper()
	obj, err := driver.ParseObject([]byte(text))
	require.NoError(w.t, err)
	_, err = w.fakes[name].Apply(w.t.Context(), obj, driver.ApplyOptions{Manager: manager, Force: true})
	require.NoError(w.t, err)
}

func TestWhatOthersPutBesideOursIsShownAndStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		app := shop(t)
		_, err := w.Deploy(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		w.by("mallory", "a", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"shop-web","namespace":"shop"},"spec":{"template":{"spec":{
			"hostNetwork":true,"containers":[{"name":"evil","image":"evil:1"},{"name":"web","env":[{"name":"X","value":"y"}]}]}}}}`)
		want := []string{
			`Deployment shop/shop-web .spec.template.spec.containers[name="evil"]: added by mallory`,
			`Deployment shop/shop-web .spec.template.spec.containers[name="web"].env[name="X"]: added by mallory`,
			`Deployment shop/shop-web .spec.template.spec.hostNetwork: added by mallory`,
		}
		shown := func() []string {
			p, err := w.Plan(t.Context(), app, on("a"), nil)
			require.NoError(t, err)
			require.Empty(t, p.Clusters[0].Changes)
			var out []string
			for _, a := range p.Clusters[0].Additions {
				out = append(out, a.String())
			}
			return out
		}
		require.Equal(t, want, shown())
		app.Components[0].Image = "registry.example.com/web:2"
		_, err = w.Deploy(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		require.Equal(t, want, shown(), "also after the object was written again")
		p, err := w.Plan(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		require.Contains(t, p.String(), "beside ours: "+want[0])
	})
}

func TestWhatSomebodyDeletedIsDrift(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		_, err := w.Deploy(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.NoError(t, w.fakes["a"].Delete(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "shop-web"}, driver.DeleteOptions{}))
		p, err := w.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.Len(t, p.Clusters[0].Drift(), 1)
		require.Equal(t, "a: 1 to create, "+strconv.Itoa(p.Clusters[0].Unchanged)+" unchanged\n  create Service shop/shop-web (drift: it was deleted)", p.String())
	})
}

func TestATargetIsCheckedBeforeAnythingIsRead(t *testing.T) {
	t.Parallel()
	w := two(t)
	_, err := w.Plan(t.Context(), shop(t), deploy.Target{Clusters: []string{"a", "zz"}}, nil)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	require.ErrorContains(t, err, `"zz"`)
	_, err = w.Status(t.Context(), "shop", on("zz"))
	require.ErrorIs(t, err, appspan.ErrNotFound)
	_, err = w.Plan(t.Context(), shop(t), deploy.Target{Clusters: []string{"a"}, Namespace: "Bad_NS"}, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestRemovalSaysWhatIsNotThereAndWhatIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		r, err := w.Remove(t.Context(), "nothere", on("a"), nil, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"it is not there"}, r.Clusters[0].Notes)
		_, err = w.Deploy(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		_, err = w.Rollback(t.Context(), "shop", on("a"), &deploy.RollbackOptions{Revision: 99}, nil)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		require.ErrorContains(t, err, "there is no release 99; there are 1")
		for range 2 {
			r, err = w.Remove(t.Context(), "shop", on("a"), nil, nil)
			require.NoError(t, err)
			require.Len(t, r.Clusters[0].Kept, 1)
		}
	})
}
