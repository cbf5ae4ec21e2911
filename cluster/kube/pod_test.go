package kube_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

var web = driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web"}

// kubelet serves exec as a node does: each command is a function.
type kubelet struct {
	*websocket.Conn
	r     *http.Request
	write sync.Mutex
}

func (k *kubelet) say(channel byte, data []byte) {
	k.write.Lock()
	defer k.write.Unlock()
	_ = k.WriteMessage(websocket.BinaryMessage, append([]byte{channel}, data...))
}

// exit sends a status, and the end of the connection.
func (k *kubelet) exit(status string) {
	k.say(3, []byte(status))
	k.bye()
}

func (k *kubelet) bye() {
	_ = k.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	_, _, _ = k.ReadMessage() // until the client is gone
}

const success = `{"metadata":{},"status":"Success"}`

func exitCode(code int) string {
	return fmt.Sprintf(`{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"command terminated","details":{"causes":[{"reason":"ExitCode","message":"%d"}]}}`, code)
}

// stdin reads what the client sends until it says that there is no more.
func (k *kubelet) stdin(each func([]byte)) {
	for {
		_, data, err := k.ReadMessage()
		switch {
		case err != nil, len(data) == 2 && data[0] == 255 && data[1] == 0:
			return
		case len(data) > 1 && data[0] == 0:
			each(data[1:])
		}
	}
}

// onPod connects to a server on which an exec runs a function.
func onPod(t *testing.T, run func(*kubelet)) *kube.Cluster {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/pods/web/exec") {
			http.NotFound(w, r)
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		run(&kubelet{Conn: conn, r: r})
	})
}

func TestExecSaysHowTheCommandEnded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		run      func(*kubelet)
		out, err string
		want     error
		code     int
		text     string
	}{
		"a success":                            {run: func(k *kubelet) { k.say(1, []byte("out")); k.say(2, []byte("err")); k.exit(success) }, out: "out", err: "err"},
		"an exit code":                         {run: func(k *kubelet) { k.say(2, []byte("no")); k.exit(exitCode(42)) }, err: "no", code: 42},
		"what follows the status is read":      {run: func(k *kubelet) { k.say(3, []byte(success)); k.say(1, []byte("late")); k.bye() }, out: "late"},
		"an exit code of nothing is a failure": {run: func(k *kubelet) { k.exit(exitCode(0)) }, want: appspan.ErrUnavailable},
		"a command that is not there": {run: func(k *kubelet) {
			k.exit(`{"status":"Failure","reason":"InternalError","message":"executable file not found","code":500}`)
		}, want: appspan.ErrUnavailable, text: "executable file not found"},
		"an end in good order without a status": {run: func(k *kubelet) { k.say(1, []byte("half")); k.bye() }, out: "half", want: appspan.ErrUnavailable, text: "without the command's status"},
		"a cut":                                 {run: func(k *kubelet) { k.say(1, []byte("half")) }, out: "half", want: appspan.ErrUnavailable, text: "without the command's status"},
		"a status that is none":                 {run: func(k *kubelet) { k.exit("<html>") }, want: appspan.ErrCorrupt},
		"a message without a channel":           {run: func(k *kubelet) { _ = k.WriteMessage(websocket.BinaryMessage, nil); k.bye() }, want: appspan.ErrUnavailable},
		"text":                                  {run: func(k *kubelet) { _ = k.WriteMessage(websocket.TextMessage, []byte("\x01hi")); k.bye() }, want: appspan.ErrUnavailable},
		"channels that nobody asked for":        {run: func(k *kubelet) { k.say(9, []byte("x")); k.say(0, nil); k.say(1, nil); k.exit(success) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, stderr bytes.Buffer
			err := onPod(t, test.run).Exec(t.Context(), web, driver.ExecOptions{Command: []string{"x"}, Stdout: &out, Stderr: &stderr})
			require.Equal(t, test.out, out.String())
			require.Equal(t, test.err, stderr.String())
			var exit *driver.ExitError
			switch {
			case test.code != 0:
				require.ErrorAs(t, err, &exit)
				require.Equal(t, test.code, exit.Code)
			case test.want != nil:
				require.ErrorIs(t, err, test.want)
				require.ErrorContains(t, err, test.text)
				require.False(t, appspan.Retryable(err), "the command may have run")
			default:
				require.NoError(t, err)
			}
		})
	}
}

func TestExecAsksForWhatIsWanted(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string]driver.ExecOptions{
		"command=sh&command=-c&command=a+b&container=main&stderr=true&stdin=false&stdout=true&tty=false": {Command: []string{"sh", "-c", "a b"}, Container: "main"},
		"command=sh&stderr=false&stdin=true&stdout=true&tty=true":                                        {Command: []string{"sh"}, TTY: true, Stdin: strings.NewReader("")},
	} {
		var asked string
		require.NoError(t, onPod(t, func(k *kubelet) { asked = k.r.URL.RawQuery; k.exit(success) }).Exec(t.Context(), web, opts))
		require.Equal(t, want, asked)
	}
}

func TestExecCarriesMuchBothWays(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 20<<20+7)
	_, _ = rand.Read(sent)
	c := onPod(t, func(k *kubelet) { // cat
		k.stdin(func(data []byte) { k.say(1, data) })
		k.exit(success)
	})
	var out bytes.Buffer
	require.NoError(t, c.Exec(t.Context(), web, driver.ExecOptions{Command: []string{"cat"}, Stdin: bytes.NewReader(sent), Stdout: &out}))
	require.True(t, bytes.Equal(sent, out.Bytes()))
	out.Reset()
	one := onPod(t, func(k *kubelet) { k.say(1, sent); k.exit(success) }) // in one message
	require.NoError(t, one.Exec(t.Context(), web, driver.ExecOptions{Command: []string{"cat"}, Stdout: &out}))
	require.True(t, bytes.Equal(sent, out.Bytes()))
}

func TestExecEndsBeforeItsInputDoes(t *testing.T) {
	t.Parallel()
	c := onPod(t, func(k *kubelet) {
		_, data, _ := k.ReadMessage()
		k.say(1, data[1:])
		k.exit(exitCode(1))
	})
	in, feed := io.Pipe() // never at its end
	t.Cleanup(func() { in.Close() })
	go func() { _, _ = feed.Write([]byte("one line")) }()
	var out bytes.Buffer
	err := c.Exec(t.Context(), web, driver.ExecOptions{Command: []string{"head"}, Stdin: in, Stdout: &out})
	require.EqualError(t, err, "command ended with exit code 1")
	require.Equal(t, "one line", out.String())
}

var errDisk = errors.New("the disk is full")

type broken struct{}

func (broken) Read([]byte) (int, error)  { return 0, errDisk }
func (broken) Write([]byte) (int, error) { return 0, errDisk }

func TestExecTellsWhatTheCallersStreamsDo(t *testing.T) {
	t.Parallel()
	talks := func(k *kubelet) { k.say(1, []byte("a")); k.say(2, []byte("b")); k.exit(success) }
	err := onPod(t, talks).Exec(t.Context(), web, driver.ExecOptions{Command: []string{"x"}, Stdout: broken{}})
	require.ErrorIs(t, err, errDisk)
	require.EqualError(t, err, "stdout: the disk is full")
	err = onPod(t, talks).Exec(t.Context(), web, driver.ExecOptions{Command: []string{"x"}, Stderr: broken{}})
	require.ErrorIs(t, err, errDisk)
	complete := make(chan bool, 1)
	restore := onPod(t, func(k *kubelet) {
		for {
			_, data, err := k.ReadMessage()
			if err != nil || data[0] == 255 {
				complete <- err == nil
				return
			}
		}
	})
	err = restore.Exec(t.Context(), web, driver.ExecOptions{Command: []string{"restore"}, Stdin: io.MultiReader(strings.NewReader("half"), broken{})})
	require.EqualError(t, err, "stdin: the disk is full")
	require.False(t, <-complete, "a part is not taken for the whole")
}

func TestExecEndsWhenItIsCancelled(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	c := onPod(t, func(k *kubelet) {
		defer close(gone)
		k.say(1, []byte("ready"))
		_, _, _ = k.ReadMessage()
	})
	err := c.Exec(ctx, web, driver.ExecOptions{Command: []string{"sleep"}, Stdout: writer(func([]byte) { cancel() })})
	require.ErrorIs(t, err, context.Canceled)
	<-gone
	closing := onPod(t, func(k *kubelet) { k.say(1, []byte("ready")); _, _, _ = k.ReadMessage() })
	err = closing.Exec(t.Context(), web, driver.ExecOptions{Command: []string{"sleep"}, Stdout: writer(func([]byte) { _ = closing.Close() })})
	require.ErrorIs(t, err, driver.ErrClosed)
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestAPodThatIsNotReachedIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *kube.Cluster) error{
		"exec": func(ctx context.Context, c *kube.Cluster) error {
			return c.Exec(ctx, web, driver.ExecOptions{Command: []string{"x"}})
		},
		"forward": func(ctx context.Context, c *kube.Cluster) error { _, err := c.Forward(ctx, web, 80); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		c := serve(t, func(_ http.ResponseWriter, _ *http.Request) { cancel(); <-over })
		err := call(ctx, c)
		close(over)
		require.ErrorIs(t, err, context.Canceled, name)
	}
}

func TestExecIsRefusedByAServerThatSpeaksOtherwise(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{Subprotocols: []string{"v4.channel.k8s.io"}}).Upgrade(w, r, nil)
		if err == nil {
			conn.Close()
		}
	})
	require.ErrorIs(t, c.Exec(t.Context(), web, driver.ExecOptions{Command: []string{"x"}}), appspan.ErrUnsupported)
	_, err := c.Forward(t.Context(), web, 80)
	require.ErrorIs(t, err, appspan.ErrUnsupported)
}

// ports connects to a server that forwards as a node does: connect gives the
// connection to a port, or why there is none.
func ports(t *testing.T, connect func(port string) (net.Conn, error)) *kube.Cluster {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{"SPDY/3.1+portforward.k8s.io"}}
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		streams := make(chan httpstream.Stream, 2)
		conn, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("server", socket), func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		failures, data := <-streams, <-streams
		if failures.Headers().Get("streamType") != "error" || data.Headers().Get("streamType") != "data" {
			t.Errorf("streams of types %v and %v", failures.Headers(), data.Headers())
		}
		defer data.Close()
		defer failures.Close()
		target, err := connect(data.Headers().Get("port"))
		if err != nil {
			_, _ = io.WriteString(failures, err.Error())
			return
		}
		defer target.Close()
		var both sync.WaitGroup
		both.Go(func() {
			_, _ = io.Copy(target, data)
			if half, ok := target.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		})
		_, _ = io.Copy(data, target)
		data.Close()
		both.Wait()
	})
}

// listen serves one TCP connection with a function.
func listen(t *testing.T, handle func(*net.TCPConn)) func(string) (net.Conn, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		if conn, err := l.Accept(); err == nil {
			handle(conn.(*net.TCPConn))
			conn.Close()
		}
	}()
	return func(string) (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
}

func TestForwardCarriesBothWaysAndHalfCloses(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 3<<20)
	_, _ = rand.Read(sent)
	c := ports(t, listen(t, func(conn *net.TCPConn) {
		all, _ := io.ReadAll(conn) // until the other side has said everything
		_, _ = conn.Write(all)
	}))
	conn, err := c.Forward(t.Context(), web, 5432)
	require.NoError(t, err)
	defer conn.Close()
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, bytes.Equal(sent, got))
}

func TestForwardSaysWhyAPortIsNotReached(t *testing.T) {
	t.Parallel()
	for range 20 { // whichever stream ends first
		c := ports(t, func(port string) (net.Conn, error) { return nil, fmt.Errorf("dial :%s: connection refused", port) })
		conn, err := c.Forward(t.Context(), web, 81)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.ErrorContains(t, err, "dial :81: connection refused")
		require.NoError(t, conn.Close())
	}
}

func TestForwardOutlivesItsContextButNotItsCluster(t *testing.T) {
	t.Parallel()
	c := ports(t, listen(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) }))
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := c.Forward(ctx, web, 80)
	require.NoError(t, err)
	cancel()
	buffer := make([]byte, 4)
	_, err = conn.Write([]byte("ping"))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, buffer)
	require.NoError(t, err)
	require.Equal(t, "ping", string(buffer))
	require.NoError(t, c.Close())
	_, err = conn.Read(buffer)
	require.Error(t, err)
	_ = conn.Close()
}

func TestAForwardToAPortThatTakesNothingIsClosed(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	defer close(over)
	c := ports(t, listen(t, func(*net.TCPConn) { <-over }))
	conn, err := c.Forward(t.Context(), web, 80)
	require.NoError(t, err)
	var sent atomic.Int64
	ended := make(chan struct{})
	go func() { // until nothing more goes through
		defer close(ended)
		for {
			n, err := conn.Write(make([]byte, 1<<20))
			if err != nil {
				return
			}
			sent.Add(int64(n))
		}
	}()
	for before := int64(-1); before != sent.Load(); runtime.Gosched() {
		before = sent.Load()
	}
	_ = conn.Close()
	<-ended
}

func TestLogsAreAskedForAndRead(t *testing.T) {
	t.Parallel()
	var asked string
	flow := make(chan string)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RequestURI()
		for line := range flow {
			_, _ = io.WriteString(w, line)
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler) // a cut
	})
	logs, err := func() (io.ReadCloser, error) {
		go func() { flow <- "one\n" }()
		return c.Logs(t.Context(), web, driver.LogOptions{Container: "main", Follow: true, Previous: true, Timestamps: true,
			SinceTime: "2026-01-02T03:04:05Z", TailLines: 10, LimitBytes: 1000})
	}()
	require.NoError(t, err)
	require.Equal(t, "/api/v1/namespaces/shop/pods/web/log?container=main&follow=true&limitBytes=1000&previous=true&sinceTime=2026-01-02T03%3A04%3A05Z&tailLines=10&timestamps=true", asked)
	buffer := make([]byte, 100)
	n, err := logs.Read(buffer)
	require.NoError(t, err)
	require.Equal(t, "one\n", string(buffer[:n]))
	close(flow)
	_, err = logs.Read(buffer)
	require.ErrorIs(t, err, appspan.ErrUnavailable, "a cut is not the end of the log")
	require.NoError(t, logs.Close())
}

func TestAFollowedLogEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	logs, err := c.Logs(ctx, web, driver.LogOptions{Follow: true})
	require.NoError(t, err)
	cancel()
	_, err = logs.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, logs.Close())
	logs, err = c.Logs(t.Context(), web, driver.LogOptions{Follow: true})
	require.NoError(t, err)
	require.NoError(t, logs.Close())
	_, err = logs.Read(make([]byte, 1))
	require.Error(t, err)
}
