package main

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/refserver/client"
)

func TestWhoIsLoggedInToThePortalIsLoggedIn(t *testing.T) {
	t.Parallel()
	p := &portal{sessions: map[string]string{}}
	server, err := cloud(t.Context(), t.TempDir(), p.whois)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	h := httptest.NewServer(p.handler(server))
	t.Cleanup(func() {
		h.Close()
		stop()
		require.NoError(t, <-ran)
		require.NoError(t, server.Close())
	})

	me := func(user string) (out client.Me, status int) {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		browser := &http.Client{Jar: jar}
		if user != "" {
			resp, err := browser.Get(h.URL + "/login?user=" + user)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		resp, err := browser.Get(h.URL + "/cloud/api/v1/me")
		require.NoError(t, err)
		defer resp.Body.Close()
		if resp.StatusCode == 200 {
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
		}
		req, err := http.NewRequest("POST", h.URL+"/cloud/api/v1/tokens", strings.NewReader(`{}`))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		foreign, err := browser.Do(req)
		require.NoError(t, err)
		require.NoError(t, foreign.Body.Close())
		require.Contains(t, []int{401, 403}, foreign.StatusCode, "a page of another site")
		return out, resp.StatusCode
	}
	_, status := me("")
	require.Equal(t, 401, status)
	ann, _ := me("ann")
	require.True(t, ann.Operator)
	ben, _ := me("ben")
	require.Equal(t, "ben", ben.Subject.ID)
	require.False(t, ben.Operator)
}

func TestWhatIsAddedIsShort(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "cloud.go", nil, 0)
	require.NoError(t, err)
	require.Less(t, files.Position(ast.Node(f).End()).Line, 30)
}
