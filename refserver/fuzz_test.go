package refserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// generator makes requests of the document. It is a function of its seed.
type generator struct {
	*rand.Rand
	ids     map[string]string
	schemas map[string]any
}

// nasty are texts that somebody has tripped over.
func nasty() []string {
	return []string{"", " ", "a", "shop", "..", "../../etc/passwd", "%2e%2e%2f", "\x00", "\x1b[31m", "a\r\nX-Injected: 1", "<script>alert(1)</script>", "'; DROP TABLE x; --", "${jndi:ldap://x}",
		"\u202e\u200b", "\xff\xfe", strings.Repeat("a", 300), strings.Repeat("é", 5000), "-1", "0", "1", "2147483648", "9223372036854775808", "1e309", "NaN", "null", "true", "2026-01-02T15:04:05Z",
		"0001-01-01T00:00:00Z", "99999-01-01", "1h", "-1ns", "*", `"x"`, "a=b,c in (d)", "registry.example.com/web@sha256:0000", "sha256:", "kubernetes.io/x", "components[web].image", "a[", "{", "[]"}
}

func pick[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

func (g *generator) text() string {
	if g.IntN(3) == 0 {
		return pick(g, slices.Sorted(maps.Values(g.ids)))
	}
	return pick(g, nasty())
}

// value is one of a schema, most of the time.
func (g *generator) value(schema map[string]any, depth int) any {
	if g.IntN(12) == 0 || depth > 8 { // something else
		switch g.IntN(8) {
		case 0:
			return nil
		case 1:
			return g.text()
		case 2:
			return g.Int64() - g.Int64()
		case 3:
			return []any{}
		case 4:
			return map[string]any{g.text(): g.text()}
		case 5:
			return g.IntN(2) == 0
		case 6:
			return json.RawMessage(strings.Repeat("[", 200) + strings.Repeat("]", 200))
		default:
			return -1.5e300
		}
	}
	if ref, ok := schema["$ref"].(string); ok {
		inner, _ := g.schemas[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any)
		return g.value(inner, depth+1)
	}
	if either, ok := schema["anyOf"].([]any); ok {
		inner, _ := either[0].(map[string]any)
		return g.value(inner, depth+1)
	}
	switch schema["type"] {
	case "string":
		if schema["format"] == "date-time" {
			return "2026-11-23T00:00:00Z"
		}
		return g.text()
	case "integer", "number":
		return pick(g, []int64{0, 1, 2, 3, -1, 100, 1 << 31, 1<<63 - 1, -1 << 63})
	case "boolean":
		return g.IntN(2) == 0
	case "array":
		items, _ := schema["items"].(map[string]any)
		out := []any{}
		for range g.IntN(4) {
			out = append(out, g.value(items, depth+1))
		}
		return out
	case "object":
		out := map[string]any{}
		properties, _ := schema["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if g.IntN(3) == 0 {
				inner, _ := properties[name].(map[string]any)
				out[name] = g.value(inner, depth+1)
			}
		}
		if inner, ok := schema["additionalProperties"].(map[string]any); ok {
			for range g.IntN(3) {
				out[g.text()] = g.value(inner, depth+1)
			}
		}
		return out
	}
	return map[string]any{"a": g.text()}
}

// mutated is a value with a change somewhere.
func (g *generator) mutated(v any) any {
	switch n := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(n))
		if len(keys) == 0 || g.IntN(10) == 0 {
			n[g.text()] = g.text()
			return n
		}
		if key := pick(g, keys); g.IntN(6) == 0 {
			delete(n, key)
		} else {
			n[key] = g.mutated(n[key])
		}
		return n
	case []any:
		if len(n) > 0 && g.IntN(3) > 0 {
			n[0] = g.mutated(n[0])
			return n
		}
		return append(n, g.text())
	case string:
		if i := g.IntN(len(n) + 1); len(n) > 20 { // a document: change a piece of it
			return n[:i] + g.text() + n[min(len(n), i+g.IntN(10)):]
		}
		return g.text()
	}
	return g.value(map[string]any{"type": "x"}, 9)
}

// request is one of an operation.
func (g *generator) request(ctx context.Context, base string, d *described) (*http.Request, error) {
	path := d.path
	query := url.Values{}
	for _, p := range d.Parameters {
		switch {
		case p.In == "path":
			value := g.ids[p.Name]
			if g.IntN(6) == 0 {
				value = g.text()
			}
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(value))
		case p.In == "query" && p.Name != "follow" && g.IntN(6) == 0:
			value := g.text()
			if p.Schema["type"] == "boolean" {
				value = pick(g, []string{"true", "false", "x"})
			}
			query.Add(p.Name, value)
		}
	}
	if d.method != "GET" && g.IntN(3) > 0 {
		query.Set("dryRun", "true")
	}
	var body io.Reader
	if d.method != "GET" {
		var v any
		for _, media := range d.RequestBody.Content {
			v = g.value(media.Schema, 0)
		}
		if good := bodies()[d.ID]; good != nil && g.IntN(3) > 0 {
			data, err := json.Marshal(good)
			if err == nil {
				err = json.Unmarshal(data, &v)
			}
			if err != nil {
				return nil, err
			}
			for range g.IntN(3) {
				v = g.mutated(v)
			}
		}
		data, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		if g.IntN(15) == 0 {
			data = data[:g.IntN(len(data)+1)]
		}
		body = strings.NewReader(string(data))
	}
	target := base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, d.method, target, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", pick(g, []string{"application/json", "application/json", "application/json", "application/json; charset=utf-8", "text/plain"}))
	r.Header.Set(as, pick(g, []string{"admin", "admin", "blue-admin", "blue-developer", "blue-observer", "red-admin", "stranger"}))
	if g.IntN(2) == 0 {
		r.Header.Set("Appspan-Team", pick(g, []string{"blue", "blue", "red"}))
	}
	for _, name := range []string{"If-Match", "Idempotency-Key", "Last-Event-ID", "Webhook-Id", "X-Request-Id"} {
		if value := g.text(); g.IntN(8) == 0 && !strings.ContainsAny(value, "\r\n\x00\x1b") {
			r.Header.Set(name, value)
		}
	}
	return r, nil
}

func TestNoRequestOfTheDocumentBreaksTheServer(t *testing.T) {
	t.Parallel()
	n, seed := 5000, uint64(1)
	if os.Getenv("APPSPAN_SOAK") != "" {
		n, seed = 100_000, rand.Uint64()
	}
	if text := os.Getenv("APPSPAN_SEED"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		seed = given
	}
	t.Log("APPSPAN_SEED =", seed)
	w := newWorld(t)
	ops := w.operations()
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(ops)), func(id string) bool { return id == "streamEvents" })
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	require.NoError(t, json.Unmarshal(document, &doc))
	statuses := map[int]int{}
	web := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer web.CloseIdleConnections()
	for i := range n {
		g := &generator{rand.New(rand.NewPCG(seed, uint64(i))), w.ids, doc.Components.Schemas}
		d := ops[pick(g, ids)]
		r, err := g.request(t.Context(), w.http.URL, d)
		require.NoError(t, err)
		resp, err := web.Do(r)
		var refused *url.Error
		if errors.As(err, &refused) && strings.Contains(err.Error(), "invalid header") {
			continue // by Go's client
		}
		require.NoError(t, err, "request %d: %s %s", i, r.Method, r.URL)
		data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
		_ = resp.Body.Close()
		require.NoError(t, err, "request %d: %s %s", i, r.Method, r.URL)
		statuses[resp.StatusCode]++
		if resp.StatusCode >= 500 {
			t.Errorf("request %d: %s %s: %d: %s", i, r.Method, r.URL, resp.StatusCode, cut(string(data)))
		}
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	require.Less(t, memory.HeapAlloc, uint64(1<<30))
	t.Log(statuses, memory.HeapAlloc>>20, "MiB")
	w.send("admin", "GET", "/readyz", nil).into(t, 200, nil)
}
