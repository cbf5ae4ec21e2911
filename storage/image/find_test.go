package image_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/image"
)

func TestEveryImageOfAnApplicationIsFound(t *testing.T) {
	t.Parallel()
	uses, notes := image.Find(decode(t, filepath.Join("testdata", "raw.yaml")))
	require.Equal(t, []image.Use{
		{Path: "components[web].image", Image: "example.com/web:1"},
		{Path: "components[web].initContainers[migrate].image", Image: "example.com/migrate:1"},
		{Path: "components[web].sidecars[log].image", Image: "example.com/log:1"},
		{Path: "components[report].image", Image: "example.com/report:1"},
		{Path: "components[thumbnails].image", Image: "example.com/thumbnails:1"},
		{Path: "components[raw].objects[apps/Deployment/raw].spec.template.spec.containers[main].image", Image: "example.com/raw:1"},
		{Path: "components[raw].objects[apps/Deployment/raw].spec.template.spec.initContainers[0].image", Image: "example.com/init:1"},
		{Path: "components[raw].objects[apps/Deployment/raw].spec.template.spec.volumes[model].image.reference", Image: "example.com/model:1"},
		{Path: "components[raw].objects[batch/CronJob/nightly].spec.jobTemplate.spec.template.spec.containers[main].image", Image: "example.com/nightly:1"},
		{Path: "patches[proxy].apply.spec.template.spec.containers[proxy].image", Image: "example.com/proxy:1"},
	}, uses)
	var places []string
	for _, note := range notes {
		places = append(places, note.Path)
		require.NotEmpty(t, note.Message)
	}
	require.Equal(t, []string{
		"components[raw].objects[monitoring.coreos.com/Prometheus/metrics].spec.image",
		"components[raw].objects[Pod/composed].spec.containers[main].image",
		"components[store].chart",
		"components[web].image",
	}, places)
}

func TestRawObjectsAndPatchesAreRewrittenToo(t *testing.T) {
	t.Parallel()
	app := decode(t, filepath.Join("testdata", "raw.yaml"))
	uses, notes := image.Find(app)
	m := &image.Map{}
	for _, use := range uses {
		m.Images = append(m.Images, image.Relocated{From: use.Image, To: "mirror.example.com/" + use.Image + "@" + sum})
	}
	rewritten, err := m.Rewrite(app)
	require.NoError(t, err)
	after, notesAfter := image.Find(rewritten)
	require.Len(t, after, len(uses))
	for i, use := range after {
		require.Equal(t, uses[i].Path, use.Path)
		require.Equal(t, "mirror.example.com/"+uses[i].Image+"@"+sum, use.Image)
	}
	require.Equal(t, notes, notesAfter)
	for i := range app.Components {
		for k, object := range app.Components[i].Objects {
			require.NotContains(t, string(object.Manifest), "mirror.example.com", "the argument stays")
			if k >= 2 {
				require.Equal(t, string(object.Manifest), string(rewritten.Components[i].Objects[k].Manifest), "nothing replaced, nothing changed")
			}
		}
	}

	m.Images = m.Images[1:]
	_, err = m.Rewrite(app)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	require.ErrorContains(t, err, `components[web].image: the map has no image "example.com/web:1"`)
}
