package composefile_test

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/appspan-dev/appspan/internal/fixtures"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"
	sigsyaml "sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden imports each archive: its first file is the compose file, files
// below "in/" are companions, options.json the options; the application and
// the report are what is expected.
func TestGolden(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			require.NoError(t, err)
			input := archive.Files[0]
			opts := &composefile.Options{File: input.Name}
			companions := fstest.MapFS{}
			kept := archive.Files[:0:0]
			var wantApp, wantReport string
			for _, f := range archive.Files {
				switch {
				case f.Name == "application.yaml":
					wantApp = string(f.Data)
					continue
				case f.Name == "report":
					wantReport = string(f.Data)
					continue
				case f.Name == "options.json":
					require.NoError(t, json.Unmarshal(f.Data, opts))
				case strings.HasPrefix(f.Name, "in/"):
					companions[strings.TrimPrefix(f.Name, "in/")] = &fstest.MapFile{Data: f.Data}
				}
				kept = append(kept, f)
			}
			opts.Files = companions
			app, report, err := composefile.Import(t.Context(), input.Data, opts)
			require.NoError(t, err)
			requireValid(t, app)
			requireEveryLeafOnce(t, input.Name, input.Data, report)
			again, _, err := composefile.Import(t.Context(), input.Data, opts)
			require.NoError(t, err)
			require.Equal(t, encode(t, app), encode(t, again), "two imports differ")

			gotApp, gotReport := encode(t, app), lines(report)
			if *update {
				archive.Files = append(kept, txtar.File{Name: "application.yaml", Data: []byte(gotApp)},
					txtar.File{Name: "report", Data: []byte(gotReport)})
				require.NoError(t, os.WriteFile(name, txtar.Format(archive), 0o644))
				return
			}
			require.Equal(t, wantApp, gotApp)
			require.Equal(t, wantReport, gotReport)
		})
	}
}

func encode(t *testing.T, app *appmodel.Application) string {
	text, err := json.Marshal(app)
	require.NoError(t, err)
	out, err := sigsyaml.JSONToYAML(text)
	require.NoError(t, err)
	return string(out)
}

// lines is the whole report, one leaf a line.
func lines(r *composefile.Report) string {
	var b strings.Builder
	for _, l := range r.Leaves {
		b.WriteString(l.String() + "\n")
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + n + "\n")
	}
	return b.String()
}

func requireValid(t *testing.T, app *appmodel.Application) {
	t.Helper()
	require.NoError(t, appmodel.Validate(app).Err())
}

// requireEveryLeafOnce walks the YAML on its own and compares.
func requireEveryLeafOnce(t *testing.T, file string, data []byte, report *composefile.Report) {
	t.Helper()
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal(data, &doc))
	want := map[string]int{}
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		switch {
		case n.Kind == yaml.MappingNode && len(n.Content) > 0:
			for i := 0; i < len(n.Content); i += 2 {
				walk(n.Content[i+1], path+"."+n.Content[i].Value)
			}
		case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
			for i, c := range n.Content {
				walk(c, path+"."+strconv.Itoa(i))
			}
		default:
			want[strconv.Itoa(n.Line)]++
		}
	}
	walk(doc.Content[0], "")
	got, paths := map[string]int{}, map[string]bool{}
	for _, l := range report.Leaves {
		if l.File != file {
			continue
		}
		require.False(t, paths[l.Path], "%s is reported twice", l.Path)
		paths[l.Path] = true
		got[strconv.Itoa(l.Line)]++
		require.NotEmpty(t, l.Status, l.Path)
		if l.Status == composefile.StatusDegraded || l.Status == composefile.StatusUnsupported {
			require.NotEmpty(t, l.Why, "%s is lost in silence", l.Path)
		}
	}
	require.Equal(t, want, got, "leaves by line")
}

func TestApplicationsThatNobodyHereWrote(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(fixtures.Dir(t), "compose")
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(t, err)
	companions := fstest.MapFS{
		"logstash/pipeline/logstash-nginx.config": {Data: []byte("input { file { path => \"/home/nginx.log\" } }\noutput { elasticsearch { hosts => [\"es:9200\"] } }\n")},
		"logstash/nginx.log":                      {Data: []byte("127.0.0.1 - - GET /\n")},
		"db/password.txt":                         {Data: []byte("open-sesame")},
		"proxy/nginx.conf":                        {Data: []byte("server { listen 80; location / { proxy_pass http://backend:8000; } }\n")},
		"prometheus/prometheus.yml":               {Data: []byte("global: {scrape_interval: 15s}\n")},
		"grafana/datasource.yml":                  {Data: []byte("apiVersion: 1\ndatasources: [{name: Prometheus, type: prometheus, url: http://prometheus:9090}]\n")},
	}
	leaves, kept := 0, 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, files := range []fs.FS{nil, companions} {
			app, report, err := composefile.Import(t.Context(), data, &composefile.Options{
				File: filepath.Base(name), Files: files,
				Images: map[string]string{"backend": "registry.example.com/backend:1", "proxy": "registry.example.com/proxy:1"},
			})
			require.NoError(t, err, name)
			requireValid(t, app)
			requireEveryLeafOnce(t, filepath.Base(name), data, report)
			if files != nil {
				leaves += len(report.Leaves)
				kept += report.Count(composefile.StatusMapped) + report.Count(composefile.StatusImplied)
			}
		}
	}
	require.Equal(t, 151, leaves)
	require.GreaterOrEqual(t, kept, leaves*87/100, "of %d leaves %d are kept", leaves, kept)
	t.Logf("%d of %d leaves are mapped or implied", kept, leaves)
}

func TestAPreviousImportKeepsItsIDs(t *testing.T) {
	t.Parallel()
	first := "services: {a_b: {image: nginx}, a.b: {image: httpd}}"
	app, report, err := composefile.Import(t.Context(), []byte(first), nil)
	require.NoError(t, err)
	require.Equal(t, "a-b", app.Components[0].ID)
	require.Equal(t, "a-b-2", app.Components[1].ID)
	require.Contains(t, report.Notes, `service "a.b" is component "a-b-2"`)

	second := "services: {a.b: {image: httpd}, new: {image: redis}, a_b: {image: nginx}}"
	app, _, err = composefile.Import(t.Context(), []byte(second), &composefile.Options{Previous: app})
	require.NoError(t, err)
	require.Equal(t, []string{"a-b-2", "new", "a-b"}, []string{app.Components[0].ID, app.Components[1].ID, app.Components[2].ID})
}

func TestSecretsOfTheFileStandInSecretGroupsOnly(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse"
	text := `services:
  db: {image: postgres, environment: {POSTGRES_PASSWORD: ` + secret + `}, volumes: [data:/var/lib/postgresql/data]}
  app: {image: x, environment: [DB_PASSWORD=` + secret + `, "DATABASE_URL=postgres://postgres:` + secret + `@db:5432/app", API_TOKEN=` + secret + `-2]}
volumes: {data: }
`
	app, report, err := composefile.Import(t.Context(), []byte(text), nil)
	require.NoError(t, err)
	require.NotContains(t, encode(t, app), secret)
	require.NotContains(t, lines(report), secret)
	require.Equal(t, secret, app.Secrets[0].Items[0].Value.Reveal())
	env := map[string]string{}
	for _, e := range app.Components[1].Env {
		env[e.Name] = e.Template
	}
	require.Equal(t, map[string]string{
		"DB_PASSWORD": "${need.db.password}", "API_TOKEN": "${secret.app.api-token}",
		"DATABASE_URL": "postgres://${need.db.user}:${need.db.password}@${need.db.address}/app",
	}, env)
}

func TestAURLBehindAnEqualsSignIsANeed(t *testing.T) {
	t.Parallel()
	app, _, err := composefile.Import(t.Context(), []byte("services: {api: {image: x}, web: {image: y, command: ['--to=http://api:8000'], environment: {OPTS: '-Dapi=http://api:8000/v1'}}}"), nil)
	require.NoError(t, err)
	require.Equal(t, []appmodel.Need{{Component: "api"}}, app.Components[1].Needs)
	require.Equal(t, "-Dapi=http://${need.api.address}/v1", app.Components[1].Env[0].Template)
}

func TestVariablesThatNobodyGave(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"$MODE": "", "a${MODE}b": "ab", "${MODE:-x}": "x", "${MODE-x}": "x", "${MODE:+x}": "", "${MODE+x}": "",
		"${MODE-x} ${MODE}": "x ", "${A:-${MODE}}": "", "${A-${MODE-y}}": "y", "$$MODE": "$MODE",
	} {
		app, _, err := composefile.Import(t.Context(), []byte("services: {a: {image: x, environment: {V: '"+text+"'}}}"), nil)
		require.NoError(t, err, text)
		require.Equal(t, want, app.Components[0].Env[0].Value, text)
	}
	for _, text := range []string{"${MODE?}", "${MODE:?}", "${MODE?no} ${MODE}", "${MODE:?no} ${MODE}"} {
		_, _, err := composefile.Import(t.Context(), []byte("services: {a: {image: x, environment: {V: '"+text+"'}}}"), nil)
		require.ErrorContains(t, err, "required variable MODE is missing a value", text)
	}
}
