package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/refserver/client"
)

const token = "appspan_SECRETSECRETSECRET"

// answers is a transport that is the whole network.
type answers func(r *http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// told is an answer; headers are names and values.
func told(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	if status >= 400 {
		h.Set("Content-Type", "application/problem+json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func new(t *testing.T, network answers) *client.Client {
	t.Helper()
	c, err := client.New("https://cloud.example.com/portal/", &client.Options{Token: token, Team: "blue", HTTP: &http.Client{Transport: network}})
	require.NoError(t, err)
	return c
}

func TestAddressesThatAreNoneAreRefusedWithoutTheirPasswords(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "cloud.example.com", "ftp://cloud.example.com", "https://u:hunter2@cloud.example.com", "https://cloud.example.com?x=hunter2", "https://cloud.example.com#x", "http://%zz", "https://"} {
		_, err := client.New(address, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid, address)
		if !strings.Contains(address, "?") {
			require.NotContains(t, err.Error(), "hunter2")
		}
	}
}

func TestARequestSaysWhoAsksForWhom(t *testing.T) {
	t.Parallel()
	c := new(t, func(r *http.Request) (*http.Response, error) {
		require.Equal(t, "https://cloud.example.com/portal/api/v1/applications/a%2Fb/%2E%2E%3Fx?fresh=true", strings.ReplaceAll(r.URL.String(), "..", "%2E%2E"))
		require.Equal(t, "Bearer "+token, r.Header.Get("Authorization"))
		require.Equal(t, "red", r.Header.Get("Appspan-Team"))
		return told(200, `{"name":"x"}`), nil
	})
	_, err := c.ForTeam("red").Application(t.Context(), "a/b", "..?x", true)
	require.NoError(t, err)
}

func TestWhatMayBeSentAgainIsSentAgainWithItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, key := 0, ""
		c := new(t, func(r *http.Request) (*http.Response, error) {
			n++
			if key == "" {
				key = r.Header.Get("Idempotency-Key")
			}
			require.NotEmpty(t, key)
			require.Equal(t, key, r.Header.Get("Idempotency-Key"))
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.JSONEq(t, `{"image":"registry.example.com/web:1"}`, string(body))
			switch n {
			case 1:
				return nil, errors.New("connection reset")
			case 2:
				return told(503, `{"type":"https://appspan.dev/problems/unavailable","title":"x","status":503}`, "Retry-After", "7"), nil
			case 3:
				return told(409, `{"type":"https://appspan.dev/problems/conflict","title":"x","status":409}`, "Retry-After", "1"), nil
			}
			return told(200, `{"items":[]}`), nil
		})
		began := time.Now()
		_, err := c.ImagePushed(t.Context(), client.Push{Image: "registry.example.com/web:1"})
		require.NoError(t, err)
		require.Equal(t, 4, n)
		require.GreaterOrEqual(t, time.Since(began), 8*time.Second, "as long as the server said")
	})
}

func TestWhatMayNotBeSentAgainIsNot(t *testing.T) {
	t.Parallel()
	n := 0
	c := new(t, func(*http.Request) (*http.Response, error) { n++; return nil, errors.New("connection reset") })
	require.ErrorIs(t, c.DeleteEnvironment(t.Context(), "shop", "live"), appspan.ErrUnavailable)
	require.Equal(t, 1, n, "it may have been done")
	n = 0
	c = new(t, func(*http.Request) (*http.Response, error) {
		n++
		return told(409, `{"type":"https://appspan.dev/problems/conflict","title":"x","status":409}`), nil
	})
	_, err := c.ImagePushed(t.Context(), client.Push{})
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.Equal(t, 1, n)
}

func TestProblemsAreErrorsOfTheirCategory(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{"invalid": appspan.ErrInvalid, "denied": appspan.ErrDenied, "unauthenticated": appspan.ErrDenied, "not-found": appspan.ErrNotFound,
		"exists": appspan.ErrExists, "precondition-failed": appspan.ErrPrecondition, "precondition-required": appspan.ErrPrecondition, "exhausted": appspan.ErrExhausted,
		"conflict": appspan.ErrConflict, "unsupported": appspan.ErrUnsupported, "corrupt": appspan.ErrCorrupt, "too-large": appspan.ErrExhausted,
		"unsupported-media-type": appspan.ErrInvalid, "method-not-allowed": appspan.ErrUnsupported} {
		c := new(t, func(*http.Request) (*http.Response, error) {
			return told(400, `{"type":"https://appspan.dev/problems/`+name+`","title":"t","status":400,"detail":"what","instance":"id"}`), nil
		})
		_, err := c.Me(t.Context())
		require.ErrorIs(t, err, want, name)
		require.EqualError(t, err, "what")
		var p *client.Problem
		require.ErrorAs(t, err, &p)
		require.Equal(t, "id", p.Instance)
	}
	c := new(t, func(*http.Request) (*http.Response, error) {
		return told(403, `<html>`, "Content-Type", "text/html"), nil
	})
	_, err := c.Me(t.Context())
	require.EqualError(t, err, "Forbidden (403)")
	require.ErrorIs(t, err, appspan.ErrDenied, "of a proxy in between")
}

func TestNoErrorHasTheToken(t *testing.T) {
	t.Parallel()
	for _, network := range []answers{
		func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("dial: %w", errors.New("refused"))
		},
		func(r *http.Request) (*http.Response, error) { return told(200, `{`), nil },
		func(r *http.Request) (*http.Response, error) {
			return told(302, ``, "Location", "https://evil.example.com/"), nil
		},
	} {
		c, err := client.New("https://cloud.example.com", &client.Options{Token: token, Attempts: 1, HTTP: &http.Client{Transport: network}})
		require.NoError(t, err)
		_, err = c.Me(t.Context())
		require.Error(t, err)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), token)
		require.Error(t, c.Exec(t.Context(), "shop", "shop", client.ExecOptions{Command: []string{"true"}}))
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", c, c, *c), token, "nor does the client, printed")
	}
}

func TestNobodyElseIsSentTheToken(t *testing.T) {
	t.Parallel()
	var stolen atomic.Value
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { stolen.Store(r.Header.Get("Authorization")) }))
	defer evil.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, evil.URL+"/x", status) }))
		c, err := client.New(s.URL, &client.Options{Token: token})
		require.NoError(t, err)
		_, err = c.Me(t.Context())
		require.ErrorIs(t, err, appspan.ErrDenied)
		for _, err := range c.Events(t.Context()) {
			require.ErrorIs(t, err, appspan.ErrDenied)
		}
		require.ErrorIs(t, c.Exec(t.Context(), "shop", "shop", client.ExecOptions{Command: []string{"true"}}), appspan.ErrDenied)
		s.Close()
	}
	require.Nil(t, stolen.Load())
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 80 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	c, err := client.New(endless.URL, &client.Options{Attempts: 1})
	require.NoError(t, err)
	_, err = c.Me(t.Context())
	require.ErrorIs(t, err, appspan.ErrExhausted)
	for _, err := range c.Events(t.Context()) { // one line without an end
		require.ErrorIs(t, err, appspan.ErrExhausted)
	}
}

func TestAServerThatSaysNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := new(t, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		_, err := c.Me(t.Context())
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("the user left"))
		_, err = c.Me(ctx)
		require.EqualError(t, err, "GET /me: the user left")
	})
}

func TestPagesFollowTheirCursorsOnce(t *testing.T) {
	t.Parallel()
	n := 0
	c := new(t, func(r *http.Request) (*http.Response, error) {
		n++
		require.Equal(t, []string{"Ready", "Failed"}, r.URL.Query()["status"])
		switch r.URL.Query().Get("cursor") {
		case "":
			return told(200, `{"items":[{"application":"a"},{"application":"b"}],"next":"2"}`), nil
		case "2":
			return told(200, `{"items":[{"application":"c"}],"next":"2"}`), nil // a server that runs in circles
		}
		return told(500, `{}`), nil
	})
	var names []string
	for app, err := range c.Applications(t.Context(), &client.ListFilter{Status: []string{"Ready", "Failed"}}) {
		require.NoError(t, err)
		names = append(names, app.Application)
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.Equal(t, 2, n)
}

func TestEventsGoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var afters []string
		c := new(t, func(r *http.Request) (*http.Response, error) {
			afters = append(afters, r.URL.Query().Get("after"))
			body := map[int]string{
				1: ": listening\n\n",
				2: "id: e-1\nevent: application\ndata: {\"a\":\ndata: 1}\n\nid: e-2\nevent: oper", // cut in the middle of one
				3: "id: e-2\r\nevent: operation\r\ndata: {}\r\n\r\n",
				4: "",
				5: "id: e-9\nevent: resync\ndata: {}\n\n",
			}[len(afters)]
			if len(afters) == 6 {
				return told(401, `{"type":"https://appspan.dev/problems/unauthenticated","title":"x","status":401}`), nil
			}
			return told(200, body, "Content-Type", "text/event-stream"), nil
		})
		var heard []string
		for e, err := range c.Events(t.Context(), "application") {
			if err != nil {
				require.ErrorIs(t, err, appspan.ErrDenied)
				break
			}
			heard = append(heard, e.Kind+" "+e.ID+" "+string(e.Data))
		}
		require.Equal(t, []string{"", "", "e-1", "e-2", "e-2", "e-9"}, afters)
		require.Equal(t, []string{"resync  ", "application e-1 {\"a\":\n1}", "operation e-2 {}", "resync e-9 {}"}, heard)
	})
}

func TestADecisionOfTheDocumentIsSentAsItIs(t *testing.T) {
	t.Parallel()
	c := new(t, func(r *http.Request) (*http.Response, error) {
		data, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.JSONEq(t, `{"decisions":{"components[web].image":"theirs"},"planHash":"h"}`, string(data))
		return told(200, `{}`), nil
	})
	_, err := c.Promote(t.Context(), "shop", "shop", client.PromotionRequest{Decisions: map[string]appmodel.Decision{"components[web].image": appmodel.TakeTheirs}, Seen: client.Seen{PlanHash: "h"}}, false)
	require.NoError(t, err)
}

func ExampleNew() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"items":[{"namespace":"shop","application":"shop","status":{"worst":"Ready"}}]}`)
	}))
	defer server.Close()

	c, err := client.New(server.URL, &client.Options{Token: "appspan_…", Team: "blue"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for app, err := range c.Applications(context.Background(), nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(app.Application, app.Status.Worst)
	}
	// Output: shop Ready
}
