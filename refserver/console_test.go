package refserver_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/refserver"
)

func TestTheConsoleIsServedWithItsAssets(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *refserver.Options) { o.BasePath = "/cloud" })
	for _, view := range []string{"/", "/applications", "/applications/shop-live/shop?tab=logs", "/deploy?from=a/b", "/clusters/a", "/environments/shop", "/stages", "/teams/blue", "/operations/x", "/audit", "/login"} {
		got := s.send("", "GET", "/cloud"+view, nil)
		require.Equal(t, 200, got.StatusCode, view)
		require.Equal(t, "text/html; charset=utf-8", got.Header.Get("Content-Type"))
		require.Contains(t, got.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
		require.NotContains(t, string(got.body), "{{")
		assets := regexp.MustCompile(`"(/cloud/assets/[^"]+)"`).FindAllSubmatch(got.body, -1)
		require.Len(t, assets, 2)
		for _, a := range assets {
			asset := s.send("", "GET", string(a[1]), nil)
			require.Equal(t, 200, asset.StatusCode)
			require.Contains(t, asset.Header.Get("Cache-Control"), "immutable")
			require.NotContains(t, asset.Header.Get("Content-Type"), "text/plain")
		}
	}
	for _, path := range []string{"/cloud/nowhere", "/cloud/assets/", "/cloud/assets/main.js", "/applications"} {
		require.Equal(t, 404, s.send("", "GET", path, nil).StatusCode, path)
	}
}

func TestTheConsoleIsSmall(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	require.NoError(t, filepath.WalkDir("console/dist", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			require.NotRegexp(t, `https?://[a-z0-9.-]+\.[a-z]{2,}/`, strings.ReplaceAll(string(data), "http://www.w3.org/", ""), "%s asks nobody else", path)
			_, err = z.Write(data)
		}
		return err
	}))
	require.NoError(t, z.Close())
	t.Log(b.Len(), "bytes")
	require.Less(t, b.Len(), 120<<10)
}

func TestTheConsoleSaysEverythingInEveryLanguage(t *testing.T) {
	t.Parallel()
	source := func(name string) string {
		data, err := os.ReadFile("console/src/" + name)
		require.NoError(t, err)
		return string(data)
	}
	said := func(name string) map[string]string {
		out := map[string]string{}
		for _, m := range regexp.MustCompile(`'([^'\s]+)': '((?:[^'\\]|\\.)*)'`).FindAllStringSubmatch(source(name), -1) {
			require.NotContains(t, out, m[1], name)
			out[m[1]] = m[2]
		}
		return out
	}
	values := regexp.MustCompile(`\{\w+\}`)
	english, chinese := said("en.js"), said("zh.js")
	require.Greater(t, len(english), 200)
	require.Len(t, chinese, len(english))
	for key, text := range english {
		require.Contains(t, chinese, key)
		require.ElementsMatch(t, values.FindAllString(text, -1), values.FindAllString(chinese[key], -1), key)
	}
	files, err := filepath.Glob("console/src/*.js")
	require.NoError(t, err)
	for _, file := range files {
		for _, m := range regexp.MustCompile(`[^a-zA-Z]t\('([^']+)'[,)]`).FindAllStringSubmatch(source(filepath.Base(file)), -1) {
			require.Contains(t, english, m[1], file)
		}
	}
}
