package deploy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
)

// operation is one step in the life of an application, and what the model says
// of it.
type operation struct {
	what string
	kind string // "reseal" or "purge": they are about several applications, and have no plan
	slot *slot
	on   []string // clusters
	to   deploy.Target
	// plan makes the plan, and again makes it a second time, if that is
	// another; do is for what has no plan.
	plan, again func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error)
	do          func(d *deploy.Deployer, to deploy.Target) error
	stored      bool // the plan is stored before it is applied
	planned     *deploy.Plan
	once        bool // it cannot be done twice
	drifted     bool // after somebody has changed something
	undoes      bool // it can be rolled back instead of being done again
	undone      bool // it was
	// after changes the model of one of the clusters.
	after func(name string, p *part)
	reads []string // other clusters, without which nothing can be done
	whole bool     // without one of its clusters nothing can be done
	fails error    // how it is to fail, and change nothing
	heals bool     // it undoes what somebody changed
}

func (s *slot) target(clusters ...string) deploy.Target {
	return deploy.Target{Clusters: clusters, Namespace: s.namespace, Team: s.team}
}

// mayFail reports whether the operation cannot be done everywhere.
func (op *operation) mayFail(w *walk) bool {
	return op.fails != nil || slices.ContainsFunc(slices.Concat(op.on, op.reads), func(name string) bool { return w.away[name] > 0 })
}

// reaches reports whether the operation changes a cluster.
func (op *operation) reaches(w *walk, name string) bool {
	away := func(name string) bool { return w.away[name] > 0 }
	return op.fails == nil && !away(name) && !slices.ContainsFunc(op.reads, away) && !(op.whole && slices.ContainsFunc(op.on, away))
}

// carryOut plans the operation and applies the plan, as it is or as it was
// stored meanwhile.
func (op *operation) carryOut(w *walk, d *deploy.Deployer, to deploy.Target, again bool) error {
	if op.do != nil {
		return op.do(d, to)
	}
	if again && op.planned != nil && slices.Equal(to.Clusters, op.planned.Target.Clusters) {
		_, err := d.Apply(w.ctx, op.planned, nil) // the same plan again
		return err
	}
	if again && op.whole && len(to.Clusters) > 1 { // where one of them is half done they are not the same
		for _, name := range to.Clusters {
			if err := op.carryOut(w, d, op.slot.target(name), true); err != nil {
				return err
			}
		}
		return nil
	}
	plan := op.plan
	if again && op.again != nil {
		plan = op.again
	}
	p, err := plan(d, to)
	if err != nil || p == nil {
		return err
	}
	if (op.stored || op.whole) && p.Err() == nil {
		data, err := json.Marshal(p)
		if err != nil {
			return err
		}
		stored := &deploy.Plan{}
		if err := json.Unmarshal(data, stored); err != nil {
			return err
		}
		if op.planned = stored; op.stored {
			p = stored
		}
	}
	_, err = d.Apply(w.ctx, p, nil)
	return err
}

// undo rolls back what an operation has half done, or returns that it cannot.
func (op *operation) undo(w *walk, d *deploy.Deployer) (bool, error) {
	for _, name := range op.on {
		before := op.slot.on[name]
		after := before.clone()
		if op.after(name, after); !op.undoes || before.presence != running || before.resolved(name).worker && !after.resolved(name).worker {
			return false, nil // or nobody knows how many workers there would be
		}
	}
	op.undone = true
	for _, name := range op.on {
		_, err := d.Rollback(w.ctx, op.slot.name, op.slot.target(name), &deploy.RollbackOptions{Revision: op.slot.on[name].newest()}, nil)
		if err != nil {
			return true, diverged(refused, "rolled back: %v", err)
		}
	}
	return true, nil
}

// draw draws an operation.
func (w *walk) draw() *operation {
	r := w.rand
	s := w.slots[r.IntN(len(w.slots))]
	live, bin := s.where(running), s.where(binned)
	op := &operation{slot: s, stored: r.IntN(3) == 0}
	switch n := r.IntN(100); {
	case n < 2:
		w.drawReseal(op)
	case n < 5 && len(bin) > 0:
		w.drawPurge(op)
	case len(bin) > 0 && n < 20:
		w.drawRestore(op, bin)
	case s.source >= 0 && n < 50 && len(w.slots[s.source].where(running)) > 0 && len(live) == 0:
		w.drawCopy(op)
	case s.source >= 0 && n < 55 && len(live) > 0 && w.drawPromotion(op, live):
	case len(live) == 0 || n < 35:
		w.drawDeploy(op)
	case n < 43:
		w.drawEdit(op, live)
	case n < 51 && w.drawRollback(op, live):
	case n < 60:
		w.drawRemove(op, live)
	default:
		w.drawCommand(op, live)
	}
	return op
}

// aim chooses among clusters: by name, or by their labels.
func (w *walk) aim(op *operation, among []string) {
	r := w.rand
	op.on = []string{among[r.IntN(len(among))]}
	if len(among) == len(w.names) && r.IntN(5) < 2 {
		op.on = slices.Clone(among)
	}
	op.to = op.slot.target(op.on...)
	if r.IntN(4) == 0 {
		op.to.Clusters, op.to.Labels = nil, labelsOf(op.on[0])
		if len(op.on) > 1 {
			op.to.Labels = map[string]string{"walk": "yes"}
		}
	}
}

func (op *operation) name(format string, args ...any) {
	op.what = fmt.Sprintf(format, args...) + fmt.Sprintf(" of %s in %s on %v", op.slot.name, op.slot.namespace, op.on)
}

// mean draws an application.
func (w *walk) mean(s *slot) meant {
	r := w.rand
	return meant{web: 1 + r.IntN(3), replicas: 1 + r.IntN(2), greeting: []string{"hello", "howdy", "ahoy"}[r.IntN(3)],
		host: s.name + "." + s.namespace + ".example.com", tidy: r.IntN(3) == 0, worker: r.IntN(2) == 0}
}

// overrides draws overrides for all clusters or for one, with their documents.
func (w *walk) overrides() []over {
	r := w.rand
	var out []over
	for range r.IntN(3) {
		o := over{on: append([]string{"", ""}, w.names...)[r.IntN(2+len(w.names))]}
		switch r.IntN(3) {
		case 0:
			o.web = 1 + r.IntN(4)
		case 1:
			o.replicas = 1 + r.IntN(3)
		case 2:
			o.greeting = []string{"moin", "hello"}[r.IntN(2)]
		}
		out = append(out, o)
	}
	return out
}

func (w *walk) documents(overs []over) []deploy.ClusterOverride {
	var out []deploy.ClusterOverride
	for i, o := range overs {
		one := deploy.ClusterOverride{Override: override(w.t, o.text(i))}
		if o.on != "" {
			one.Clusters = appmodel.ClusterSelector{Names: []string{o.on}}
		}
		out = append(out, one)
	}
	return out
}

func (w *walk) drawDeploy(op *operation) {
	base, overs := w.mean(op.slot), w.overrides()
	w.aim(op, w.names)
	op.name("deploy %+v %+v", base, overs)
	op.heals = true
	app := decode(w.t, base.text(op.slot.name))
	o := &deploy.PlanOptions{ClusterOverrides: w.documents(overs)}
	if w.rand.IntN(2) == 0 {
		op.stored, op.do = false, func(d *deploy.Deployer, to deploy.Target) error {
			_, err := d.Deploy(w.ctx, app, to, &deploy.DeployOptions{Plan: *o})
			return err
		}
	} else {
		op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) { return d.Plan(w.ctx, app, to, o) }
	}
	op.undoes = true
	op.after = func(_ string, p *part) { p.begin(base, overs) }
}

func (w *walk) drawEdit(op *operation, live []string) {
	w.aim(op, live)
	base, first := w.mean(op.slot), op.slot.on[op.on[0]]
	base.host = first.base.host
	op.name("edit to %+v", base)
	op.heals, op.whole, op.undoes = true, true, true
	app := decode(w.t, base.text(op.slot.name))
	for _, name := range op.on {
		if p := op.slot.on[name]; p.base != first.base || !slices.Equal(p.overs, first.overs) {
			op.fails = appspan.ErrConflict
		}
	}
	op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		return d.PlanEdit(w.ctx, op.slot.name, to, func(a *appmodel.Application) error {
			a.Components, a.Configs, a.Routes = app.Components, app.Configs, app.Routes
			return nil
		}, nil)
	}
	op.after = func(_ string, p *part) { p.begin(base, p.overs) }
}

func (w *walk) drawRollback(op *operation, live []string) bool {
	w.aim(op, live[:1+w.rand.IntN(len(live))])
	if len(op.on) > 1 {
		op.on = op.on[:1]
		op.to = op.slot.target(op.on...)
	}
	p := op.slot.on[op.on[0]]
	var past []kept
	for _, k := range p.releases[max(0, len(p.releases)-7):] { // the oldest may go while it is tried twice
		if k.state == deploy.ReleaseDeployed {
			past = append(past, k)
		}
	}
	if len(past) == 0 {
		return false
	}
	k := past[w.rand.IntN(len(past))]
	op.name("rollback to %d", k.revision)
	op.heals = true
	op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		return d.PlanRollback(w.ctx, op.slot.name, to, &deploy.RollbackOptions{Revision: k.revision})
	}
	op.after = func(_ string, p *part) { p.base, p.overs, p.from = k.base, k.overs, k.from }
	return true
}

func (w *walk) drawRemove(op *operation, live []string) {
	w.aim(op, live)
	o := &deploy.RemoveOptions{Data: w.rand.IntN(2) == 0, Recycle: w.rand.IntN(2) == 0}
	op.name("removal, data %v, recycle %v", o.Data, o.Recycle)
	op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		return d.PlanRemove(w.ctx, op.slot.name, to, o)
	}
	op.after = func(_ string, p *part) {
		p.data = p.data && !o.Data
		p.remove(o.Recycle)
	}
}

// remove takes it away, or puts it into the recycle bin.
func (p *part) remove(recycle bool) {
	p.workers, p.noted = 0, false
	if recycle {
		p.presence = binned
		if n := len(p.releases); n > 1 {
			p.releases = slices.Clone(p.releases[n-1:])
		}
		return
	}
	if !p.data {
		p.password = ""
	}
	p.presence, p.releases, p.asked, p.from = absent, nil, nil, nil
}

func (w *walk) drawRestore(op *operation, bin []string) {
	w.aim(op, bin)
	op.name("restoration")
	op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		return d.PlanRestore(w.ctx, op.slot.name, to, nil)
	}
	op.again = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		// What is no more in the bin is gone on with as it is.
		rest := slices.DeleteFunc(slices.Clone(to.Clusters), func(name string) bool {
			found, err := d.Recycled(w.ctx, op.slot.target(name))
			return err != nil || !slices.ContainsFunc(found, func(r deploy.Recycled) bool { return r.Application == op.slot.name })
		})
		for _, name := range to.Clusters {
			if slices.Contains(rest, name) {
				continue
			}
			if _, err := d.Run(w.ctx, op.slot.name, op.slot.target(name), deploy.Command{Kind: deploy.KindRedeploy}, nil); err != nil {
				return nil, err
			}
		}
		if len(rest) == 0 {
			return nil, nil
		}
		return d.PlanRestore(w.ctx, op.slot.name, op.slot.target(rest...), nil)
	}
	op.once = true
	op.after = func(_ string, p *part) { p.presence = running }
}

func (w *walk) drawPurge(op *operation) {
	w.aim(op, w.names)
	op.to.Clusters, op.to.Labels = op.on, nil
	op.kind = "purge"
	op.name("purge")
	op.do = func(d *deploy.Deployer, to deploy.Target) error {
		to.Team = ""
		_, err := d.Purge(w.ctx, to, time.Now().Add(time.Hour))
		return err
	}
	op.after = func(_ string, p *part) {
		if p.presence == binned {
			p.remove(false)
		}
	}
}

// neighbours are the slots of an installation in a namespace.
func (w *walk) neighbours(s *slot) []*slot {
	var out []*slot
	for _, other := range w.slots {
		if other.installation == s.installation && other.namespace == s.namespace {
			out = append(out, other)
		}
	}
	return out
}

func (w *walk) drawReseal(op *operation) {
	w.aim(op, w.names)
	op.to = deploy.Target{Clusters: op.on}
	op.kind = "reseal"
	op.name("reseal")
	if w.rotations < 4 {
		w.rotations++
		_, err := w.keys.Rotate(nil)
		require.NoError(w.t, err)
	}
	op.do = func(d *deploy.Deployer, to deploy.Target) error {
		_, err := d.Reseal(w.ctx, deploy.Target{Clusters: to.Clusters})
		return err
	}
	op.after = func(string, *part) {}
}

func (w *walk) drawCommand(op *operation, live []string) {
	r := w.rand
	w.aim(op, live)
	c := deploy.Command{At: time.Now().UTC()}
	all := op.slot.on[op.on[0]].resolved(op.on[0]).components()
	for _, name := range op.on {
		has := op.slot.on[name].resolved(name).components()
		all = slices.DeleteFunc(all, func(id string) bool { return !slices.Contains(has, id) })
	}
	if r.IntN(2) == 0 {
		c.Components = slices.DeleteFunc(slices.Clone(all), func(string) bool { return r.IntN(2) == 0 })
	}
	op.after = func(string, *part) {}
	asks := func(do func(id string, p *part, name string, a *asked)) {
		op.after = func(name string, p *part) {
			p.ask(name, c.Components, func(id string, a *asked) { do(id, p, name, a) })
		}
	}
	switch r.IntN(9) {
	case 0, 1:
		c.Kind = deploy.KindStop
		asks(func(id string, p *part, _ string, a *asked) {
			if id == "worker" && !a.stopped {
				a.resume = p.workers
			}
			a.stopped = true
		})
	case 2, 3:
		c.Kind = deploy.KindStart
		asks(func(_ string, _ *part, _ string, a *asked) { a.stopped = false })
	case 4:
		c.Kind, c.Components = deploy.KindScale, []string{"web"}
		n := r.IntN(4)
		if n < 3 {
			c.Replicas = &n
		}
		asks(func(_ string, _ *part, _ string, a *asked) { a.replicas = (n + 1) % 4 })
	case 5:
		c.Kind = deploy.KindRestart
		c.Components = slices.DeleteFunc(c.Components, func(id string) bool { return id == "tidy" })
	case 6:
		c.Kind = []deploy.PlanKind{deploy.KindPause, deploy.KindResume, deploy.KindResume}[r.IntN(3)]
		asks(func(_ string, _ *part, _ string, a *asked) { a.paused = c.Kind == deploy.KindPause })
	case 7:
		c.Kind, c.Components = deploy.KindRedeploy, nil
	case 8:
		n := 1 + r.IntN(5)
		c.Kind, c.Components, c.Images = deploy.KindImage, nil, map[string]string{"web": fmt.Sprintf("registry.example.com/web:%d", n)}
		op.undoes = true
		op.after = func(name string, p *part) {
			if p.base.web = n; p.resolved(name).web != n { // an override says otherwise
				p.overs = append(slices.Clone(p.overs), over{web: n})
			}
		}
	}
	op.name("%s %v %s %v", c.Kind, c.Components, replicas(c.Replicas), c.Images)
	op.heals = true
	op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		return d.PlanCommand(w.ctx, op.slot.name, to, c, nil)
	}
}

func replicas(n *int) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}
