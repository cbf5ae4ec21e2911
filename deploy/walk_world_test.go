package deploy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// walk is a random walk over two clusters: operations on the applications of two
// installations, of which many meet with a mishap and are done again, or gone on
// with by another process. After each the world is compared with the model.
type walk struct {
	t     *testing.T
	ctx   context.Context
	rand  *rand.Rand
	keys  *seal.Keyring
	names []string
	slots []*slot
	spoil func(*walk, string, driver.Cluster) driver.Cluster

	fakes  map[string]*fake.Cluster
	audits map[string]*audit
	nets   map[string]*fault.Cluster // between every process and the cluster
	eyes   map[string]*deploy.Deployer
	kinds  []driver.KindInfo

	foreign   map[string]map[driver.Ref]string // what others have, by cluster
	planted   map[string]bool                  // namespaces of others
	made      map[string]map[string]string     // by cluster and namespace, who made it
	answered  map[string]time.Time             // by installation and cluster
	away      map[string]int                   // for so many steps a cluster does not answer
	pending   map[string]func() (string, error)
	removed   []removal // in the last step
	rotations int
	calm      bool  // in the last step nothing happened but the operation
	spoken    error // what was found while a step was drawn
}

// removal is of a slot from a cluster.
type removal struct {
	slot    *slot
	cluster string
}

// noClose is a cluster that outlives those who use it.
type noClose struct{ driver.Cluster }

func (n noClose) Unwrap() driver.Cluster { return n.Cluster }
func (noClose) Close() error             { return nil }

func newWalk(t *testing.T, seed uint64, spoil func(*walk, string, driver.Cluster) driver.Cluster) *walk {
	w := &walk{t: t, ctx: t.Context(), rand: rand.New(rand.NewPCG(seed, 1)), keys: newKeys(t), names: []string{"a", "b"}, spoil: spoil,
		fakes: map[string]*fake.Cluster{}, audits: map[string]*audit{}, nets: map[string]*fault.Cluster{}, eyes: map[string]*deploy.Deployer{},
		foreign: map[string]map[driver.Ref]string{}, planted: map[string]bool{"one": true, "default": true, "elsewhere": true},
		made: map[string]map[string]string{"a": {}, "b": {}}, answered: map[string]time.Time{}, away: map[string]int{}, pending: map[string]func() (string, error){}}
	for _, name := range w.names {
		w.fakes[name] = fake.New(&fake.Options{Name: name})
		t.Cleanup(func() { _ = w.fakes[name].Close() })
		w.audits[name] = &audit{Cluster: w.fakes[name]}
		w.nets[name] = fault.New(w.audits[name])
	}
	info, err := w.fakes["a"].Info(t.Context())
	require.NoError(t, err)
	w.kinds = info.Kinds
	w.look()
	for _, s := range []slot{{"test", "one", "shop", "", -1, nil}, {"test", "two", "shop", "", -1, nil}, {"other", "three", "shop", "", -1, nil},
		{"test", "two", "store", "blue", 0, nil}, {"other", "two", "depot", "", -1, nil}} {
		s.on = map[string]*part{"a": {}, "b": {}}
		w.slots = append(w.slots, &s)
	}
	w.plant()
	return w
}

// look opens what sees the world for each installation, for as long as its keys
// are the same.
func (w *walk) look() {
	for _, installation := range []string{"test", "other"} {
		var members []*cluster.Cluster
		for _, name := range w.names {
			members = append(members, cluster.New(name, noClose{w.nets[name]}, &cluster.Options{Timeout: 5 * time.Second}))
			delete(w.answered, installation+"/"+name)
		}
		set, err := cluster.NewSet(members...)
		require.NoError(w.t, err)
		w.t.Cleanup(func() { _ = set.Close() })
		w.eyes[installation], err = deploy.New(set, &deploy.Options{Installation: installation, Keys: w.keys, Authorizer: appspan.AllowAll{}})
		require.NoError(w.t, err)
	}
	for _, s := range w.slots {
		for _, p := range s.on {
			p.seen = ""
		}
	}
}

// retire seals everything with the newest key and forgets the others.
func (w *walk) retire() error {
	_, err := w.keys.Rotate(nil)
	require.NoError(w.t, err)
	for _, installation := range []string{"test", "other"} {
		for _, name := range w.names {
			a := w.audits[name]
			a.mu.Lock()
			a.allowed = slices.DeleteFunc(slices.Clone(w.slots), func(s *slot) bool { return s.installation != installation })
			a.mu.Unlock()
		}
		d, end := w.process(installation, lives(immortal, false), nil)
		_, err := d.Reseal(w.ctx, deploy.Target{Clusters: w.names})
		end()
		if err != nil {
			return diverged(refused, "%v", err)
		}
	}
	w.keys = onlyNewest(w.t, w.keys)
	w.rotations = 0
	w.look()
	return w.compare(w.slots)
}

// plant makes what belongs to others, with names and labels much like ours.
func (w *walk) plant() {
	ours := `{"appspan.dev/application":"shop","appspan.dev/installation":"%s","app.kubernetes.io/managed-by":"appspan"}`
	for _, name := range w.names {
		w.foreign[name] = map[driver.Ref]string{}
		for _, text := range []string{
			`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"one"}}`,
			`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"elsewhere"}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop-site-copy","namespace":"one","labels":` + fmt.Sprintf(ours, "test") + `},"data":{"mine":"1"}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop-notes","namespace":"one","labels":` + fmt.Sprintf(ours, "third") + `},"data":{"mine":"2"}}`,
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"appspan-shop-deadbeef","namespace":"one"},"stringData":{"mine":"3"}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop-site","namespace":"default","labels":` + fmt.Sprintf(ours, "test") + `},"data":{"mine":"4"}}`,
			`{"apiVersion":"v1","kind":"Service","metadata":{"name":"shop-web","namespace":"elsewhere","labels":{"app.kubernetes.io/name":"shop"}},"spec":{"selector":{"app":"x"},"ports":[{"port":80}]}}`,
			`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data-shop-db-1","namespace":"one"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`,
		} {
			obj, err := driver.ParseObject([]byte(text))
			require.NoError(w.t, err)
			_, err = w.fakes[name].Apply(w.t.Context(), obj, driver.ApplyOptions{Manager: "admin"})
			require.NoError(w.t, err)
		}
		time.Sleep(time.Minute)
		for namespace, objects := range w.shoot(name) {
			for _, obj := range objects {
				if namespace != "" {
					w.foreign[name][obj.Ref] = string(obj.JSON)
				}
			}
		}
	}
}

// record is the name of what says that an application is there.
func (s *slot) record() string {
	return "appspan-" + s.name + "-" + map[string]string{"test": "9f86d081", "other": "d9298a10"}[s.installation]
}
