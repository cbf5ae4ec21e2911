package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// walkSlot is one application of one installation, and what the model says of
// it on each cluster.
type walkSlot struct {
	installation, namespace string
	on                      map[string]*walkModel
}

type walkModel struct {
	deployed, recycled, stopped, data bool
	version                           int
	replicas                          *int
	password                          string // while it must stay the same
}

// audit sees every write and says which went to a wrong place.
type audit struct {
	driver.Cluster
	mu    sync.Mutex
	slot  *walkSlot
	wrong []string
}

func (a *audit) see(ref driver.Ref, manager string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.slot
	at := ref.Namespace
	if ref.Kind == "Namespace" {
		at = ref.Name
	}
	if at != s.namespace || manager != "" && !strings.HasPrefix(manager, "appspan-"+s.installation) {
		a.wrong = append(a.wrong, fmt.Sprintf("%s by %q, meant for %s of %s", ref, manager, s.namespace, s.installation))
	}
}

func (a *audit) Apply(ctx context.Context, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
	a.see(obj.Ref, o.Manager)
	return a.Cluster.Apply(ctx, obj, o)
}

func (a *audit) Delete(ctx context.Context, ref driver.Ref, o driver.DeleteOptions) error {
	a.see(ref, "")
	return a.Cluster.Delete(ctx, ref, o)
}

// walk is a random walk over two clusters: deployments, commands, drift, removals
// and restorations, of which a third is killed at a write and done again.
type walk struct {
	t      *testing.T
	rand   *rand.Rand
	keys   *seal.Keyring
	fakes  map[string]*fake.Cluster
	audits map[string]*audit
	slots  []*walkSlot
	plain  *cluster.Set
	spoil  func(driver.Cluster) driver.Cluster
}

func walkApp(t *testing.T, version int) []string {
	t.Helper()
	edits := []string{"web:1", fmt.Sprintf("web:%d", version+1)}
	if version == 1 {
		edits = append(edits, "replicas: 2", "replicas: 3", "routes:\n", "  - {id: tidy, kind: cron, image: registry.example.com/tidy:1, cron: {schedule: \"0 3 * * *\"}, security: {runAsUser: 1000}}\nroutes:\n")
	}
	return edits
}

func newWalk(t *testing.T, seed uint64, spoil func(driver.Cluster) driver.Cluster) *walk {
	w := &walk{t: t, rand: rand.New(rand.NewPCG(seed, 1)), keys: newKeys(t), fakes: map[string]*fake.Cluster{}, audits: map[string]*audit{}, spoil: spoil}
	for _, name := range []string{"a", "b"} {
		w.fakes[name] = fake.New(&fake.Options{Name: name})
		t.Cleanup(func() { _ = w.fakes[name].Close() })
		w.audits[name] = &audit{Cluster: w.fakes[name]}
	}
	var err error
	w.plain, err = cluster.NewSet(cluster.New("a", noClose{w.fakes["a"]}, nil), cluster.New("b", noClose{w.fakes["b"]}, nil))
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.plain.Close() })
	for _, s := range [][2]string{{"test", "one"}, {"test", "two"}, {"other", "three"}} {
		w.slots = append(w.slots, &walkSlot{s[0], s[1], map[string]*walkModel{"a": {}, "b": {}}})
	}
	return w
}

// process is a process that dies after some writes.
func (w *walk) process(installation string, left int64, done bool) (*deploy.Deployer, func()) {
	var members []*cluster.Cluster
	for _, name := range []string{"a", "b"} {
		var d driver.Cluster = w.audits[name]
		if w.spoil != nil {
			d = w.spoil(d)
		}
		mortal := &dying{Cluster: d, done: done}
		mortal.left.Store(left)
		members = append(members, cluster.New(name, noClose{mortal}, &cluster.Options{Attempts: 1}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(w.t, err)
	d, err := deploy.New(set, &deploy.Options{Installation: installation, Keys: w.keys, Authorizer: appspan.AllowAll{}})
	require.NoError(w.t, err)
	return d, func() { _ = set.Close() }
}

type noClose struct{ driver.Cluster }

func (n noClose) Unwrap() driver.Cluster { return n.Cluster }
func (noClose) Close() error             { return nil }

const immortal = int64(1) << 40

// step makes one step and returns how the world differs from the model.
func (w *walk) step() (what string, err error) {
	r, s := w.rand, w.slots[w.rand.IntN(len(w.slots))]
	name := []string{"a", "b"}[r.IntN(2)]
	m, to := s.on[name], deploy.Target{Clusters: []string{name}, Namespace: s.namespace}
	for _, a := range w.audits {
		a.slot = s
	}
	after := *m
	var do func(*deploy.Deployer) error
	ctx := w.t.Context()
	command := func(c deploy.Command) func(*deploy.Deployer) error {
		return func(d *deploy.Deployer) error { _, err := d.Run(ctx, "shop", to, c, nil); return err }
	}
	pick := r.IntN(10)
	if !m.deployed {
		pick = 0
		if m.recycled && r.IntN(2) == 0 {
			pick = 10
		}
	}
	switch pick {
	case 0, 1, 2:
		after.version = r.IntN(2)
		after.deployed, after.recycled = true, false
		app := shop(w.t, walkApp(w.t, after.version)...)
		what, do = "deploy", func(d *deploy.Deployer) error { _, err := d.Deploy(ctx, app, to, nil); return err }
		if !m.deployed { // it begins anew
			after.stopped, after.replicas = false, nil
		}
	case 3:
		after.stopped = true
		what, do = "stop", command(deploy.Command{Kind: deploy.KindStop})
	case 4:
		after.stopped = false
		what, do = "start", command(deploy.Command{Kind: deploy.KindStart})
	case 5:
		n := r.IntN(4)
		after.replicas = &n
		what, do = "scale", command(deploy.Command{Kind: deploy.KindScale, Components: []string{"web"}, Replicas: &n})
	case 6:
		what, do = "restart", command(deploy.Command{Kind: deploy.KindRestart})
	case 7:
		ref := webRef
		ref.Namespace = s.namespace
		if err := w.fakes[name].Delete(ctx, ref, driver.DeleteOptions{}); err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return "drift", err
		}
		what, do = "drift and redeploy", command(deploy.Command{Kind: deploy.KindRedeploy})
	case 8, 9:
		o := &deploy.RemoveOptions{Data: r.IntN(2) == 0, Recycle: r.IntN(2) == 0}
		after.deployed, after.recycled = false, o.Recycle
		if after.data = m.data && !o.Data; o.Data && !o.Recycle {
			after.password = ""
		}
		what = fmt.Sprintf("remove, data %v, recycle %v", o.Data, o.Recycle)
		do = func(d *deploy.Deployer) error {
			_, err := d.Remove(ctx, "shop", to, o, nil)
			if errors.Is(err, appspan.ErrNotFound) {
				return nil
			}
			return err
		}
	case 10:
		after.deployed, after.recycled = true, false
		what, do = "restore", func(d *deploy.Deployer) error { _, err := d.Restore(ctx, "shop", to, nil); return err }
	}
	what = fmt.Sprintf("%s on %s in %s", what, name, s.namespace)
	if r.IntN(3) == 0 {
		n := int64(r.IntN(20))
		what += fmt.Sprintf(", killed at write %d", n)
		d, end := w.process(s.installation, n, r.IntN(2) == 0)
		failed := do(d)
		end()
		if failed == nil && pick == 10 { // it was done before it could die
			do = func(*deploy.Deployer) error { return nil }
		}
		if failed != nil && pick == 10 {
			restore := do
			do = func(d *deploy.Deployer) error {
				err := restore(d)
				if errors.Is(err, appspan.ErrNotFound) { // it is no more in the bin: taken up as a redeployment
					_, err = d.Run(ctx, "shop", to, deploy.Command{Kind: deploy.KindRedeploy}, nil)
				}
				return err
			}
		}
	}
	d, end := w.process(s.installation, immortal, false)
	defer end()
	if err := do(d); err != nil {
		return what, err
	}
	*m = after
	if m.deployed {
		releases, err := d.Releases(ctx, "shop", to)
		if err != nil {
			return what, err
		}
		if n := len(releases[name]); n == 0 || n > 10 || releases[name][0].State != deploy.ReleaseDeployed {
			return what, fmt.Errorf("%d releases, the newest %s", n, releases[name][0].State)
		}
	}
	return what, w.compare()
}

// found are the objects of a namespace that somebody applied.
func (w *walk) found(name, namespace string) []string {
	out := (&world{t: w.t, set: w.plain}).objects(name, namespace)
	return slices.DeleteFunc(out, func(x string) bool {
		return slices.ContainsFunc([]string{"Pod/", "ReplicaSet/", "ControllerRevision/", "EndpointSlice/", "Endpoints/", "Lease/", "Secret/appspan"}, func(p string) bool { return strings.HasPrefix(x, p) })
	})
}

func (w *walk) compare() error {
	for name, a := range w.audits {
		if len(a.wrong) > 0 {
			return fmt.Errorf("writes to a wrong place on %s: %v", name, a.wrong)
		}
	}
	synctest.Wait()
	for _, s := range w.slots {
		for _, name := range slices.Sorted(maps.Keys(s.on)) {
			if err := w.compareOne(s, name, s.on[name]); err != nil {
				return fmt.Errorf("%s in %s: %w", name, s.namespace, err)
			}
		}
	}
	return nil
}

func (w *walk) compareOne(s *walkSlot, name string, m *walkModel) error {
	found := w.found(name, s.namespace)
	if !m.deployed {
		want := 0
		if m.data {
			want = 1
		}
		for _, x := range (&world{t: w.t, set: w.plain}).objects(name, s.namespace) {
			if strings.HasPrefix(x, "Secret/appspan") && !m.recycled {
				return fmt.Errorf("leaked %s", x)
			}
		}
		if len(found) != want {
			return fmt.Errorf("leaked, or lost: %v, data %v", found, m.data)
		}
		return nil
	}
	want := 2 + m.version
	if m.replicas != nil {
		want = *m.replicas
	}
	if m.stopped {
		want = 0
	}
	names := []string{"Deployment/shop-web", "StatefulSet/shop-db", "Ingress/shop-shop", "NetworkPolicy/shop-db", "NetworkPolicy/shop-web", "ConfigMap/shop-site",
		"Secret/shop-db", "Service/shop-db", "Service/shop-db-headless", "Service/shop-web"}
	m.data = m.data || !m.stopped // a claim is made with the first replica
	if m.data {
		names = append(names, "PersistentVolumeClaim/data-shop-db-0")
	}
	if want > 1 {
		names = append(names, "PodDisruptionBudget/shop-web")
	}
	if m.version == 1 {
		names = append(names, "CronJob/shop-tidy", "NetworkPolicy/shop-tidy")
	}
	slices.Sort(names)
	slices.Sort(found)
	if !slices.Equal(names, found) {
		return fmt.Errorf("there is %v, not %v", found, names)
	}
	ref := webRef
	ref.Namespace = s.namespace
	v := (&world{t: w.t, fakes: w.fakes}).get(name, ref)
	spec := v["spec"].(map[string]any)
	if got := fmt.Sprint(spec["replicas"]); got != strconv.Itoa(want) {
		return fmt.Errorf("%s replicas, not %d", got, want)
	}
	image := fmt.Sprintf("web:%d", m.version+1)
	if !strings.Contains(fmt.Sprint(spec["template"]), image) {
		return fmt.Errorf("not image %s", image)
	}
	secret := (&world{t: w.t, fakes: w.fakes}).get(name, driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: s.namespace, Name: "shop-db"})
	password := fmt.Sprint(secret["data"])
	if m.password != "" && m.password != password {
		return fmt.Errorf("the generated password is another one")
	}
	m.password = password
	return nil
}

// walked walks and returns the first divergence.
func walked(t *testing.T, seed uint64, steps int, spoil func(driver.Cluster) driver.Cluster) error {
	w := newWalk(t, seed, spoil)
	var steplog []string
	for i := range steps {
		what, err := w.step()
		steplog = append(steplog, what)
		if err != nil {
			return fmt.Errorf("APPSPAN_SEED=%d, step %d: %w; the last steps: %s", seed, i, err, strings.Join(steplog[max(0, i-40):], "; "))
		}
	}
	return nil
}

func TestAWalkThroughTheLifeCycleNeverLeavesTheModel(t *testing.T) {
	if racing {
		t.Skip("five thousand steps; run it without the race detector, as make unit does")
	}
	t.Parallel()
	seed, _ := strconv.ParseUint(os.Getenv("APPSPAN_SEED"), 10, 64)
	shards, steps := uint64(10), 500
	if os.Getenv("APPSPAN_SOAK") != "" {
		shards = 200
	}
	for n := range shards {
		t.Run(fmt.Sprintf("seed %d", seed+n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { require.NoError(t, walked(t, seed+n, steps, nil)) })
		})
	}
}

// forgetful drops some deletes.
type forgetful struct{ driver.Cluster }

func (f forgetful) Unwrap() driver.Cluster { return f.Cluster }
func (f forgetful) Delete(ctx context.Context, ref driver.Ref, o driver.DeleteOptions) error {
	if ref.Kind == "Service" {
		return nil
	}
	return f.Cluster.Delete(ctx, ref, o)
}

// astray writes some objects into another namespace.
type astray struct{ driver.Cluster }

func (a astray) Apply(ctx context.Context, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
	if obj.Kind == "ConfigMap" {
		obj.Namespace = "default"
	}
	return a.Cluster.Apply(ctx, obj, o)
}

func TestTheWalkCatchesADriverThatCheats(t *testing.T) {
	if racing {
		t.Skip("five thousand steps; run it without the race detector, as make unit does")
	}
	t.Parallel()
	for name, spoil := range map[string]func(driver.Cluster) driver.Cluster{
		"it drops a delete":              func(d driver.Cluster) driver.Cluster { return forgetful{d} },
		"it writes to another namespace": func(d driver.Cluster) driver.Cluster { return astray{d} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { require.Error(t, walked(t, 1, 100, spoil)) })
		})
	}
}
