package image_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/image"
)

func TestAMapIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "compat", "map-1.json"))
	require.NoError(t, err)
	m, err := image.DecodeMap(data)
	require.NoError(t, err)
	require.Equal(t, 1, m.Format)
	require.Equal(t, "mirror.example.com/shop/docker.io/library/nginx:1.27@"+sum, m.References()["nginx:1.27"])
	require.Len(t, m.Notes, 1)
	encoded, err := m.Encode()
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(data)), string(encoded))

	encoded, err = (&image.Map{To: m.To, Images: m.Images, Notes: m.Notes}).Encode()
	require.NoError(t, err)
	again, err := image.DecodeMap(encoded)
	require.NoError(t, err)
	require.Equal(t, m, again, "the format is written, whoever made the map")
}

func TestAMapThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	entry := func(from, source, to string) string {
		return `{"format":1,"minReader":1,"to":"m.example.com","images":[{"from":"` + from + `","source":"` + source + `","to":"` + to + `"}]}`
	}
	good := entry("nginx:1", "docker.io/library/nginx@"+sum, "m.example.com/nginx@"+sum)
	_, err := image.DecodeMap([]byte(good))
	require.NoError(t, err)
	for name, test := range map[string]struct {
		data string
		want error
	}{
		"no JSON":                {`{`, appspan.ErrCorrupt},
		"no format":              {`{"images":[]}`, appspan.ErrCorrupt},
		"of a newer program":     {strings.Replace(good, `"minReader":1`, `"minReader":2`, 1), appspan.ErrUnsupported},
		"a copy without digest":  {entry("nginx:1", "docker.io/library/nginx@"+sum, "m.example.com/nginx:1"), appspan.ErrCorrupt},
		"a source of other name": {entry("nginx:1", "docker.io/library/redis@"+sum, "m.example.com/nginx@"+sum), appspan.ErrCorrupt},
		"no reference":           {entry("", "docker.io/library/nginx@"+sum, "m.example.com/nginx@"+sum), appspan.ErrCorrupt},
		"twice":                  {strings.Replace(good, `"images":[`, `"images":[{"from":"nginx:1","source":"docker.io/library/nginx@`+sum+`","to":"m.example.com/nginx@`+sum+`"},`, 1), appspan.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := image.DecodeMap([]byte(test.data))
			require.ErrorIs(t, err, test.want)
		})
	}
}

func FuzzDecodeMap(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "compat", "map-1.json"))
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := image.DecodeMap(data)
		if err != nil {
			return
		}
		encoded, err := m.Encode()
		require.NoError(t, err)
		again, err := image.DecodeMap(encoded)
		require.NoError(t, err)
		require.Equal(t, m.References(), again.References())
	})
}
