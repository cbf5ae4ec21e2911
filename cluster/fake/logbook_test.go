package fake_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

func TestWrittenLinesAreReadFollowedAndKeptByRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fake.New(nil)
		defer c.Close()
		_, err := c.Apply(t.Context(), deployment(t, "web", "nginx:1", 1), driver.ApplyOptions{Manager: "a"})
		require.NoError(t, err)
		synctest.Wait()
		page, err := c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "Pod", Namespace: "default"})
		require.NoError(t, err)
		pod := page.Items[0].Ref
		require.NoError(t, c.WriteLog("default", pod.Name, "", "one", "two"))
		require.ErrorIs(t, c.WriteLog("default", "none", "", "one"), appspan.ErrNotFound)
		read := func(opts driver.LogOptions) string {
			stream, err := c.Logs(t.Context(), pod, opts)
			require.NoError(t, err)
			all, err := io.ReadAll(stream)
			require.NoError(t, err)
			return string(all)
		}
		require.Equal(t, "main: started nginx:1\none\ntwo\n", read(driver.LogOptions{}))
		require.Equal(t, "two\n", read(driver.LogOptions{TailLines: 1}))
		stream, err := c.Logs(t.Context(), pod, driver.LogOptions{Follow: true, TailLines: 1, Timestamps: true})
		require.NoError(t, err)
		time.Sleep(11 * time.Second)
		require.NoError(t, c.WriteLog("default", pod.Name, "main", "last"))
		since := time.Now().UTC().Format(time.RFC3339)
		require.NoError(t, c.Delete(t.Context(), pod, driver.DeleteOptions{}))
		all, err := io.ReadAll(stream)
		require.NoError(t, err)
		var texts []string
		for line := range strings.Lines(string(all)) {
			at, text, _ := strings.Cut(line, " ")
			_, err := time.Parse(time.RFC3339Nano, at)
			require.NoError(t, err)
			texts = append(texts, text)
		}
		require.Equal(t, []string{"two\n", "main: tick 1\n", "last\n"}, texts)
		require.Contains(t, string(all), since[:19])
	})
}
