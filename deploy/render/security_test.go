package render_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy/render"
)

func TestFilesThatNobodyCanReadAreTold(t *testing.T) {
	t.Parallel()
	file := func(mode, security string) string {
		return web(`files: [{path: /etc/a, content: x, mode: "` + mode + `"}], security: {` + security + `}`)
	}
	volume := func(kind, mode, security string) string {
		return web(`volumes: [{name: v, kind: ` + kind + `, mode: "` + mode + `"}], mounts: [{path: /v, volume: v}], security: {` + security + `}`)
	}
	const fileMode, volumeMode = `components[web].files["/etc/a"].mode`, `components[web].volumes[v].mode`
	for name, c := range map[string]struct{ text, path string }{
		"of root alone":                              {file("0400", ""), fileMode},
		"to execute, not to read":                    {file("0711", "runAsUser: 1000"), fileMode},
		"of root at baseline, by a user":             {file("0400", "level: baseline, runAsUser: 1000"), fileMode},
		"of root's group, by another":                {file("0440", "runAsUser: 1000, runAsGroup: 1000"), fileMode},
		"of a config volume":                         {volume("config, config: site", "0400", ""), volumeMode},
		"of a secret volume":                         {volume("secret, secret: db", "0400", "runAsUser: 1000"), volumeMode},
		"of a sidecar":                               {web(`sidecars: [{name: log, image: log, files: [{path: /etc/a, content: x, mode: "0400"}]}]`), `components[web].sidecars[log].files["/etc/a"].mode`},
		"not where everybody can":                    {file("0444", "runAsUser: 1000"), ""},
		"not by default":                             {web(`files: [{path: /etc/a, content: x}]`), ""},
		"not where the volumes have a group":         {file("0400", "runAsUser: 1000, fsGroup: 1000"), ""},
		"not by root":                                {file("0400", "level: baseline, runAsUser: 0"), ""},
		"not by who may be root":                     {file("0400", "level: baseline"), ""},
		"not of root's group, where users are in it": {file("0440", "runAsUser: 1000"), ""},
		"not of a volume that everybody can":         {volume("secret, secret: db", "0444", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(podInput(t, c.text))
			require.NoError(t, err)
			var paths []string
			for _, n := range out.Notes {
				if n.Severity == render.Warning {
					require.Contains(t, n.Message, "; set security.fsGroup, or leave the mode out")
					paths = append(paths, n.Path)
				}
			}
			if c.path == "" {
				require.Empty(t, paths)
				return
			}
			require.Equal(t, []string{c.path}, paths)
		})
	}
}
