package composefile_test

import (
	"fmt"
	"testing"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/stretchr/testify/require"
)

func TestRoutesNeverOverlap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		services string
		want     []string
		reported string
	}{
		"two web services: 80 is the main one": {
			"{admin: {image: nginx, ports: ['8080:80']}, web: {image: nginx, ports: ['80:80']}}",
			[]string{"admin 8080/tcp", "web http"}, "a tcp route at port 8080: the http route to components[web] takes every host",
		},
		"two web ports of one service": {
			"{web: {image: x, ports: ['9000:9090', '3000:3000']}}",
			[]string{"web 9000/tcp", "web http"}, "a tcp route at port 9000",
		},
		"none of the usual ports: the first": {
			"{a: {image: nginx, ports: ['1234:80']}, b: {image: nginx, ports: ['1235:80']}}",
			[]string{"a http", "b 1235/tcp"}, "a tcp route at port 1235",
		},
		"pages before the API of a database": {
			"{es: {image: elasticsearch, ports: ['9200:9200']}, kibana: {image: kibana, ports: ['5601:5601']}}",
			[]string{"es 9200/tcp", "kibana http"}, "a tcp route at port 9200",
		},
		"a service that is off gives way": {
			"{a: {image: nginx, ports: ['80:80'], profiles: [x]}, b: {image: nginx, ports: ['1235:80']}}",
			[]string{"a 80/tcp", "b http"}, "the http route to components[b] takes every host",
		},
		"one port at two addresses is one route": {
			"{a: {image: x, ports: ['0.0.0.0:53:53', '[::]:53:53']}}",
			[]string{"a 53/tcp"}, "",
		},
		"any port, twice the same": {
			"{a: {image: redis, ports: ['6379']}, b: {image: redis, ports: ['6379']}}",
			[]string{"a 6379/tcp"}, "routes[a] is at port 6379: reachable in the cluster only",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app, report, err := composefile.Import(t.Context(), []byte("services: "+c.services), nil)
			require.NoError(t, err)
			require.Equal(t, c.want, routes(app))
			require.Contains(t, lines(report), c.reported)
		})
	}
}

func routes(app *appmodel.Application) []string {
	var out []string
	for _, r := range app.Routes {
		if r.HTTP != nil {
			out = append(out, r.HTTP.Rules[0].To[0].Component+" http")
		} else {
			out = append(out, fmt.Sprintf("%s %d/tcp", r.TCP.To[0].Component, r.TCP.Port))
		}
	}
	return out
}
