package leaktest_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/appspan-dev/appspan/internal/leaktest"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// ways are how a credential can be written, each a control of the search.
func ways(t testing.TB) map[string]func(v []byte) []byte {
	t.Helper()
	ways := map[string]func(v []byte) []byte{
		"as it is":         bytes.Clone,
		"JSON":             func(v []byte) []byte { return must(json.Marshal(string(v))) },
		"JSON of bytes":    func(v []byte) []byte { return must(json.Marshal(v)) },
		"JSON in JSON":     func(v []byte) []byte { return must(json.Marshal(string(must(json.Marshal(string(v)))))) },
		"a Go string":      func(v []byte) []byte { return strconv.AppendQuoteToASCII(nil, string(v)) },
		"fmt's bytes":      func(v []byte) []byte { return fmt.Appendf(nil, "%v", v) },
		"fmt's Go bytes":   func(v []byte) []byte { return fmt.Appendf(nil, "%#v", v) },
		"a query":          func(v []byte) []byte { return []byte(url.Values{"q": {string(v)}}.Encode()) },
		"a path":           func(v []byte) []byte { return []byte(url.PathEscape(string(v))) },
		"hex":              func(v []byte) []byte { return []byte(hex.EncodeToString(v)) },
		"capital hex":      func(v []byte) []byte { return fmt.Appendf(nil, "%X", v) },
		"spaced hex":       func(v []byte) []byte { return fmt.Appendf(nil, "% x", v) },
		"the URL's base64": func(v []byte) []byte { return []byte(base64.RawURLEncoding.EncodeToString(v)) },
		"base64 of base64": func(v []byte) []byte { return b64(b64(v)) },
		"a kubeconfig's key": func(v []byte) []byte {
			return b64(fmt.Appendf(nil, "users: [{client-key-data: %s}]", b64(append([]byte("pem"), b64(v)...))))
		},
		"basic in JSON": func(v []byte) []byte {
			return must(json.Marshal(map[string]string{"auth": string(b64(append([]byte("user:"), v...)))}))
		},
		"base64 in a query":   func(v []byte) []byte { return []byte(url.QueryEscape(string(b64(v)))) },
		"gzip":                func(v []byte) []byte { return zipped(v) },
		"base64 of gzip":      func(v []byte) []byte { return b64(zipped(v)) },
		"zstd, base64, JSON":  func(v []byte) []byte { return must(json.Marshal(b64(zstded(t, v)))) },
		"the first half":      func(v []byte) []byte { return v[:len(v)/2] },
		"the last half":       func(v []byte) []byte { return v[len(v)/2:] },
		"the middle":          func(v []byte) []byte { return v[len(v)/4 : len(v)*3/4] },
		"base64 in 64 column": func(v []byte) []byte { return bytes.ReplaceAll(b64(v), b64(v)[:16], append(b64(v)[:16:16], '\n')) },
	}
	for lead := range 3 {
		ways[fmt.Sprintf("base64 after %d bytes", lead)] = func(v []byte) []byte { return b64(append(make([]byte, lead), v...)) }
	}
	return ways
}

// TestTheSearchFindsEveryFormOfACredential is the control without which the
// other tests of this package would mean nothing.
func TestTheSearchFindsEveryFormOfACredential(t *testing.T) {
	t.Parallel()
	random := make([]byte, 48)
	_, _ = rand.Read(random)
	for kind, value := range map[string][]byte{
		"letters":    []byte(rand.Text() + rand.Text()),
		"characters": []byte(`q"<&>\/+ %` + rand.Text() + `=é'` + "\n" + rand.Text() + `%41\u0041`),
		"bytes":      random,
	} {
		noise := []byte("time=2026 level=INFO msg=\"an answer\" path=/apis/apps/v1/namespaces/shop/deployments?limit=500&watch=1 {\"a\":\"b\\n\"} ")
		for way, write := range ways(t) {
			if kind == "bytes" && (way == "JSON" || way == "JSON in JSON") {
				continue // JSON holds no such strings
			}
			t.Run(kind+" as "+way, func(t *testing.T) {
				t.Parallel()
				f := leaktest.NewFinder()
				f.Add("it", value)
				f.Add("another", []byte(rand.Text()))
				for _, data := range [][]byte{write(value), append(append(bytes.Clone(noise), write(value)...), noise...)} {
					found, err := f.Find(data)
					require.NoError(t, err)
					require.NotEmpty(t, found)
					for _, one := range found {
						require.Equal(t, "it", one.Credential)
						require.NotContains(t, one.String(), string(value), "the finding is no leak itself")
					}
				}
				found, err := f.Find(bytes.Repeat(noise, 2))
				require.NoError(t, err)
				require.Empty(t, found)
			})
		}
	}
}

func TestTheSearchLooksIntoAFileOfRecordsAndItsFreePages(t *testing.T) {
	t.Parallel()
	for way, write := range ways(t) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			value := []byte(rand.Text() + rand.Text())
			f := leaktest.NewFinder()
			f.Add("it", value)
			file := filepath.Join(t.TempDir(), "records.db")
			d, err := boltrecords.Open(file, nil)
			require.NoError(t, err)
			records := storage.NewRecords(d, nil)
			revision, err := records.Put(t.Context(), "a/b", append(bytes.Repeat([]byte("-"), 9000), write(value)...), "")
			require.NoError(t, err)
			require.NoError(t, records.Delete(t.Context(), "a/b", revision))
			require.NoError(t, records.Close())
			found, err := f.Find(must(os.ReadFile(file)))
			require.NoError(t, err)
			require.NotEmpty(t, found, "what was deleted is in the file until it is written over")
		})
	}
}

func TestWhatCannotBeSearchedIsNotClean(t *testing.T) {
	t.Parallel()
	data := []byte(strings.Repeat("a", 64))
	for range 12 {
		data = b64(data)
	}
	_, err := leaktest.NewFinder().Find(data)
	require.ErrorContains(t, err, "too deep")
	require.Panics(t, func() { leaktest.NewFinder().Add("short", []byte("1234567")) })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(v []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(v)) }

func zipped(v []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(v)
	_ = w.Close()
	return b.Bytes()
}

func zstded(t testing.TB, v []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer w.Close()
	return w.EncodeAll(v, nil)
}
