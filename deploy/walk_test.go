package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
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

// step makes one step and returns how the world differs from the model.
func (w *walk) step() (what string, err error) {
	w.removed = nil
	if back, note, err := w.back(); back != nil || err != nil {
		if err == nil {
			err = w.compare(back)
		}
		return note, err
	}
	if w.rand.IntN(40) == 0 {
		name := w.names[w.rand.IntN(len(w.names))]
		if w.away[name] == 0 {
			w.leave(name)
			return name + " does not answer any more", w.compare(w.slots)
		}
	}
	if w.rand.IntN(100) == 0 && w.away["a"]+w.away["b"] == 0 {
		return "older keys are retired", w.retire()
	}
	op := w.draw()
	what, w.spoken, err = op.what, nil, w.spoken
	if err != nil {
		return what, err
	}
	touched := w.allow(op)
	if op.heals && op.fails == nil && w.rand.IntN(4) == 0 {
		said := w.drift(op)
		op.drifted = said != ""
		what += said
	}
	on := slices.DeleteFunc(slices.Clone(op.on), func(name string) bool { return !op.reaches(w, name) })
	note, err := w.perform(op)
	what += note
	if err != nil {
		return what, err
	}
	for _, name := range on {
		if w.pending[name] == nil {
			if err := w.accept(op, touched, name); err != nil {
				return what, err
			}
		}
	}
	if err := w.compare(touched); err != nil {
		return what, err
	}
	return what, w.rest(op)
}

// allow says where the operation may write, and returns what it may change.
func (w *walk) allow(op *operation) (touched []*slot) {
	touched, allowed := []*slot{op.slot}, []*slot{op.slot}
	switch op.kind {
	case "purge":
		touched = w.neighbours(op.slot)
		allowed = touched
	case "reseal":
		allowed = slices.DeleteFunc(slices.Clone(w.slots), func(s *slot) bool { return s.installation != op.slot.installation })
		touched = allowed
	}
	for _, name := range w.names {
		a := w.audits[name]
		a.mu.Lock()
		a.allowed = allowed
		a.mu.Unlock()
	}
	return touched
}

// perform carries the operation out, whatever happens.
func (w *walk) perform(op *operation) (note string, err error) {
	m := w.mishap()
	if op.mayFail(w) {
		m = nothingHappens
	}
	w.calm = m == nothingHappens
	if m == isResumed && op.kind != "" || m == fallsSilent && len(op.reads) > 0 {
		m = isKilled // it is not written to the journal, or what it reads may change meanwhile
	}
	done, silent := false, ""
	switch m {
	case nothingHappens:
	case isResumed:
		done, note, err = w.resume(op)
		if err == nil && !done && !op.drifted {
			err = w.compare([]*slot{op.slot}) // it was never begun
		}
	default:
		done, note, silent, err = w.attempt(op, m)
	}
	if err != nil {
		return note, err
	}
	if silent != "" {
		w.postpone(op, silent)
	}
	if done && (op.once || w.rand.IntN(3) > 0) {
		return note, nil
	}
	d, end := w.process(op.slot.installation, lives(immortal, false), nil)
	defer end()
	if m == isKilled && !done && w.rand.IntN(3) == 0 {
		if undone, err := op.undo(w, d); undone || err != nil {
			return note + ", rolled back", err
		}
	}
	to, again := op.to, m != nothingHappens
	if again {
		on := slices.DeleteFunc(slices.Clone(op.on), func(name string) bool { return w.pending[name] != nil })
		if len(on) == 0 {
			return note, nil
		}
		to.Clusters, to.Labels = on, nil
	}
	err = op.carryOut(w, d, to, again)
	switch {
	case op.fails != nil && !op.missing(w):
		if !errors.Is(err, op.fails) {
			return note, diverged(refused, "it is to fail with %v: %v", op.fails, err)
		}
	case !again && op.mayFail(w):
		if !errors.Is(err, appspan.ErrUnavailable) {
			return note, diverged(refused, "a cluster does not answer, and the error is %v", err)
		}
	case err != nil:
		return note, diverged(refused, "%v", err)
	}
	return note, nil
}

// missing reports whether a cluster does not answer that the operation asks.
func (op *operation) missing(w *walk) bool {
	return slices.ContainsFunc(slices.Concat(op.on, op.reads), func(name string) bool { return w.away[name] > 0 })
}

// accept takes over into the model what the operation has done on a cluster.
func (w *walk) accept(op *operation, touched []*slot, name string) error {
	for _, s := range touched {
		before := s.on[name]
		p := before.clone()
		op.after(name, p)
		done := p
		if op.undone {
			p = before.clone()
		}
		p.settle(name, before)
		s.on[name] = p
		if before.presence != absent && p.presence == absent || before.presence == absent && strings.HasPrefix(op.what, "removal") {
			w.removed = append(w.removed, removal{s, name})
		}
		if p.presence == absent {
			continue
		}
		releases, err := w.eyes[s.installation].Releases(w.t.Context(), s.name, s.target(name))
		if err != nil {
			return diverged(refused, "releases: %v", err)
		}
		newest := p.newest()
		for _, r := range slices.Backward(releases[name]) {
			if r.Revision > newest && p.presence == running {
				made := done
				if op.undone && r.Kind == deploy.KindRollback {
					made = p
				}
				p.releases = append(p.releases, kept{r.Revision, r.State, made.base, made.overs, made.from})
			}
			for i := range p.releases { // the process of that one died
				if k := &p.releases[i]; k.revision == r.Revision && k.state == deploy.ReleaseApplying {
					k.state = r.State
				}
			}
		}
		switch more := len(p.releases) - 10; {
		case p.presence == binned && op.kind == "":
			p.swept = true
		case !w.calm:
			p.swept = false
		case more > 0:
			p.swept = true
		}
		p.releases = p.releases[max(0, len(p.releases)-10):]
	}
	return nil
}

// rest asks whether nothing is left to do.
func (w *walk) rest(op *operation) error {
	if w.rand.IntN(4) != 0 {
		return nil
	}
	for _, name := range op.on {
		if p := op.slot.on[name]; p.presence != running || w.away[name] > 0 || !op.heals || !op.reaches(w, name) {
			continue
		}
		d, end := w.process(op.slot.installation, lives(immortal, false), nil)
		p, err := d.PlanCommand(w.t.Context(), op.slot.name, op.slot.target(name), deploy.Command{Kind: deploy.KindRedeploy}, nil)
		end()
		if err != nil {
			return diverged(refused, "%v", err)
		}
		if !p.Empty() {
			return diverged(restless, "%s", p)
		}
	}
	return nil
}

// leave takes a cluster away for some steps.
func (w *walk) leave(name string) {
	w.away[name] = 1 + w.rand.IntN(6)
	w.reached(name)
}

// postpone leaves an operation half done on a cluster that fell silent. It is
// done again when the cluster answers.
func (w *walk) postpone(op *operation, name string) {
	w.leave(name)
	s := op.slot
	w.pending[name] = func() (string, error) {
		note := name + " answers again: " + op.what
		w.calm = false
		touched := w.allow(op)
		d, end := w.process(s.installation, lives(immortal, false), nil)
		defer end()
		to := op.to
		to.Clusters, to.Labels = []string{name}, nil
		on := op.on
		op.on = to.Clusters
		defer func() { op.on = on }()
		if err := op.carryOut(w, d, to, true); err != nil {
			return note, diverged(refused, "after its cluster came back: %v", err)
		}
		return note, w.accept(op, touched, name)
	}
}

// back lets a cluster that was away answer again, when its time has come.
func (w *walk) back() (touched []*slot, note string, err error) {
	for _, name := range w.names {
		if w.away[name] == 0 {
			continue
		}
		if w.away[name]--; w.away[name] > 0 {
			continue
		}
		w.reached(name)
		note = name + " answers again"
		if redo := w.pending[name]; redo != nil {
			delete(w.pending, name)
			if note, err = redo(); err != nil {
				return nil, note, err
			}
		}
		touched = w.slots
	}
	return touched, note, nil
}

// walked walks and returns the first divergence.
func walked(t *testing.T, seed uint64, steps int, spoil func(*walk, string, driver.Cluster) driver.Cluster) error {
	w := newWalk(t, seed, spoil)
	var steplog []string
	for i := range steps {
		what, err := w.step()
		steplog = append(steplog, what)
		for _, name := range w.names { // which may be why the step failed
			if wrong := w.astray(name); wrong != nil {
				err = wrong
			}
		}
		if err != nil {
			return fmt.Errorf("step %d: %w; again: APPSPAN_SEED=%d go test -run 'TestAWalk.*/seed_%[3]d$' ./deploy; the last steps:\n%[4]s", i, err, seed, strings.Join(steplog[max(0, i-30):], "\n"))
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
	before := debug.SetGCPercent(400) // there is much garbage
	t.Cleanup(func() { debug.SetGCPercent(before) })
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
