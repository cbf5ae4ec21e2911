package refserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
)

func TestASessionEndsWithTheTokenThatBeganIt(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	var made client.NewToken
	s.send("ann", "POST", "/api/v1/tokens", map[string]any{}).into(t, 201, &made)
	begun := s.send("", "POST", "/api/v1/session", map[string]string{"token": made.Text})
	begun.into(t, 204, nil)
	cookie := begun.Cookies()[0]
	var me client.Me
	s.send("", "GET", "/api/v1/me", nil, "Cookie", cookie.Name+"="+cookie.Value).into(t, 200, &me)
	require.Equal(t, "ann", me.Subject.ID)
	s.send("ann", "DELETE", "/api/v1/tokens/"+made.ID, nil).into(t, 204, nil)
	s.send("", "GET", "/api/v1/me", nil, "Cookie", cookie.Name+"="+cookie.Value).into(t, 401, nil)
}

func TestStrangersShutNobodyOutWhoComesTheSameWay(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *refserver.Options) { o.Rate, o.Burst = 1, 5 })
	wrong := "Bearer appspan_" + strings.Repeat("A", 52)
	refused := map[int]int{}
	for range 20 {
		refused[s.send("", "GET", "/api/v1/me", nil, "Authorization", wrong).StatusCode]++
	}
	require.Positive(t, refused[http.StatusTooManyRequests], refused)
	require.Positive(t, refused[http.StatusUnauthorized], refused)
	s.send("ann", "GET", "/api/v1/me", nil).into(t, 200, nil)
}

func TestWhatCannotBeFoundOutIsNoRefusal(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *refserver.Options) {
		o.Authenticators = append(o.Authenticators, refserver.AuthenticatorFunc(func(r *http.Request) (*refserver.Login, error) {
			if r.Header.Get("X-Away") != "" {
				return nil, fmt.Errorf("get https://idp.internal:8443: %w", appspan.ErrUnavailable)
			}
			return nil, nil
		}))
	})
	var p client.Problem
	away := s.send("", "GET", "/api/v1/me", nil, "X-Away", "1")
	away.into(t, 503, &p)
	require.NotContains(t, p.Detail, "idp.internal")
	require.NotEmpty(t, away.Header.Get("Retry-After"))
}

func TestNobodyLogsInAsTheServerItself(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	s.send("appspan:server", "GET", "/api/v1/teams", nil).into(t, 401, nil)
}

func TestADryRunIsNeitherInTheAuditNorInTheIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	count := func() (n int) {
		for range w.client("admin", "").Audit(t.Context(), client.AuditFilter{}) {
			n++
		}
		return n
	}
	before := count()
	for path, body := range map[string]any{
		"/environments/shop/test/stages":                map[string]any{"document": map[string]any{"text": shop}},
		"/stages/shop/" + w.ids["stage"] + "/rejection": map[string]any{"comment": "no"},
		"/recoveries": map[string]any{"clusters": []string{"a"}},
		"/images":     map[string]any{"image": "registry.example.com/web:9"},
	} {
		got := w.send("admin", "POST", "/api/v1"+path+"?dryRun=true", body)
		require.Less(t, got.StatusCode, 500, "%s: %s", path, got.body)
	}
	require.Equal(t, before, count())
	w.send("admin", "PUT", "/api/v1/environments/shop/gone", map[string]any{"target": map[string]any{"clusters": []string{"a"}, "namespace": "gone"}}, "If-Match", `"old"`).into(t, 412, nil)
}
