package appmodel

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

func seeds(f *testing.F) {
	f.Add(shop(f))
	archive, err := txtar.ParseFile("testdata/bad.txtar")
	require.NoError(f, err)
	for _, file := range archive.Files {
		f.Add(file.Data)
	}
	f.Add([]byte(`{"apiVersion":"appspan.dev/v1alpha1","kind":"Application","metadata":{"name":"a"},"extensions":{"a.b":[1e400,1.50,"\u2028\ud83d\ude00",null]}}`))
}

func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, faults, err := Decode(data, nil)
		if err != nil {
			require.Nil(t, a)
			require.NotEmpty(t, faults)
			return
		}
		want, err := Hash(a)
		require.NoError(t, err)
		for _, opts := range []*EncodeOptions{{Secrets: true}, {JSON: true, Secrets: true}} {
			text, err := Encode(a, opts)
			require.NoError(t, err)
			again, _, err := Decode(text, nil)
			require.NoError(t, err, string(text))
			got, err := Hash(again)
			require.NoError(t, err)
			require.Equal(t, want, got, string(text))
			full, err := Canonical(a)
			require.NoError(t, err)
			fullAgain, err := Canonical(again)
			require.NoError(t, err)
			require.Equal(t, string(full), string(fullAgain))
		}
		got, err := Hash(WithDefaults(a))
		require.NoError(t, err)
		require.Equal(t, want, got, "defaults written out mean the same")
	})
}

func FuzzDecodeOverride(f *testing.F) {
	f.Add([]byte("apiVersion: appspan.dev/v1alpha1\nkind: Override\nmetadata: {name: p}\nset:\n  components:\n    - {id: web, scale: {auto: {min: 4}}}\nremove: [\"components[a]\"]\n"))
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		o, _, err := DecodeOverride(data, nil)
		if err != nil {
			return
		}
		text, err := EncodeOverride(o, &EncodeOptions{Secrets: true})
		require.NoError(t, err)
		again, _, err := DecodeOverride(text, nil)
		require.NoError(t, err, string(text))
		require.Equal(t, o.Remove, again.Remove)
		if o.Set != nil && again.Set != nil {
			require.JSONEq(t, string(o.Set.JSON), string(again.Set.JSON))
		}
	})
}

func FuzzParseTemplate(f *testing.F) {
	for _, s := range []string{"", "$", "$$", "${param.a}", `${config.a["b}c"]}`, "$$${param.a}$", "${self.port.http}", "${cluster.labels.a.b/c}", "${"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tmpl, err := ParseTemplate(s)
		if err != nil {
			return
		}
		again, err := ParseTemplate(tmpl.String())
		require.NoError(t, err, tmpl.String())
		require.Equal(t, tmpl, again)
	})
}

func FuzzQuantity(f *testing.F) {
	for _, s := range []string{"", "1", "250m", "20Gi", "-1", "1e400", "1e-30", "9999999999999999999999Ei"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := Quantity(s)
		c := q.Canonical()
		require.Equal(t, c, c.Canonical())
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"", "1", "90s", "1h30m", "-1s", "1ns", "2540400h10m10.000000000s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d, again Duration
		if d.UnmarshalText([]byte(s)) != nil {
			return
		}
		require.NoError(t, again.UnmarshalText([]byte(d.String())))
		require.Equal(t, d, again)
	})
}
