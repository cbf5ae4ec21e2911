package appmodel_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
)

func TestWhatWasRedactedIsRestored(t *testing.T) {
	t.Parallel()
	item := func(name, value string) appmodel.SecretItem {
		if value == "" {
			return appmodel.SecretItem{Name: name}
		}
		return appmodel.SecretItem{Name: name, Value: appmodel.NewSensitive(value)}
	}
	with := func(items ...appmodel.SecretItem) *appmodel.Application {
		return &appmodel.Application{Secrets: []appmodel.Secret{{Name: "db", Items: items}}}
	}
	app := with(item("a", "one"), item("b", "two"))
	require.Equal(t, app, appmodel.Restore(appmodel.Redact(app), app))
	require.Equal(t, with(item("a", "new"), item("b", "two"), item("c", "")), appmodel.Restore(with(item("a", "new"), item("b", ""), item("c", "")), app), "what says something stays")
	made := appmodel.SecretItem{Name: "a", Generate: &appmodel.Generate{Length: 20}}
	require.Equal(t, with(made), appmodel.Restore(with(made), app), "what is generated has no value")
	require.Nil(t, appmodel.Restore(nil, app))
	require.Equal(t, app, appmodel.Restore(app, nil))
}
