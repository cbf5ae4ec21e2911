package deploy_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
)

// A container that crashes and comes back is read to the end of each run, and
// those that wait for a stream get their turn.
func TestFollowedLogsGoOnOverRestartsAndWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*fake.Options{"a": {}})
		w.deployed(shop(t), on("a"))
		p := &printer{w, map[string]int{}}
		p.print("a", "db", 3)
		l := w.listen(map[string]int{}, deploy.LogOptions{Components: []string{"db"}}, on("a"))
		l.hears(t, p.printed)
		calm := w.fakes["a"].Script(fake.Script{Labels: "appspan.dev/component=db", Failure: fake.CrashLoop})
		synctest.Wait()
		time.Sleep(time.Minute)
		calm()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		p.print("a", "db", 3)
		l.hears(t, p.printed)
		before := 0
		for line, err := range w.Logs(t.Context(), "shop", on("a"), &deploy.LogOptions{Components: []string{"db"}, Previous: true}) {
			require.NoError(t, err)
			require.NotContains(t, line.Text, "line 4", "that is of the present run")
			before++
		}
		require.Positive(t, before)
		l.stop()

		few := w.listen(map[string]int{}, deploy.LogOptions{Components: []string{"web"}, Streams: 1}, on("a"))
		p.printed = map[string]int{}
		p.print("a", "web", 2)
		few.until(func() bool { return len(few.notices) > 0 })
		require.Len(t, few.kinds(deploy.LogWaiting), 1)
		for _, pod := range w.pods("a", "web") {
			require.NoError(t, w.fakes["a"].Delete(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: pod}, driver.DeleteOptions{}))
		}
		time.Sleep(time.Minute)
		require.Len(t, few.kinds(deploy.LogEnded), 2)
		few.stop()
	})
}

// rotating is a cluster whose nodes keep only the last lines of a log, and end
// streams in the midst of a line.
type rotating struct {
	*fake.Cluster
	mu   sync.Mutex
	keep int  // lines; zero: all
	half bool // the next stream ends early
}

func (r *rotating) Logs(ctx context.Context, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	opts.Follow = false
	body, err := r.Cluster.Logs(ctx, pod, opts)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if r.keep > 0 {
		lines = lines[max(0, len(lines)-1-r.keep):]
	}
	text = bytes.Join(lines, nil)
	if r.half && len(text) > 5 {
		text, r.half = text[:len(text)-5], false
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

func TestWhatANodeDiscardedIsSaidAndHalfALineIsNotGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &rotating{Cluster: fake.New(nil), half: true}
		set, err := cluster.NewSet(cluster.New("a", r, nil))
		require.NoError(t, err)
		defer set.Close()
		w := &world{t: t, fakes: map[string]*fake.Cluster{"a": r.Cluster}, set: set, keys: newKeys(t)}
		w.Deployer = w.deployer("test")
		w.deployed(shop(t), on("a"))
		p := &printer{w, map[string]int{}}
		p.print("a", "db", 10)
		l := w.listen(map[string]int{}, deploy.LogOptions{Components: []string{"db"}}, on("a"))
		l.hears(t, p.printed)
		require.Empty(t, l.kinds(deploy.LogMissing))
		time.Sleep(3 * time.Second) // so that no line has the time of another
		r.mu.Lock()
		r.keep = 2
		r.mu.Unlock()
		p.print("a", "db", 5)
		l.until(func() bool { return len(l.notices) > 0 })
		l.stop()
		require.Equal(t, deploy.LogMissing, l.notices[0].Kind)
		require.True(t, strings.Contains(l.notices[0].Text, "discarded"), l.notices[0].Text)
	})
}
