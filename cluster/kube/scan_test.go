package kube

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

const livePod = ` { "metadata" : {"name":"a\u0062","namespace":"shop","uid":"u","resourceVersion":"7","generation":3,
	"deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"k":"v \"q\" \\","l":""},"managedFields":[{"manager":"}]\"{"}],"ownerReferences":null},
	"spec":{"x":[1,-2.5e3,true,null,"]}"]} } `

func TestObjectsAreReadAsFarAsWanted(t *testing.T) {
	t.Parallel()
	want := driver.Object{
		Ref: driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "ab"},
		UID: "u", Revision: "7", Generation: 3, Deleting: true, Labels: map[string]string{"k": `v "q" \`, "l": ""},
	}
	const metadata = `"name":"ab","namespace":"shop","uid":"u","resourceVersion":"7","generation":3,"deletionTimestamp":"2026-01-01T00:00:00Z",` +
		`"labels":{"k":"v \"q\" \\","l":""},"ownerReferences":null`
	const spec = `,"spec":{"x":[1,-2.5e3,true,null,"]}"]}`
	for p, whole := range map[driver.Projection]string{
		driver.Whole:    `{"apiVersion":"v1","kind":"Pod","metadata":{` + metadata + `,"managedFields":[{"manager":"}]\"{"}]}` + spec + `}`,
		driver.Trimmed:  `{"apiVersion":"v1","kind":"Pod","metadata":{` + metadata + `}` + spec + `}`,
		driver.Metadata: `{"apiVersion":"v1","kind":"Pod","metadata":{` + metadata + `}}`,
	} {
		obj, err := parse([]byte(livePod), "v1", "Pod", p)
		require.NoError(t, err)
		require.JSONEq(t, whole, string(obj.JSON))
		obj.JSON = nil
		require.Equal(t, want, obj)
	}
	complete := []byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}`)
	obj, err := parse(complete, "v1", "Pod", driver.Whole)
	require.NoError(t, err)
	require.Same(t, &complete[0], &obj.JSON[0], "what is complete is not copied")
}

func TestListsAreSplit(t *testing.T) {
	t.Parallel()
	q := driver.Query{APIVersion: "v1", Kind: "Pod", Projection: driver.Trimmed}
	page, err := parseList([]byte(`{"kind":"PodList","metadata":{"resourceVersion":"9","continue":"c"},"items":[`+livePod+`,{"metadata":{"name":"b"}}]}`), q)
	require.NoError(t, err)
	require.Equal(t, "9", page.Revision)
	require.Equal(t, "c", page.Continue)
	require.Len(t, page.Items, 2)
	require.Equal(t, "ab", page.Items[0].Name)
	require.JSONEq(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}`, string(page.Items[1].JSON))
	for _, empty := range []string{`{"metadata":{"resourceVersion":"9"},"items":[]}`, `{"metadata":{"resourceVersion":"9"},"items":null}`} {
		page, err := parseList([]byte(empty), q)
		require.NoError(t, err)
		require.Empty(t, page.Items)
	}
}

func TestWhatCannotBeReadIsCorrupt(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"nothing": "", "no object": "[]", "no end": `{"metadata":{"name":"a"}`, "no name": `{"metadata":{}}`, "a number for a name": `{"metadata":{"name":1}}`,
		"an open string": `{"metadata":{"name":"a`, "no colon": `{"metadata" {}}`, "no comma": `{"a":1 "b":2}`, "no value": `{"a":}`,
		"a name that ends in an escape": `{"metadata":{"name":"a\"}}`, "a depth without end": `{"a":` + strings.Repeat("[", 100_000),
		"a fraction of a generation": `{"metadata":{"name":"a","generation":1.5}}`, "labels that are no object": `{"metadata":{"name":"a","labels":[]}}`,
	} {
		_, err := parse([]byte(data), "v1", "Pod", driver.Trimmed)
		require.ErrorIs(t, err, appspan.ErrCorrupt, name)
	}
}

func TestPreconditionsReplaceWhatTheObjectSays(t *testing.T) {
	t.Parallel()
	given := []byte(`{"kind":"Pod","metadata":{"uid":"old","name":"a","resourceVersion":"1"},"spec":{"big":12345678901234567890}}`)
	before := bytes.Clone(given)
	data, err := withPreconditions(given, "u", "7")
	require.NoError(t, err)
	require.JSONEq(t, `{"kind":"Pod","metadata":{"name":"a","resourceVersion":"7","uid":"u"},"spec":{"big":12345678901234567890}}`, string(data))
	require.Contains(t, string(data), "12345678901234567890")
	require.Equal(t, before, given, "the caller's JSON is left alone")
	data, err = withPreconditions(given, "", "")
	require.NoError(t, err)
	require.Same(t, &given[0], &data[0])
}

func TestStreamsAreReadLineByLine(t *testing.T) {
	t.Parallel()
	in := func(s string) *bufio.Reader { return bufio.NewReaderSize(iotest.HalfReader(strings.NewReader(s)), 16) }
	long := strings.Repeat("x", 100)
	r := in("a\n\n \n" + long + "\nrest")
	for _, want := range []string{"a\n", long + "\n"} {
		line, err := readLine(r, 200)
		require.NoError(t, err)
		require.Equal(t, want, string(line))
	}
	_, err := readLine(r, 200)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a line that breaks off")
	_, err = readLine(in("a\n"), 1)
	require.ErrorIs(t, err, appspan.ErrExhausted)
	_, err = readLine(in(" \n"), 200)
	require.ErrorIs(t, err, io.EOF)
}

func TestEventsOfAStream(t *testing.T) {
	t.Parallel()
	q := driver.Query{APIVersion: "v1", Kind: "Pod"}
	for name, test := range map[string]struct {
		line     string
		kind     driver.WatchEventType
		revision string
		err      error
	}{
		"an object":            {`{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"5"}}}`, driver.Added, "5", nil},
		"a bookmark":           {`{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"6"},"spec":{}}}`, driver.Bookmark, "6", nil},
		"too old a revision":   {`{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}}`, "", "", appspan.ErrPrecondition},
		"an error without any": {`{"type":"ERROR","object":{}}`, "", "", appspan.ErrUnavailable},
		"a revision to come":   {`{"type":"ERROR","object":{"code":504,"details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}}`, "", "", appspan.ErrPrecondition},
		"a failure":            {`{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd"}}`, "", "", appspan.ErrUnavailable},
		"an unknown type":      {`{"type":"SURPRISE","object":{}}`, "", "", appspan.ErrCorrupt},
		"no object":            {`{"type":"ADDED"}`, "", "", appspan.ErrCorrupt},
		"something else again": {`<html>`, "", "", appspan.ErrCorrupt},
	} {
		e, err := parseEvent([]byte(test.line), q)
		require.ErrorIs(t, err, test.err, name)
		require.Equal(t, test.kind, e.Type, name)
		require.Equal(t, test.revision, e.Object.Revision, name)
	}
}

// FuzzObject: whatever is a JSON object is read as encoding/json reads it; of
// anything else the reader finds its way out.
func FuzzObject(f *testing.F) {
	f.Add([]byte(livePod))
	f.Add([]byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","labels":null}}`))
	f.Add([]byte(`{"metadata":{"name":"\\"},"a":["\\\"",{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range []driver.Projection{driver.Whole, driver.Trimmed, driver.Metadata} {
			obj, err := parse(data, "v1", "Pod", p)
			if err != nil {
				require.ErrorIs(t, err, appspan.ErrCorrupt)
				continue
			}
			if json.Valid(data) {
				require.True(t, json.Valid(obj.JSON), "%s", obj.JSON)
			}
		}
	})
}

// FuzzList and FuzzEvent: no document makes the reader panic or hang.
func FuzzList(f *testing.F) {
	f.Add([]byte(`{"metadata":{"resourceVersion":"9","continue":"c"},"items":[{"metadata":{"name":"b"}}]}`))
	f.Add([]byte(`{"items":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q := driver.Query{APIVersion: "v1", Kind: "Pod", Projection: driver.Trimmed}
		page, err := parseList(data, q)
		require.True(t, err == nil || errors.Is(err, appspan.ErrCorrupt))
		if err == nil && json.Valid(data) {
			for _, obj := range page.Items {
				require.True(t, json.Valid(obj.JSON))
			}
		}
		_, _, err = parseDiscovery(data)
		require.True(t, err == nil || errors.Is(err, appspan.ErrCorrupt))
	})
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"5"}}}` + "\n"))
	f.Add([]byte(`{"type":"ERROR","object":{"kind":"Status","code":410}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(data), 16)
		for range 100 {
			line, err := readLine(in, 1000)
			if err != nil {
				break
			}
			_, _ = parseEvent(line, driver.Query{APIVersion: "v1", Kind: "Pod"})
		}
	})
}
