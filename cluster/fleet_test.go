package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

// clouds are clusters by the configuration that leads to them.
type clouds struct {
	mu   sync.Mutex
	by   map[string]driver.Cluster
	down map[string]error // configurations that do not answer, and how
}

func newClouds() *clouds { return &clouds{by: map[string]driver.Cluster{}, down: map[string]error{}} }

func (p *clouds) set(config string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down[config] = err
}

// lead makes a configuration lead to a cluster, or nowhere.
func (p *clouds) lead(config string, c driver.Cluster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.by[config] = c
	if c == nil {
		delete(p.by, config)
	}
}

func (p *clouds) Open(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.by[string(spec.Config)]
	if c == nil {
		return nil, fmt.Errorf("%w: the configuration leads nowhere", appspan.ErrInvalid)
	}
	return &away{Cluster: c, clouds: p, config: string(spec.Config), closed: make(chan struct{})}, nil
}

// away is a cluster that may be down; closing it leaves the cluster alone.
type away struct {
	driver.Cluster
	clouds *clouds
	config string
	closed chan struct{}
}

func (a *away) Close() error {
	close(a.closed)
	return nil
}

func (a *away) Unwrap() driver.Cluster { return a.Cluster }

var errHangs = fmt.Errorf("it hangs")

func (a *away) fails(ctx context.Context) error {
	a.clouds.mu.Lock()
	err := a.clouds.down[a.config]
	a.clouds.mu.Unlock()
	if err == errHangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (a *away) Info(ctx context.Context) (driver.Info, error) {
	if err := a.fails(ctx); err != nil {
		return driver.Info{}, err
	}
	return a.Cluster.Info(ctx)
}

func (a *away) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	if err := a.fails(ctx); err != nil {
		return driver.Object{}, err
	}
	return a.Cluster.Get(ctx, ref)
}

// running is what runs on clusters, by name.
type running struct {
	mu     sync.Mutex
	apps   map[string][]string
	pruned []string
}

func (r *running) Running(_ context.Context, c *cluster.Cluster) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.apps[c.Name()], nil
}

func (r *running) Prune(_ context.Context, c *cluster.Cluster) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pruned = append(r.pruned, c.Name())
	return r.apps[c.Name()], nil
}

// park is a fleet over some clusters in memory.
type park struct {
	*cluster.Fleet
	clouds  *clouds
	records *storage.Records
	keys    *seal.Keyring
	running *running
	log     *bytes.Buffer
}

func newPark(t testing.TB, names ...string) *park {
	t.Helper()
	key, err := seal.GenerateKey(nil)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	p := &park{clouds: newClouds(), records: storage.NewRecords(memstore.NewRecords(), nil), keys: keys, running: &running{apps: map[string][]string{}}, log: &bytes.Buffer{}}
	p.Fleet = p.fleet(t)
	for _, name := range names {
		p.clouds.by["secret-of-"+name] = fake.New(&fake.Options{Name: name, Nodes: fake.Nodes(2, "4", "8Gi")})
	}
	return p
}

// fleet is another Fleet over the same records.
func (p *park) fleet(t testing.TB) *cluster.Fleet {
	t.Helper()
	f, err := cluster.NewFleet(p.records, &cluster.FleetOptions{Keys: p.keys, Providers: map[string]driver.Provider{"test": p.clouds},
		Authorizer: appspan.AllowAll{}, Applications: p.running, Cluster: cluster.Options{Attempts: 1},
		Logger: slog.New(slog.NewTextHandler(p.log, nil))})
	require.NoError(t, err)
	return f
}

func (p *park) close(t testing.TB) {
	require.NoError(t, p.Close())
	for _, c := range p.clouds.by {
		require.NoError(t, c.Close())
	}
	require.NoError(t, p.records.Close())
}

func of(name string) cluster.Registration {
	return cluster.Registration{Name: name, Provider: "test", Config: []byte("secret-of-" + name), Labels: map[string]string{"region": name[:2]}}
}

func health(t testing.TB, f *cluster.Fleet, name string) cluster.Health {
	t.Helper()
	s, err := f.Status(t.Context(), name)
	require.NoError(t, err)
	return s.Health
}

func TestAClusterIsRegisteredOnceUnderOneName(t *testing.T) {
	t.Parallel()
	p := newPark(t, "eu-1", "us-1")
	defer p.close(t)
	s, err := p.Add(t.Context(), of("eu-1"), nil)
	require.NoError(t, err)
	require.NotEmpty(t, s.UID)
	_, err = p.Add(t.Context(), of("eu-1"), nil)
	require.ErrorIs(t, err, appspan.ErrExists)
	again := of("eu-1")
	again.Name = "other"
	_, err = p.Add(t.Context(), again, nil)
	require.ErrorIs(t, err, appspan.ErrExists)
	require.ErrorContains(t, err, `registered as "eu-1"`)

	for name, wrong := range map[string]cluster.Registration{
		"DNS label":   {Name: "Not a label", Provider: "test"},
		"no provider": {Name: "a", Provider: "nothing"},
		"nowhere":     {Name: "a", Provider: "test", Config: []byte("x")},
		"not a label": {Name: "a", Provider: "test", Labels: map[string]string{"a b": "c"}},
	} {
		_, err := p.Add(t.Context(), wrong, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid, name)
		require.ErrorContains(t, err, name)
	}
	c, err := p.Cluster(t.Context(), "eu-1")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"region": "eu"}, c.Labels())
	_, err = p.Cluster(t.Context(), "nowhere")
	require.ErrorIs(t, err, appspan.ErrNotFound)
}

func TestAClusterThatDoesNotAnswerIsRegisteredOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPark(t, "eu-1")
		defer p.close(t)
		p.clouds.set("secret-of-eu-1", errHangs)
		_, err := p.Add(t.Context(), of("eu-1"), nil)
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.ErrorContains(t, err, "AddOptions.Unverified")
		_, err = p.Add(t.Context(), of("eu-1"), &cluster.AddOptions{Unverified: true})
		require.NoError(t, err)
		require.Equal(t, cluster.Connecting, health(t, p.Fleet, "eu-1"))
		p.clouds.set("secret-of-eu-1", nil)
		require.NoError(t, p.Refresh(t.Context(), cluster.Selector{}))
		s, err := p.Status(t.Context(), "eu-1")
		require.NoError(t, err)
		require.Equal(t, cluster.Ready, s.Health, s.Reasons)
		require.NotEmpty(t, s.UID, "it is recognised when it first answers")
	})
}

func TestAChangeIsSeenByEveryProcessAndNeverByAnotherCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPark(t, "eu-1", "us-1")
		defer p.close(t)
		other := p.fleet(t)
		defer other.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- other.Run(ctx) }()
		_, err := p.Add(t.Context(), of("eu-1"), nil)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, cluster.Ready, health(t, other, "eu-1"))

		require.NoError(t, p.Change(t.Context(), "eu-1", func(r *cluster.Registration) error {
			require.Nil(t, r.Config, "credentials are not given back")
			r.Labels["tier"], r.Maintenance = "gold", "new disks"
			return nil
		}))
		synctest.Wait()
		s, err := other.Status(t.Context(), "eu-1")
		require.NoError(t, err)
		require.Equal(t, cluster.Maintenance, s.Health)
		require.Equal(t, "gold", s.Labels["tier"])
		require.Contains(t, s.Reasons, "new disks")

		err = p.Change(t.Context(), "eu-1", func(r *cluster.Registration) error { r.Config = []byte("secret-of-us-1"); return nil })
		require.ErrorIs(t, err, appspan.ErrPrecondition)

		require.NoError(t, p.Remove(t.Context(), "eu-1", nil))
		synctest.Wait()
		_, err = other.Cluster(t.Context(), "eu-1")
		require.ErrorIs(t, err, appspan.ErrNotFound)
		_, err = p.Add(t.Context(), of("eu-1"), nil)
		require.NoError(t, err, "it can come again")
		cancel()
		require.NoError(t, <-done)
	})
}

func TestAChangeThatIsNotOfItsCredentialsLeavesAClusterOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPark(t, "eu-1")
		defer p.close(t)
		p.clouds.set("secret-of-eu-1", errHangs)
		_, err := p.Add(t.Context(), of("eu-1"), &cluster.AddOptions{Unverified: true})
		require.NoError(t, err)
		p.clouds.set("secret-of-eu-1", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		open, err := p.Cluster(t.Context(), "eu-1")
		require.NoError(t, err)
		team, err := p.For(appspan.Subject{ID: "anna", Team: "shop"}).Cluster(t.Context(), "eu-1")
		require.NoError(t, err)
		driverOf, _ := cluster.As[*away](open)
		isClosed := func() bool {
			select {
			case <-driverOf.closed:
				return true
			default:
				return false
			}
		}

		time.Sleep(time.Minute) // it is recognised, which changes its record
		synctest.Wait()
		s, err := p.Status(t.Context(), "eu-1")
		require.NoError(t, err)
		require.NotEmpty(t, s.UID)
		require.NoError(t, p.Change(t.Context(), "eu-1", func(r *cluster.Registration) error {
			r.Labels, r.Description, r.Maintenance = map[string]string{"tier": "gold"}, "the first one", "new disks"
			return nil
		}))
		synctest.Wait()
		same, err := p.Cluster(t.Context(), "eu-1")
		require.NoError(t, err)
		require.Same(t, open, same)
		require.False(t, isClosed())
		require.Equal(t, map[string]string{"tier": "gold"}, open.Labels())
		require.Equal(t, open.Labels(), team.Labels())

		p.clouds.lead("renewed", p.clouds.by["secret-of-eu-1"])
		require.NoError(t, p.Change(t.Context(), "eu-1", func(r *cluster.Registration) error { r.Config = []byte("renewed"); return nil }))
		synctest.Wait()
		renewed, err := p.Cluster(t.Context(), "eu-1")
		require.NoError(t, err)
		require.NotSame(t, open, renewed)
		require.True(t, isClosed())
		s, err = p.Status(t.Context(), "eu-1")
		require.NoError(t, err)
		require.Equal(t, cluster.Maintenance, s.Health)
		require.NotNil(t, s.Inspection, "what was known of it is not forgotten")
		cancel()
		require.NoError(t, <-done)
		p.clouds.lead("renewed", nil)
	})
}

func TestAClusterThatCannotBeOpenedHidesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPark(t, "eu-1", "us-1", "xx-1")
		defer p.close(t)
		for _, name := range []string{"eu-1", "us-1", "xx-1"} {
			_, err := p.Add(t.Context(), of(name), nil)
			require.NoError(t, err)
		}
		rec, err := p.records.Get(t.Context(), "clusters/xx-1")
		require.NoError(t, err)
		_, err = p.records.Put(t.Context(), rec.Key, []byte("{"), rec.Revision)
		require.NoError(t, err)
		us := p.clouds.by["secret-of-us-1"]
		p.clouds.lead("secret-of-us-1", nil) // its provider says no

		for _, running := range []bool{false, true} {
			other := p.fleet(t)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			if running {
				go func() { done <- other.Run(ctx) }()
				synctest.Wait()
			} else {
				done <- nil
				require.NoError(t, other.Refresh(t.Context(), cluster.Selector{}))
			}
			got := map[string]cluster.Status{}
			for s, err := range other.Clusters(t.Context(), cluster.Selector{}) {
				require.NoError(t, err)
				got[s.Name] = s
			}
			require.Equal(t, cluster.Ready, got["eu-1"].Health)
			require.Equal(t, cluster.Unreachable, got["us-1"].Health)
			require.Contains(t, fmt.Sprint(got["us-1"].Reasons), "leads nowhere")
			require.Equal(t, "us", got["us-1"].Labels["region"], "what is known of it is shown")
			require.Equal(t, cluster.Unreachable, got["xx-1"].Health)
			require.Contains(t, fmt.Sprint(got["xx-1"].Reasons), "clusters/xx-1")
			_, err = other.For(appspan.Subject{ID: "anna", Team: "shop"}).Cluster(t.Context(), "us-1")
			require.ErrorIs(t, err, appspan.ErrInvalid, "a team is not given what may turn out to be more than its own")

			p.clouds.lead("secret-of-us-1", us)
			time.Sleep(time.Minute)
			require.NoError(t, other.Refresh(t.Context(), cluster.Selector{}))
			require.Equal(t, cluster.Ready, health(t, other, "us-1"), "it is there as soon as it can be")
			p.clouds.lead("secret-of-us-1", nil)
			cancel()
			require.NoError(t, <-done)
			require.NoError(t, other.Close())
		}
		require.ErrorIs(t, p.Remove(t.Context(), "xx-1", nil), appspan.ErrCorrupt)
		require.NoError(t, p.Remove(t.Context(), "xx-1", &cluster.RemoveOptions{Force: true}))
		require.NoError(t, p.Forget(t.Context(), "us-1"))
		p.clouds.lead("secret-of-us-1", us)
	})
}

func TestAClusterWhoseKeyIsLostCanBeForgottenAndHoldsUpNoReseal(t *testing.T) {
	t.Parallel()
	p := newPark(t, "eu-1", "us-1")
	defer p.close(t)
	_, err := p.Add(t.Context(), of("us-1"), nil)
	require.NoError(t, err)
	fresh, err := seal.GenerateKey(nil)
	require.NoError(t, err)
	p.keys, err = seal.NewKeyring(fresh)
	require.NoError(t, err)
	other := p.fleet(t)
	defer other.Close()
	_, err = other.Add(t.Context(), of("eu-1"), nil)
	require.NoError(t, err)
	_, err = p.keys.Rotate(nil)
	require.NoError(t, err)
	n, err := other.Reseal(t.Context())
	require.ErrorIs(t, err, seal.ErrUnknownKey)
	require.ErrorContains(t, err, "clusters/us-1")
	require.Equal(t, 1, n)
	require.NoError(t, other.Refresh(t.Context(), cluster.Selector{}))
	require.Equal(t, cluster.Unreachable, health(t, other, "us-1"), "what cannot be opened has not answered")
	require.NoError(t, other.Forget(t.Context(), "us-1"))
	tombs, err := other.Forgotten(t.Context())
	require.NoError(t, err)
	require.Equal(t, "us-1", tombs[0].Name)
}

func TestAClusterIsNotRemovedWhileApplicationsRunThere(t *testing.T) {
	t.Parallel()
	p := newPark(t, "eu-1")
	defer p.close(t)
	_, err := p.Add(t.Context(), of("eu-1"), nil)
	require.NoError(t, err)
	p.running.apps["eu-1"] = []string{"blue/shop", "red/blog"}
	err = p.Remove(t.Context(), "eu-1", nil)
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	require.ErrorContains(t, err, "blue/shop, red/blog")
	require.NoError(t, p.Remove(t.Context(), "eu-1", &cluster.RemoveOptions{Force: true}))
}

func TestAForgottenClusterIsPrunedWhenItComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPark(t, "eu-1", "us-1")
		defer p.close(t)
		for _, name := range []string{"eu-1", "us-1"} {
			_, err := p.Add(t.Context(), of(name), nil)
			require.NoError(t, err)
			p.clouds.set("secret-of-"+name, errHangs)
			begun := time.Now()
			require.NoError(t, p.Forget(t.Context(), name))
			require.Zero(t, time.Since(begun), "nobody is asked")
		}
		gone, err := p.Forgotten(t.Context())
		require.NoError(t, err)
		require.Len(t, gone, 2)

		p.clouds.set("secret-of-us-1", nil) // registered again
		_, err = p.Add(t.Context(), of("us-1"), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"us-1"}, p.running.pruned)

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(time.Hour)
		p.clouds.set("secret-of-eu-1", nil) // just there again
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"us-1", "eu-1"}, p.running.pruned)
		gone, err = p.Forgotten(t.Context())
		require.NoError(t, err)
		require.Empty(t, gone)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestHealthIsHonestAndRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPark(t, "eu-1", "us-1")
		defer p.close(t)
		for _, name := range []string{"eu-1", "us-1"} {
			_, err := p.Add(t.Context(), of(name), nil)
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		require.Equal(t, cluster.Ready, health(t, p.Fleet, "eu-1"))
		fell := time.Now()
		p.clouds.set("secret-of-eu-1", errHangs)
		time.Sleep(2 * time.Minute)
		s, err := p.Status(t.Context(), "eu-1")
		require.NoError(t, err)
		require.Equal(t, cluster.Unreachable, s.Health)
		require.Contains(t, s.Reasons[0], "no answer within 10s")
		require.False(t, s.LastAnswer.After(fell), "what is known is as old as the last answer")
		require.NotNil(t, s.Inspection, "what was known is still shown")
		require.Equal(t, cluster.Ready, health(t, p.Fleet, "us-1"))

		p.clouds.set("secret-of-eu-1", nil)
		time.Sleep(2 * time.Minute)
		require.Equal(t, cluster.Ready, health(t, p.Fleet, "eu-1"))
		c, err := p.Cluster(t.Context(), "us-1")
		require.NoError(t, err)
		for _, n := range s.Inspection.Nodes {
			require.NoError(t, c.Cordon(t.Context(), strings.Replace(n.Name, "eu-1", "us-1", 1)))
		}
		require.NoError(t, p.Refresh(t.Context(), cluster.Selector{Names: []string{"us-1"}}))
		require.Equal(t, cluster.Degraded, health(t, p.Fleet, "us-1"))
		cancel()
		require.NoError(t, <-done)

		history, err := p.History(t.Context(), "eu-1")
		require.NoError(t, err)
		var states []cluster.Health
		for _, h := range history {
			states = append(states, h.Health)
		}
		require.Equal(t, []cluster.Health{cluster.Ready, cluster.Unreachable, cluster.Ready}, states)
	})
}

func TestCredentialsAreNowhereInTheClear(t *testing.T) {
	t.Parallel()
	p := newPark(t, "eu-1", "us-1")
	defer p.close(t)
	reg := of("eu-1")
	_, err := p.Add(t.Context(), reg, nil)
	require.NoError(t, err)
	bad := of("us-1")
	bad.Name = "eu-1"
	_, failed := p.Add(t.Context(), bad, nil)
	require.Error(t, failed)
	require.NoError(t, p.Forget(t.Context(), "eu-1"))
	asJSON, err := json.Marshal(reg)
	require.NoError(t, err)
	shown := fmt.Sprintf("%v %+v %#v %s %q %s", reg, reg, reg, reg, reg, asJSON) + failed.Error()
	slog.New(slog.NewTextHandler(p.log, nil)).Info("added", "cluster", reg)
	shown += p.log.String()
	n := 0
	for rec, err := range p.records.List(t.Context(), "") {
		require.NoError(t, err)
		shown += string(rec.Value)
		n++
	}
	require.Positive(t, n)
	require.NotContains(t, shown, "secret-of-")
	require.NotContains(t, shown, "c2VjcmV0LW9m", "nor in base64")
}

func TestResealMakesOldKeysUnneeded(t *testing.T) {
	t.Parallel()
	p := newPark(t, "eu-1", "us-1")
	defer p.close(t)
	for _, name := range []string{"eu-1", "us-1"} {
		_, err := p.Add(t.Context(), of(name), nil)
		require.NoError(t, err)
	}
	require.NoError(t, p.Forget(t.Context(), "us-1"))
	fresh, err := p.keys.Rotate(nil)
	require.NoError(t, err)
	n, err := p.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = p.Reseal(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	p.keys, err = seal.NewKeyring(fresh)
	require.NoError(t, err)
	f := p.fleet(t)
	defer f.Close()
	_, err = f.Cluster(t.Context(), "eu-1")
	require.NoError(t, err)
	_, err = f.Forgotten(t.Context())
	require.NoError(t, err)
}
