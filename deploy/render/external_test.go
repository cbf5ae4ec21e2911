package render_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan/deploy/render"
)

func TestWhatRunsElsewhereRendersToItsGolden(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, components string }{
		{"ipv4", `
  - {id: db, kind: external, aliases: [mysql], external: {hosts: [192.0.2.2, 192.0.2.1]}, ports: [{name: sql, port: 13306, servicePort: 3306, appProtocol: mysql}]}`},
		{"ipv6", `
  - {id: db, kind: external, external: {hosts: ["2001:DB8::1"]}, ports: [{name: sql, port: 3306}, {port: 53, protocol: UDP}]}`},
		{"both", `
  - {id: db, kind: external, external: {hosts: [192.0.2.1, "::ffff:192.0.2.2", "2001:db8::1"]}, ports: [{name: sql, port: 3306}]}`},
		{"noport", `
  - {id: db, kind: external, external: {hosts: [192.0.2.1]}}`},
		{"name", `
  - {id: pay, kind: external, aliases: [pay, pay-old], external: {hosts: [api.pay.example]}, ports: [{name: https, port: 8443, servicePort: 443}]}
  - {id: alone, kind: external, external: {hosts: [alone.example]}, ports: [{name: https, port: 443}]}
  - {id: shown, kind: external, external: {hosts: [shown.example]}, ports: [{name: http, port: 8080, servicePort: 80}]}
routes: [{id: shown, http: {hosts: [shown.example.com], rules: [{to: [{component: shown}]}]}}, {id: port, tcp: {port: 80, to: [{component: shown}]}}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			app := decode(t, "apiVersion: appspan.dev/v1alpha1\nkind: Application\nmetadata: {name: app}\ncomponents:"+test.components+"\n")
			out, err := render.Render(edgeInput(app, edges(t)["nginx"]))
			require.NoError(t, err)
			golden(t, "external-"+test.name, edgeText(t, out, "Service", "EndpointSlice", "Ingress"))
		})
	}
}

// A Service without a selector sends to the endpoints of its own families
// only, and by default it has but the cluster's first.
func TestEveryEndpointIsOfAFamilyOfItsService(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, hosts string
		policy      corev1.IPFamilyPolicy
		families    []corev1.IPFamily
		slices      []discoveryv1.AddressType
	}{
		{"IPv4 alone", "[192.0.2.1]", corev1.IPFamilyPolicySingleStack, []corev1.IPFamily{corev1.IPv4Protocol}, []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4}},
		{"IPv6 alone", "['2001:db8::1']", corev1.IPFamilyPolicySingleStack, []corev1.IPFamily{corev1.IPv6Protocol}, []discoveryv1.AddressType{discoveryv1.AddressTypeIPv6}},
		{"both, as far as the cluster has both", "[192.0.2.1, '2001:db8::1']", corev1.IPFamilyPolicyPreferDualStack, nil,
			[]discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			app := decode(t, "apiVersion: appspan.dev/v1alpha1\nkind: Application\nmetadata: {name: app}\ncomponents: [{id: db, kind: external, external: {hosts: "+test.hosts+"}, ports: [{name: sql, port: 3306}]}]\n")
			out, err := render.Render(edgeInput(app, edges(t)["none"]))
			require.NoError(t, err)
			var slices []discoveryv1.AddressType
			for _, o := range out.Objects {
				switch o.Kind {
				case "Service":
					var s corev1.Service
					require.NoError(t, yaml.UnmarshalStrict(o.JSON, &s))
					require.Equal(t, test.policy, *s.Spec.IPFamilyPolicy)
					require.Equal(t, test.families, s.Spec.IPFamilies)
					require.Empty(t, s.Spec.Selector)
				case "EndpointSlice":
					var s discoveryv1.EndpointSlice
					require.NoError(t, yaml.UnmarshalStrict(o.JSON, &s))
					require.Equal(t, "app-db", s.Labels[discoveryv1.LabelServiceName])
					require.Len(t, s.Endpoints, 1)
					slices = append(slices, s.AddressType)
				}
			}
			require.Equal(t, test.slices, slices)
		})
	}
}
