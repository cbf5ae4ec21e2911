package refserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
)

// site is a server with two clusters in memory, under way.
type site struct {
	t     *testing.T
	fakes fake.Provider
	*refserver.Server
	http *httptest.Server
}

// admin may do everything.
var admin = appspan.Subject{ID: "admin"}

// as is a header that says who somebody is, in place of a login.
const as = "X-Test-Subject"

func open(t *testing.T, change func(*refserver.Options)) *site {
	t.Helper()
	s := &site{t: t, fakes: fake.Provider{"a": fake.New(&fake.Options{Name: "a"}), "b": fake.New(&fake.Options{Name: "b"})}}
	o := &refserver.Options{Dir: t.TempDir(), Operators: []string{admin.ID}, Providers: map[string]driver.Provider{"fake": s.fakes},
		HandlerOptions: refserver.HandlerOptions{Rate: 1000, Burst: 2000, Authenticators: []refserver.Authenticator{refserver.AuthenticatorFunc(func(r *http.Request) (*refserver.Login, error) {
			if id := r.Header.Get(as); id != "" {
				return &refserver.Login{Subject: appspan.Subject{ID: id}, Method: "test"}, nil
			}
			return nil, nil
		})}}}
	if change != nil {
		change(o)
	}
	var err error
	s.Server, err = refserver.Open(t.Context(), o)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.http = httptest.NewServer(judged(t, s.Server, o.BasePath))
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("run:", err)
		}
		require.NoError(t, s.Close())
		s.http.CloseClientConnections()
		s.http.Close()
	})
	for name := range s.fakes {
		_, err := s.Parts().Fleet.For(admin).Add(t.Context(), cluster.Registration{Name: name, Provider: "fake"}, nil)
		require.NoError(t, err)
	}
	return s
}

// answer is what a request came to.
type answer struct {
	*http.Response
	body []byte
}

// send sends a request as somebody; a string is sent as it is, anything else as
// JSON.
func (s *site) send(who, method, path string, body any, headers ...string) answer {
	s.t.Helper()
	var r io.Reader
	media := ""
	switch b := body.(type) {
	case nil:
	case string:
		r, media = strings.NewReader(b), "application/json"
	default:
		data, err := json.Marshal(body)
		require.NoError(s.t, err)
		r, media = bytes.NewReader(data), "application/json"
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, r)
	require.NoError(s.t, err)
	if who != "" {
		req.Header.Set(as, who)
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, data}
}

// into requires a status and reads the body.
func (a answer) into(t *testing.T, status int, v any) {
	t.Helper()
	require.Equal(t, status, a.StatusCode, string(a.body))
	if v != nil {
		require.NoError(t, json.Unmarshal(a.body, v), string(a.body))
	}
}

// settled waits until an operation is over.
func (s *site) settled(who, id string) client.Operation {
	s.t.Helper()
	var op client.Operation
	require.Eventually(s.t, func() bool {
		s.send(who, "GET", "/api/v1/operations/"+id, nil).into(s.t, 200, &op)
		return op.State.Over()
	}, 30*time.Second, 20*time.Millisecond)
	return op
}

const shop = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", ports: [{name: http, port: 8080}], scale: {replicas: 2}, security: {runAsUser: 1000}}
`

func TestAnApplicationIsDeployedAfterItsPlanWasSeen(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	deployment := map[string]any{"document": map[string]any{"text": shop}, "target": map[string]any{"clusters": []string{"a", "b"}, "namespace": "shop"}}
	var seen client.Planned
	s.send("admin", "POST", "/api/v1/applications?dryRun=true", deployment).into(t, 200, &seen)
	require.NotEmpty(t, seen.Plan.Hash)
	require.Contains(t, seen.Text, "Deployment")
	deployment["planHash"] = "sha256:another"
	s.send("admin", "POST", "/api/v1/applications", deployment).into(t, 412, nil)
	deployment["planHash"] = seen.Plan.Hash
	var begun client.Planned
	got := s.send("admin", "POST", "/api/v1/applications", deployment, "Idempotency-Key", "one")
	got.into(t, 202, &begun)
	require.Equal(t, "/api/v1/operations/"+begun.Operation.ID, got.Header.Get("Location"))
	again := s.send("admin", "POST", "/api/v1/applications", deployment, "Idempotency-Key", "one")
	again.into(t, 202, nil)
	require.JSONEq(t, string(got.body), string(again.body))
	require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
	done := s.settled("admin", begun.Operation.ID)
	require.Equal(t, "done", string(done.State), done.Error)
	require.Len(t, done.Result.Clusters, 2)
	var list client.List[client.Application]
	require.Eventually(t, func() bool {
		s.send("admin", "GET", "/api/v1/applications", nil).into(t, 200, &list)
		return len(list.Items) == 1 && list.Items[0].Status.Worst == "Ready"
	}, 30*time.Second, 50*time.Millisecond)
	s.send("somebody", "GET", "/api/v1/applications/shop/shop", nil).into(t, 404, nil)
	var p client.Problem
	s.send("", "GET", "/api/v1/applications", nil).into(t, 401, &p)
	require.Equal(t, refserver.ProblemType+"unauthenticated", p.Type)
	s.send("admin", "PATCH", "/api/v1/applications", nil).into(t, 405, nil)
	s.send("admin", "GET", "/api/v2/nothing", nil).into(t, 404, &p)
	s.send("admin", "GET", "/api/v1/applications?nmespace=x", nil).into(t, 400, &p)
	require.Contains(t, p.Detail, "nmespace")
	s.send("admin", "GET", "/openapi.json", nil).into(t, 200, nil)
}
