package tunnel_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

func TestTheClustersCredentialsAreItsOwn(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	to := target(t, http.HandlerFunc(echo))
	opts := quick()
	opts.Impersonate = nil
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), to, opts)
	client := h.web(t, "edge-1")
	ask := func(headers ...string) (int, string) {
		r, err := http.NewRequest(http.MethodGet, "http://edge-1.tunnel/api%2Fx?a=b%20c", nil)
		require.NoError(t, err)
		for i := 0; i < len(headers); i += 2 {
			r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
		}
		answer, err := client.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(body)
	}

	code, seen := ask("Authorization", "Bearer of-the-hub", "Cookie", "a=b", "X-Remote-User", "root", "X-Remote-Group", "system:masters",
		"X-Forwarded-For", "1.2.3.4", "Proxy-Authorization", "x", "Connection", "X-Hop", "X-Hop", "hop", "X-Kept", "kept")
	require.Equal(t, 200, code)
	require.Contains(t, seen, "Authorization: Bearer "+apiToken+"\r\n")
	require.Contains(t, seen, "X-Kept: kept")
	require.Contains(t, seen, "GET /api%2Fx?a=b%20c "+strings.TrimPrefix(to.URL, "http://"))
	for _, gone := range []string{"of-the-hub", "Cookie", "X-Remote", "1.2.3.4", "Proxy-", "hop"} {
		require.NotContains(t, seen, gone)
	}

	require.NoError(t, os.WriteFile(to.TokenFile, []byte("another"), 0o600))
	_, seen = ask()
	require.Contains(t, seen, "Authorization: Bearer another\r\n", "a token that was replaced is read again")
	require.NoError(t, os.Remove(to.TokenFile))
	code, seen = ask()
	require.Equal(t, http.StatusBadGateway, code)
	require.Contains(t, seen, `"kind":"Status"`)
	require.NoError(t, os.WriteFile(to.TokenFile, []byte(apiToken), 0o600))

	for name, headers := range map[string][]string{
		"another user":                  {"Impersonate-User", "admin"},
		"another user beside one":       {"Impersonate-User", "appspan:a", "Impersonate-User", "admin"},
		"a group of masters":            {"Impersonate-User", "appspan:team:a", "Impersonate-Group", "system:masters"},
		"a UID":                         {"Impersonate-User", "appspan:team:a", "Impersonate-Uid", "1"},
		"further attributes":            {"Impersonate-User", "appspan:team:a", "Impersonate-Extra-Scopes", "all"},
		"what is not known yet":         {"Impersonate-Node", "node-1"},
		"a name that does not begin so": {"Impersonate-User", "x-appspan:a"},
	} {
		t.Run("the hub may not act as "+name, func(t *testing.T) {
			code, seen := ask(headers...)
			require.Equal(t, http.StatusForbidden, code)
			require.NotContains(t, seen, "Impersonate-")
		})
	}
	code, seen = ask("Impersonate-User", "appspan:team:a", "Impersonate-Group", "appspan:team:a", "Impersonate-Group", "system:authenticated")
	require.Equal(t, 200, code)
	require.Contains(t, seen, "Impersonate-User: appspan:team:a\r\n")
}

func TestACommandRunsThroughTheTunnel(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	cluster, _ := memory(t)
	api := cluster.Handler()
	to := target(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/exec") {
			api.ServeHTTP(w, r)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v5.channel.k8s.io"}})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(-1)
		send := func(channel byte, data string) {
			_ = ws.Write(r.Context(), websocket.MessageBinary, append([]byte{channel}, data...))
		}
		for {
			_, message, err := ws.Read(r.Context())
			if err != nil {
				return
			}
			if message[0] == 0 {
				send(1, strings.ToUpper(string(message[1:])))
			} else {
				break // the end of the input
			}
		}
		send(3, `{"kind":"Status","status":"Success"}`)
		_ = ws.Close(websocket.StatusNormalClosure, "")
	}))
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), to, quick())
	c := h.open(t, "edge-1")
	defer c.Close()
	input := strings.Repeat("hello ", 100_000)
	var output bytes.Buffer
	err := c.Exec(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "a", Name: "b"},
		driver.ExecOptions{Command: []string{"tr"}, Stdin: strings.NewReader(input), Stdout: &output})
	require.NoError(t, err)
	require.Equal(t, strings.ToUpper(input), output.String())
}

func TestAPortIsForwardedThroughTheTunnel(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	cluster, _ := memory(t)
	api := cluster.Handler()
	upgrader := gorilla.Upgrader{Subprotocols: []string{"SPDY/3.1+portforward.k8s.io"}}
	to := target(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/portforward") {
			api.ServeHTTP(w, r)
			return
		}
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		streams := make(chan httpstream.Stream, 2) // of errors, of data
		conn, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("node", socket), func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		if err != nil {
			return
		}
		defer conn.Close()
		_, data := <-streams, <-streams
		_, _ = io.Copy(data, data)
		_ = data.Close()
		<-conn.CloseChan()
	}))
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), to, quick())
	c := h.open(t, "edge-1")
	defer c.Close()
	conn, err := c.Forward(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "a", Name: "b"}, 80)
	require.NoError(t, err)
	defer conn.Close()
	for range 3 { // back and forth
		sent := bytes.Repeat([]byte("ping"), 20_000)
		writing := make(chan error, 1)
		go func() { _, err := conn.Write(sent); writing <- err }()
		got := make([]byte, len(sent))
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		require.NoError(t, <-writing)
		require.Equal(t, sent, got)
	}
}

func TestAnAnswerStreams(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	gone := make(chan struct{})
	to := target(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		for i := range 3 {
			fmt.Fprintln(w, "line", i)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}))
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), to, quick())
	answer, err := h.web(t, "edge-1").Get("http://x/")
	require.NoError(t, err)
	lines := bufio.NewReader(answer.Body)
	for i := range 3 { // each comes although there is no end
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("line %d\n", i), line)
	}
	require.NoError(t, answer.Body.Close())
	<-gone // whoever stops listening ends it at the API server
}

func TestAnAPIServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), agent.Target{URL: "http://127.0.0.1:1"}, quick())
	answer, err := h.web(t, "edge-1").Get("http://x/")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusBadGateway, answer.StatusCode)
	var status struct{ Kind, Message string }
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&status))
	require.Equal(t, "Status", status.Kind)
	require.Contains(t, status.Message, "no answer from the API server")
}
