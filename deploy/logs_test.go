package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/deploy"
)

// severed is a listener whose connections can be cut, without a word.
type severed struct {
	net.Listener
	mu    sync.Mutex
	conns map[*net.TCPConn]bool
	away  bool
}

func (s *severed) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns[conn.(*net.TCPConn)] = true
		if s.away {
			_ = conn.Close()
		}
	}
	return conn, err
}

// cut resets all connections; away, those that come are closed too.
func (s *severed) cut(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	for conn := range s.conns {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
	clear(s.conns)
}

// overHTTP is a world whose clusters are reached through connections that can
// be cut.
func overHTTP(t *testing.T, names ...string) (*world, map[string]*severed) {
	t.Helper()
	w := &world{t: t, fakes: map[string]*fake.Cluster{}, keys: newKeys(t)}
	wires := map[string]*severed{}
	var members []*cluster.Cluster
	for _, name := range names {
		memory := fake.New(&fake.Options{Name: name})
		w.fakes[name] = memory
		server := httptest.NewUnstartedServer(memory.Handler())
		wires[name] = &severed{Listener: server.Listener, conns: map[*net.TCPConn]bool{}}
		server.Listener = wires[name]
		server.Start()
		c, err := kube.New(&rest.Config{Host: server.URL}, nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = memory.Close(); server.Close() })
		members = append(members, cluster.New(name, c, nil))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, set.Close()) })
	w.set = set
	w.Deployer = w.deployer("test")
	return w, wires
}

// pods are the names of the running pods of a component.
func (w *world) pods(name, component string) []string {
	w.t.Helper()
	page, err := w.fakes[name].List(w.t.Context(), driver.Query{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Labels: "appspan.dev/component=" + component})
	require.NoError(w.t, err)
	var names []string
	for _, o := range page.Items {
		if !o.Deleting {
			names = append(names, o.Name)
		}
	}
	return names
}

// printer writes numbered lines to pods, and knows how many each has printed.
type printer struct {
	w       *world
	printed map[string]int // by cluster/pod
}

// print writes n lines to each pod of a component: some at once, with one
// timestamp.
func (p *printer) print(cluster, component string, n int) {
	p.w.t.Helper()
	for _, pod := range p.w.pods(cluster, component) {
		for left := n; left > 0; {
			var lines []string
			for range min(left, 1+left%3) {
				p.printed[cluster+"/"+pod]++
				lines = append(lines, "line "+strconv.Itoa(p.printed[cluster+"/"+pod]))
			}
			left -= len(lines)
			require.NoError(p.w.t, p.w.fakes[cluster].WriteLog("shop", pod, component, lines...))
		}
	}
}

// listener reads a followed log in a goroutine, and checks each line.
type listener struct {
	mu      sync.Mutex
	changed *sync.Cond
	read    map[string]int
	notices []deploy.LogLine
	wrong   []string
	cursor  deploy.LogCursor
	err     error
	cancel  context.CancelFunc
	done    chan struct{}
}

func (w *world) listen(read map[string]int, opts deploy.LogOptions, to deploy.Target) *listener {
	ctx, cancel := context.WithCancel(w.t.Context())
	l := &listener{read: read, cancel: cancel, done: make(chan struct{})}
	if opts.Cursor != nil {
		data, err := json.Marshal(opts.Cursor)
		require.NoError(w.t, err)
		require.NoError(w.t, json.Unmarshal(data, &l.cursor))
	}
	l.changed = sync.NewCond(&l.mu)
	w.t.Cleanup(l.stop)
	opts.Follow = true
	go func() {
		defer close(l.done)
		for line, err := range w.Logs(ctx, "shop", to, &opts) {
			l.hear(line, err)
		}
	}()
	return l
}

func (l *listener) stop() {
	l.cancel()
	<-l.done
}

func (l *listener) hear(line deploy.LogLine, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.changed.Broadcast()
	number, numbered := strings.CutPrefix(line.Text, "line ")
	switch from := line.Cluster + "/" + line.Pod; {
	case err != nil:
		l.err = err
	case line.Kind != deploy.LogText:
		l.notices = append(l.notices, line)
	case numbered:
		l.cursor.Note(line)
		if l.read[from]++; strconv.Itoa(l.read[from]) != number {
			l.wrong = append(l.wrong, fmt.Sprintf("%s: line %s, and not %d", from, number, l.read[from]))
		}
	default:
		l.cursor.Note(line)
	}
}

// until waits for something that is true of what was heard.
func (l *listener) until(what func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !what() && l.err == nil && len(l.wrong) == 0 {
		l.changed.Wait()
	}
}

// hears waits until everything that was printed was heard.
func (l *listener) hears(t *testing.T, printed map[string]int) {
	t.Helper()
	l.until(func() bool {
		for from, n := range printed {
			if l.read[from] < n {
				return false
			}
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	require.NoError(t, l.err)
	require.Empty(t, l.wrong)
	require.Equal(t, printed, l.read)
}

func (l *listener) kinds(kind deploy.LogKind) (out []deploy.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.notices {
		if n.Kind == kind {
			out = append(out, n)
		}
	}
	return out
}

// A cluster with logs of its own is nowhere to be had without kubelets: the
// cluster in memory, over HTTP, stands for it.
func TestFollowedLogsHaveEachLineOnceThroughCutConnections(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c"}
	w, wires := overHTTP(t, names...)
	to := deploy.Target{Clusters: names, Namespace: "shop"}
	scale := func(n int) {
		p, err := w.PlanCommand(t.Context(), "shop", to, deploy.Command{Kind: deploy.KindScale, Components: []string{"web"}, Replicas: &n}, nil)
		require.NoError(t, err)
		_, err = w.Apply(t.Context(), p, nil)
		require.NoError(t, err)
	}
	w.deployed(shop(t, "replicas: 2", "replicas: 17"), to)
	p := &printer{w, map[string]int{}}
	for _, name := range names {
		p.print(name, "web", 20) // before anybody listens
	}
	require.Len(t, p.printed, 51)
	l := w.listen(map[string]int{}, deploy.LogOptions{Components: []string{"web"}}, to)
	for round, replicas := range []int{17, 20, 14, 17, 17} {
		l.hears(t, p.printed) // what goes has been heard
		scale(replicas)
		for _, name := range names {
			p.print(name, "web", 3)
			wires[name].cut(false)
			p.print(name, "web", 4)
			if round%2 == 0 {
				wires[name].cut(false)
			}
			p.print(name, "web", 2)
		}
	}
	l.hears(t, p.printed)
	require.Greater(t, len(p.printed), 51, "pods came and went")
	require.Empty(t, l.kinds(deploy.LogMissing))
	require.Empty(t, l.kinds(deploy.LogWaiting))

	// Another reader goes on where the first one stopped, and an outage of a
	// cluster is told and survived.
	l.stop()
	require.ErrorIs(t, l.err, context.Canceled)
	for _, name := range names {
		p.print(name, "web", 5)
	}
	l = w.listen(l.read, deploy.LogOptions{Components: []string{"web"}, Cursor: &l.cursor}, to)
	l.hears(t, p.printed)
	wires["b"].cut(true)
	l.until(func() bool {
		return slices.ContainsFunc(l.notices, func(n deploy.LogLine) bool { return n.Kind == deploy.LogAway })
	})
	for _, name := range names {
		p.print(name, "web", 5)
	}
	wires["b"].cut(false)
	l.hears(t, p.printed)
	l.until(func() bool {
		return slices.ContainsFunc(l.notices, func(n deploy.LogLine) bool { return n.Kind == deploy.LogBack })
	})
	require.Equal(t, "b", l.kinds(deploy.LogAway)[0].Cluster)
	require.Empty(t, l.kinds(deploy.LogMissing))
	lines := 0
	for _, n := range p.printed {
		lines += n
	}
	t.Logf("%d lines of %d pods", lines, len(p.printed))
}

func TestLogsUpToNowAreInTheOrderOfTheirTimes(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), both)
	p := &printer{w, map[string]int{}}
	for range 20 {
		p.print("a", "web", 2)
		p.print("b", "web", 3)
		p.print("a", "db", 1)
	}
	read := func(opts *deploy.LogOptions) (lines []deploy.LogLine) {
		for l, err := range w.Logs(t.Context(), "shop", both, opts) {
			require.NoError(t, err)
			lines = append(lines, l)
		}
		require.True(t, slices.IsSortedFunc(lines, func(x, y deploy.LogLine) int { return x.Time.Compare(y.Time) }))
		return lines
	}
	all := read(nil)
	count := map[string]int{}
	var cursor deploy.LogCursor
	for _, l := range all {
		if number, ok := strings.CutPrefix(l.Text, "line "); ok {
			count[l.Cluster+"/"+l.Pod]++
			require.Equal(t, number, strconv.Itoa(count[l.Cluster+"/"+l.Pod]))
		}
		cursor.Note(l)
	}
	require.Equal(t, p.printed, count)
	require.Empty(t, read(&deploy.LogOptions{Cursor: &cursor}), "the cursor has read everything")
	for _, l := range read(&deploy.LogOptions{Components: []string{"db"}, Tail: 3}) {
		require.Equal(t, "db", l.Component)
	}
	require.Len(t, read(&deploy.LogOptions{Tail: 2}), 2*5+1, "b/db has only its first line")
	middle := all[len(all)/2].Time
	for _, l := range read(&deploy.LogOptions{Since: middle}) {
		require.False(t, l.Time.Before(middle))
	}
	require.Empty(t, read(&deploy.LogOptions{Previous: true}), "nothing was restarted")
	long := strings.Repeat("x", deploy.MaxLogLine) + "end"
	require.NoError(t, w.fakes["a"].WriteLog("shop", w.pods("a", "db")[0], "db", long, "after"))
	last := read(&deploy.LogOptions{Cursor: &cursor})
	require.Len(t, last, 2)
	require.True(t, last[0].Cut)
	require.Equal(t, long[:deploy.MaxLogLine], last[0].Text)
	require.Equal(t, "after", last[1].Text)
}

func TestLogsAreRefusedWithoutTheRightOrAMeaning(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), both)
	for name, test := range map[string]struct {
		opts deploy.LogOptions
		want error
	}{
		"a restart cannot be followed":  {deploy.LogOptions{Follow: true, Previous: true}, appspan.ErrInvalid},
		"no negative number of streams": {deploy.LogOptions{Streams: -1}, appspan.ErrInvalid},
		"more containers than streams":  {deploy.LogOptions{Streams: 2}, appspan.ErrExhausted},
		"all and some":                  {deploy.LogOptions{AllContainers: true, Containers: []string{"x"}}, appspan.ErrInvalid},
	} {
		var got error
		for _, err := range w.Logs(t.Context(), "shop", both, &test.opts) {
			got = err
		}
		require.ErrorIs(t, got, test.want, name)
	}
	denied, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys})
	require.NoError(t, err)
	for _, err := range denied.Logs(t.Context(), "shop", both, nil) {
		require.ErrorIs(t, err, appspan.ErrDenied)
	}
}

// unlogged lets everybody read everything but logs.
type unlogged struct{}

func (unlogged) Authorize(_ context.Context, _ appspan.Subject, a appspan.Access) error {
	if a.Resource == "log" {
		return appspan.ErrDenied
	}
	return nil
}

func TestLogsAreReadByWhomItIsAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		d, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: unlogged{}})
		require.NoError(t, err)
		for _, err := range d.For(appspan.Subject{ID: "ann"}).Logs(t.Context(), "shop", on("a"), nil) {
			require.ErrorIs(t, err, appspan.ErrDenied)
		}
	})
}
