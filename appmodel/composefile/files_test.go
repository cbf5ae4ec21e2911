package composefile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/stretchr/testify/require"
)

func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	const secret = "from-outside"
	require.NoError(t, os.WriteFile(filepath.Join(outside, "passwd"), []byte(secret), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "more.yaml"), []byte("services: {more: {image: "+secret+"}}"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "conf"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "conf", "own"), []byte("own"), 0o600))
	for link, to := range map[string]string{"link": "passwd", "dir": ".", "conf/passwd": "passwd", "more.yaml": "more.yaml"} {
		require.NoError(t, os.Symlink(filepath.Join(outside, to), filepath.Join(dir, link)))
	}
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })

	const text = `services:
  web:
    image: nginx
    env_file: [{path: link, required: false}]
    secrets: [key]
    configs: [site]
    volumes:
      - ./link:/x
      - ./dir/passwd:/etc/y
      - ./dir:/etc/z
      - ./conf:/etc/conf
      - ./pipe:/etc/pipe
secrets: {key: {file: link}}
configs: {site: {file: dir/passwd}}
`
	for name, files := range map[string]fs.FS{"a root": root.FS(), "a plain directory": os.DirFS(dir)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app, report, err := composefile.Import(t.Context(), []byte(text), &composefile.Options{Files: files})
			require.NoError(t, err)
			requireEveryLeafOnce(t, "compose.yaml", []byte(text), report)
			require.NotContains(t, encode(t, app), secret)
			require.Contains(t, encode(t, app), "value: own")
			for _, g := range app.Secrets {
				require.NotNil(t, g.Items[0].Generate)
			}
			for _, leaf := range report.Leaves {
				if leaf.Line >= 8 && leaf.Line != 12 || leaf.Path == "services.web.env_file[0].path" {
					require.Contains(t, leaf.Why, "a symbolic link, which is not followed", leaf)
				}
			}
			_, _, err = composefile.Import(t.Context(), []byte(text+"include: [more.yaml]\n"), &composefile.Options{Files: files})
			require.ErrorContains(t, err, `file "more.yaml": a symbolic link, which is not followed; copy what it leads to`)
		})
	}
}

func TestAnAbsolutePathIsThatOfEachNode(t *testing.T) {
	t.Parallel()
	const text = "services: {web: {image: x, volumes: ['/etc/passwd:/x']}}"
	app, report, err := composefile.Import(t.Context(), []byte(text), nil)
	require.NoError(t, err)
	require.Equal(t, "/etc/passwd", app.Components[0].Volumes[0].HostPath)
	require.Equal(t, 1, report.Count(composefile.StatusDegraded))
	require.Contains(t, report.String(), "the path of whichever node runs it")
}
