package appmodel

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func decoded(t testing.TB, body string) *Application {
	t.Helper()
	a, _, err := Decode([]byte(header+body), nil)
	require.NoError(t, err)
	return a
}

func TestEveryDefaultOfTheTagsCanBeRead(t *testing.T) {
	t.Parallel()
	for typ, s := range shapes() {
		for _, f := range s.fields {
			if f.def == "" {
				continue
			}
			v := reflect.New(f.typ).Elem()
			setDefault(v, f.def)
			require.False(t, v.IsZero(), "%s.%s", typ.Name(), f.name)
			if f.enum != nil {
				require.Contains(t, f.enum, f.def)
			}
		}
	}
}

func TestDefaultsThatFollowFromOtherFields(t *testing.T) {
	t.Parallel()
	a := decoded(t, `
volumes: [{name: one, kind: persistent, size: 1Gi}, {name: many, kind: persistent, size: 1Gi}]
components:
  - id: a
    kind: stateful
    image: a:1
    ports: [{port: 80}]
    volumes: [{name: own, kind: persistent, size: 1Gi}]
    mounts: [{path: /a, volume: one}, {path: /b, volume: many}, {path: /c, volume: own}]
    scale: {auto: {max: 1, metrics: [{cpu: {average: 1}}]}}
    sidecars: [{name: s, image: "s:1", security: {}, lifecycle: {preStop: {sleep: 1s}}}]
  - {id: b, kind: daemon, image: "b:1", mounts: [{path: /b, volume: many}]}
routes: [{id: r, http: {rules: [{to: [{component: a}]}]}}]
`)
	before := Clone(a)
	full := WithDefaults(a)
	require.Equal(t, before, a)
	require.Equal(t, "ReadWriteOnce", full.Volumes[0].AccessMode)
	require.Equal(t, "ReadWriteMany", full.Volumes[1].AccessMode)
	c := full.Components[0]
	require.Equal(t, 80, c.Ports[0].ServicePort)
	require.Equal(t, "replica", c.Volumes[0].Scope)
	require.Equal(t, "cpu", c.Scale.Auto.Metrics[0].Name)
	require.Equal(t, LevelRestricted, c.Security.Level)
	require.Empty(t, c.Sidecars[0].Security.Level)
	require.Zero(t, c.Sidecars[0].Lifecycle.GracePeriod)
	require.Equal(t, "/", full.Routes[0].HTTP.Rules[0].Name)
	require.Equal(t, full, WithDefaults(full))
}

func TestDocumentsThatMeanTheSameHaveTheSameHash(t *testing.T) {
	t.Parallel()
	hash := func(a *Application) string {
		h, err := Hash(a)
		require.NoError(t, err)
		return h
	}
	plain := decoded(t, `components: [{id: a, kind: service, image: "a:1", ports: [{port: 80}, {port: 53, protocol: UDP}], resources: {limits: {cpu: "0.5"}}}, {id: b, kind: service, image: "b:1", needs: [{component: a}]}]`)
	written := decoded(t, `components:
  - {id: b, kind: service, image: "b:1", enabled: true, needs: [{name: a, component: a, condition: none}], scale: {}, update: {}}
  - {id: a, kind: service, image: "a:1", scale: {replicas: 1}, security: {level: restricted}, ports: [{port: 53, protocol: UDP}, {port: 80, servicePort: 80, protocol: TCP}], resources: {limits: {cpu: 500m}}}
`)
	require.Equal(t, hash(plain), hash(written))
	require.True(t, strings.HasPrefix(hash(plain), "sha256:"))
	other := Clone(plain)
	other.Components[1].Needs[0].Prefix = new(string)
	require.NotEqual(t, hash(plain), hash(other), "an empty prefix is a prefix")

	secret := func(value string) *Application {
		return decoded(t, "secrets: [{name: s, items: [{name: i, value: "+value+"}]}]")
	}
	require.Equal(t, hash(secret("abcdefgh")), hash(secret("ijklmnop")))
	one, err := Canonical(secret("abcdefgh"))
	require.NoError(t, err)
	two, err := Canonical(secret("ijklmnop"))
	require.NoError(t, err)
	require.NotEqual(t, one, two)
}

func TestNumbersOfForeignDataInTheCanonicalForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1.50": "1.5", "1E2": "100", "-0": "0", "0.0": "0", "1e21": "1e+21", "0.000001": "0.000001", "1e-7": "1e-7",
		"9007199254740993": "9007199254740993", "12345678901234567890": "12345678901234567890",
		"1e400": "1e400", "1e-400": "1e-400", "1e999999999": "1e999999999",
	} {
		require.Equal(t, want, canonicalNumber(in), in)
	}
}

func manyComponents(n int) []byte {
	var b strings.Builder
	b.WriteString(header + "components:\n")
	for i := range n {
		fmt.Fprintf(&b, `  - id: c%d
    kind: service
    image: registry.example.com/shop/c:%d
    ports: [{name: http, port: 8080, servicePort: 80}]
    env: [{name: A, value: b}, {name: B, template: "${self.address}"}]
    needs: [{name: previous, component: c%d, condition: ready}]
    volumes: [{name: data, kind: persistent, size: 1Gi}]
    mounts: [{path: /data, volume: data}]
    probes: {readiness: {http: {path: /, port: http}}}
    resources: {requests: {cpu: 100m, memory: 128Mi}}
`, i, i, max(0, i-1))
	}
	return []byte(strings.Replace(b.String(), "    needs: [{name: previous, component: c0, condition: ready}]\n", "", 1))
}

func BenchmarkDecode1000Components(b *testing.B) {
	data := manyComponents(1000)
	for b.Loop() {
		if _, _, err := Decode(data, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate1000Components(b *testing.B) {
	a, _, err := Decode(manyComponents(1000), nil)
	require.NoError(b, err)
	for b.Loop() {
		Validate(a)
	}
}

func BenchmarkHash1000Components(b *testing.B) {
	a, _, err := Decode(manyComponents(1000), nil)
	require.NoError(b, err)
	for b.Loop() {
		if _, err := Hash(a); err != nil {
			b.Fatal(err)
		}
	}
}
