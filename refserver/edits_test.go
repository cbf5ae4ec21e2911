package refserver_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

const tuned = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
parameters:
  - {name: replicas, schema: {type: integer}, sets: ["components[web].scale.replicas"]}
  - {name: greeting, schema: {type: string}, default: hello}
  - {name: token, schema: {type: string}, secret: true}
secrets:
  - {name: db, items: [{name: password, value: hunter2hunter2}, {name: token, template: "${param.token}"}]}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", ports: [{name: http, port: 8080}], scale: {replicas: 2}, security: {runAsUser: 1000},
     env: [{name: PASSWORD, valueFrom: {secret: {name: db, item: password}}}, {name: GREETING, template: "${param.greeting}"}]}
`

func TestAnEditLeavesSecretsAndAnswersAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("admin", "")
	done := func(p client.Planned, err error) {
		t.Helper()
		require.NoError(t, err)
		op, err := c.Wait(t.Context(), p, nil)
		require.NoError(t, err)
		require.Equal(t, "done", string(op.State), op.Error)
	}
	answers := map[string]appmodel.JSON{"replicas": appmodel.JSON("3"), "token": appmodel.JSON(`"c0rrect-horse"`)}
	done(c.Deploy(t.Context(), client.Deployment{Document: client.Document{Text: tuned}, Target: deploy.Target{Clusters: []string{"a"}, Namespace: "tuned"}, Answers: answers}))

	meant, err := c.Meant(t.Context(), "tuned", "shop")
	require.NoError(t, err)
	require.Equal(t, map[string]appmodel.JSON{"replicas": appmodel.JSON("3")}, meant.Answers)
	require.NotContains(t, meant.Document.Text, "hunter2")
	require.Contains(t, meant.Document.Text, "${param.greeting}", "before answers")

	edit := client.Edit{Document: meant.Document, Clusters: []string{"a", "b"}}
	edit.Document.Text = strings.Replace(meant.Document.Text, "web:1", "web:2", 1)
	seen, err := c.Edit(t.Context(), "tuned", "shop", edit, true)
	require.NoError(t, err)
	edit.PlanHash = seen.Plan.Hash
	done(c.Edit(t.Context(), "tuned", "shop", edit, false))
	for _, name := range []string{"a", "b"} { // it came to b as well
		obj, err := w.fakes[name].Get(t.Context(), driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "tuned", Name: "shop-web"})
		require.NoError(t, err)
		text, err := json.Marshal(obj)
		require.NoError(t, err)
		require.Contains(t, string(text), "web:2")
		require.Contains(t, string(text), `"replicas":3`)
		found := ""
		page, err := w.fakes[name].List(t.Context(), driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: "tuned"})
		require.NoError(t, err)
		for _, secret := range page.Items {
			found += string(secret.JSON)
		}
		require.Contains(t, found, base64.StdEncoding.EncodeToString([]byte("hunter2hunter2")))
	}
	meant, err = c.Meant(t.Context(), "tuned", "shop")
	require.NoError(t, err)
	require.Equal(t, 2, meant.Revision)

	_, err = w.client("red-admin", "red").Meant(t.Context(), "tuned", "shop")
	require.ErrorIs(t, err, appspan.ErrNotFound)
}
