package deploy_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
)

func TestAStoredPlanThatWasEditedIsNotApplied(t *testing.T) {
	t.Parallel()
	edits := map[string]func(*deploy.Plan){
		"another team":         func(p *deploy.Plan) { p.Target.Team = "other" },
		"a change left out":    func(p *deploy.Plan) { p.Clusters[0].Changes = p.Clusters[0].Changes[1:] },
		"a cluster left out":   func(p *deploy.Plan) { p.Clusters = p.Clusters[:1] },
		"another cluster":      func(p *deploy.Plan) { p.Clusters[0].Cluster = "b" },
		"another hash":         func(p *deploy.Plan) { p.Hash = "sha256:00" },
		"no hash of a cluster": func(p *deploy.Plan) { p.Clusters[0].Hash = "" },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				p, err := w.Plan(t.Context(), shop(t), both, nil)
				require.NoError(t, err)
				data, err := json.MarshalIndent(p, "", "  ")
				require.NoError(t, err)
				stored := &deploy.Plan{}
				require.NoError(t, json.Unmarshal(data, stored))
				edit(stored)
				_, err = w.Apply(t.Context(), stored, nil)
				require.ErrorIs(t, err, appspan.ErrCorrupt)
				require.Zero(t, w.writes())
				stored = &deploy.Plan{}
				require.NoError(t, json.Unmarshal(data, stored))
				_, err = w.Apply(t.Context(), stored, nil)
				require.NoError(t, err, "as it was made it is applied")
			})
		})
	}
}
