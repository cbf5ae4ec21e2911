package deploy_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

// small is an application of one component.
func small(t *testing.T, name string) *appmodel.Application {
	t.Helper()
	return decode(t, `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: `+name+`}
components: [{id: web, kind: service, image: "registry.example.com/web:1", ports: [{name: http, port: 8080}], security: {runAsUser: 1000}}]
`)
}

// overlooked is an overview that runs until the test ends.
func (x *indexed) overlooked(opts *deploy.OverviewOptions) (o *deploy.Overview, stop func()) {
	x.t.Helper()
	o, err := deploy.NewOverview(x.Deployer, opts)
	require.NoError(x.t, err)
	ctx, cancel := context.WithCancel(x.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	return o, func() { cancel(); require.NoError(x.t, <-ended) }
}

func seen(t *testing.T, o *deploy.Overview) map[string]deploy.Seen {
	t.Helper()
	out := map[string]deploy.Seen{}
	for s, err := range o.List(t.Context(), deploy.Filter{}) {
		require.NoError(t, err)
		out[s.Application] = s
	}
	return out
}

func TestADeadClusterDelaysNoOtherInAnOverview(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		mutes := w.muted()
		x := newIndexed(t, w, appspan.AllowAll{})
		for i := range 20 {
			name := fmt.Sprintf("app-%02d", i)
			at := []string{"a", "b"}[i%2]
			x.deployed(small(t, name), deploy.Target{Clusters: []string{at}})
		}
		o, stop := x.overlooked(&deploy.OverviewOptions{Concurrency: 1})
		defer stop()
		time.Sleep(10 * time.Second)
		for name, s := range seen(t, o) {
			require.Equal(t, status.Ready, s.Status.Worst, name)
		}
		mutes["a"].hang.Store(true)
		for range 4 {
			time.Sleep(time.Minute)
			for name, s := range seen(t, o) {
				if on := s.Status.Clusters[0]; on.Name == "b" {
					require.Equal(t, status.Ready, on.Value, name)
					require.LessOrEqual(t, on.Age, 20*time.Second, name)
				}
			}
		}
		for name, s := range seen(t, o) { // also those whose turn has not come since
			if on := s.Status.Clusters[0]; on.Name == "a" {
				require.Equal(t, status.Unknown, on.Value, name)
				require.Equal(t, status.Ready, on.LastKnown, name)
				require.NotEmpty(t, on.Error)
				require.Equal(t, 1, s.Status.Summary[status.Unknown])
			}
		}
		mutes["a"].hang.Store(false)
		time.Sleep(2 * time.Minute)
		for name, s := range seen(t, o) {
			require.Equal(t, status.Ready, s.Status.Worst, name)
		}
		require.ErrorIs(t, o.Run(t.Context()), appspan.ErrConflict, "it runs already")
	})
}

func TestAnOverviewThatNobodyRunsSaysThatNobodyLooked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newIndexed(t, two(t), appspan.AllowAll{})
		x.deployed(shop(t), both)
		o, stop := x.overlooked(nil)
		time.Sleep(10 * time.Second)
		require.Equal(t, status.Ready, seen(t, o)["shop"].Status.Worst)
		stop()
		s := seen(t, o)["shop"]
		require.Equal(t, status.Unknown, s.Status.Worst)
		require.Equal(t, "it was not looked at yet", s.Status.Clusters[0].Error)
		s, err := o.Get(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.Equal(t, 2, s.Status.Summary[status.Unknown])
	})
}

func TestAnOverviewTellsEachWhatTheyMayRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		everything := []string{"application:read", "application:deploy"}
		x := newIndexed(t, two(t), anyTeam{roles{"ann": everything, "bob": everything}})
		ann, bob := appspan.Subject{ID: "ann", Team: "blue"}, appspan.Subject{ID: "bob", Team: "red"}
		x.Deployer = x.Deployer.For(appspan.Subject{ID: "root"})
		o, stop := x.overlooked(nil)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		told := map[string][]string{}
		var wg sync.WaitGroup
		for _, who := range []appspan.Subject{ann, bob} {
			changes := o.For(who).Changes(ctx)
			wg.Go(func() {
				for s, err := range changes {
					if err == nil {
						mu.Lock()
						told[who.ID] = append(told[who.ID], s.Key())
						mu.Unlock()
					}
				}
			})
		}
		_, err := x.Deployer.For(ann).Deploy(t.Context(), small(t, "one"), deploy.Target{Clusters: []string{"a"}, Team: "blue"}, nil)
		require.NoError(t, err)
		_, err = x.Deployer.For(bob).Deploy(t.Context(), small(t, "two"), deploy.Target{Clusters: []string{"a"}, Team: "red"}, nil)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.Len(t, seen(t, o), 2)
		mine := seen(t, o.For(ann))
		require.Len(t, mine, 1)
		require.Equal(t, status.Ready, mine["one"].Status.Worst)
		require.Empty(t, seen(t, o.For(appspan.Subject{ID: "eve", Team: "blue"})))
		_, err = o.For(ann).Get(t.Context(), "two", "two")
		require.ErrorIs(t, err, appspan.ErrNotFound)
		cancel()
		wg.Wait()
		require.NotEmpty(t, told["ann"])
		require.NotContains(t, told["ann"], "two/two!red")
		require.NotContains(t, told["bob"], "one/one!blue")
		stop()
	})
}

func TestAReaderOfChangesMissesNothingBetweenListAndRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newIndexed(t, two(t), appspan.AllowAll{})
		o, stop := x.overlooked(nil)
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		changes, never := o.Changes(ctx), o.Changes(ctx)
		require.Empty(t, seen(t, o))
		require.NotNil(t, never, "which is not read")
		x.deployed(shop(t), on("a"))
		time.Sleep(10 * time.Second)
		_, err := x.Remove(t.Context(), "shop", on("a"), nil, nil)
		require.NoError(t, err)
		x.deployed(small(t, "other"), deploy.Target{Clusters: []string{"b"}})
		time.Sleep(10 * time.Second)
		var told []string
		for s, err := range changes {
			require.NoError(t, err)
			told = append(told, fmt.Sprintf("%s gone %v %s", s.Key(), s.Gone, s.Status.Worst))
			if len(told) == 2 {
				break
			}
		}
		require.Equal(t, []string{"other/other gone false Ready", "shop/shop gone true Ready"}, told)
	})
}

func TestAnOverviewNeedsAnIndex(t *testing.T) {
	t.Parallel()
	w := two(t)
	_, err := deploy.NewOverview(w.Deployer, nil)
	require.ErrorIs(t, err, appspan.ErrUnsupported)
	require.ErrorContains(t, err, "set Options.Records")
	_, err = deploy.NewOverview(nil, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

// BenchmarkOverview1000 lists 1,000 applications with their status.
func BenchmarkOverview1000(b *testing.B) {
	memory := fake.New(&fake.Options{Name: "a"})
	set, err := cluster.NewSet(cluster.New("a", memory, nil))
	require.NoError(b, err)
	defer set.Close()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	for i := range 1000 {
		name := fmt.Sprintf("app-%04d", i)
		_, err := records.Put(b.Context(), "applications/"+name+"/"+name, fmt.Appendf(nil,
			`{"format":1,"minReader":1,"application":%q,"namespace":%q,"clusters":{"a":{"revision":1,"kind":"deploy","state":"deployed","at":"2026-01-02T03:04:05Z"}}}`, name, name), "")
		require.NoError(b, err)
	}
	key, err := seal.GenerateKey(nil)
	require.NoError(b, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(b, err)
	d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: keys, Authorizer: appspan.AllowAll{}, Records: records})
	require.NoError(b, err)
	o, err := deploy.NewOverview(d, &deploy.OverviewOptions{Interval: time.Hour, Soon: time.Hour})
	require.NoError(b, err)
	changes := o.Changes(b.Context())
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = o.Run(ctx) })
	looked := map[string]bool{}
	for s, err := range changes {
		require.NoError(b, err)
		if !s.Looked.IsZero() {
			looked[s.Key()] = true
		}
		if len(looked) == 1000 {
			break
		}
	}
	memory.ResetCalls()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range o.List(b.Context(), deploy.Filter{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
	require.Empty(b, memory.Calls(), "no cluster is asked")
	cancel()
	wg.Wait()
}
