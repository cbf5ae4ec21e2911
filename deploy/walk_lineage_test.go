package deploy_test

import (
	"errors"
	"maps"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
)

func (w *walk) drawCopy(op *operation) {
	source := w.slots[op.slot.source]
	from := source.where(running)
	at := from[w.rand.IntN(len(from))]
	w.aim(op, w.names)
	n := w.rand.IntN(3)
	src := source.on[at]
	base := src.base.with(everywhere(src.overs), "")
	o := &deploy.CopyOptions{Name: op.slot.name, Hosts: map[string]string{base.host: "copy.example.com"}}
	overs := []over{{host: "copy.example.com"}}
	if n > 0 && n != base.replicas {
		o.Replicas = map[string]int{"web": n}
		overs[0].replicas = n
	}
	op.name("copy of %s on %s, replicas %v", source.name, at, o.Replicas)
	op.reads, op.heals = []string{at}, true
	op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		return d.PlanCopy(w.ctx, deploy.Source{Application: source.name, Target: source.target(at)}, to, o)
	}
	revision := src.newest()
	op.after = func(_ string, p *part) {
		p.begin(base, overs)
		p.from = &origin{slot: op.slot.source, cluster: at, revision: revision, base: base}
	}
}

// drawPromotion draws a promotion, if there is something to promote.
func (w *walk) drawPromotion(op *operation, live []string) bool {
	w.aim(op, live)
	first := op.slot.on[op.on[0]]
	if first.from == nil {
		return false
	}
	source := w.slots[first.from.slot]
	src := source.on[first.from.cluster]
	if src.presence != running {
		return false
	}
	for _, name := range op.on {
		p := op.slot.on[name]
		if p.base != first.base || !slices.Equal(p.overs, first.overs) {
			op.fails = appspan.ErrConflict
		} else if !sameFrom(p.from, first.from) {
			return false // they were made from different things
		}
	}
	theirs := src.base.with(everywhere(src.overs), "")
	result, decided := merged(first.from.base, first.base, theirs, func(string) bool { return w.rand.IntN(2) == 0 })
	o := &deploy.PromotionOptions{Decisions: map[string]appmodel.Decision{}}
	for path, taken := range decided {
		o.Decisions[path] = appmodel.TakeOurs
		if taken {
			o.Decisions[path] = appmodel.TakeTheirs
		}
	}
	op.name("promotion from %s on %s, decided %v", source.name, first.from.cluster, o.Decisions)
	op.whole, op.heals, op.undoes, op.reads = true, true, true, []string{first.from.cluster}
	op.plan = func(d *deploy.Deployer, to deploy.Target) (*deploy.Plan, error) {
		p, err := d.PlanPromotion(w.ctx, op.slot.name, to, o)
		if err != nil {
			return nil, err
		}
		return p.Plan, nil
	}
	if len(decided) > 0 && op.fails == nil && !op.mayFail(w) { // they are named, before anybody decides
		d, end := w.process(op.slot.installation, lives(immortal, false), nil)
		defer end()
		p, err := d.PlanPromotion(w.ctx, op.slot.name, op.to, nil)
		found := map[string]bool{}
		if p != nil {
			for _, c := range p.Conflicts {
				found[c.Path] = true
			}
		}
		if !errors.Is(err, appspan.ErrConflict) || !slices.Equal(slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(decided))) {
			w.spoken = diverged(refused, "the promotion has the conflicts %v, not %v: %v", found, decided, err)
		}
	}
	from := &origin{slot: first.from.slot, cluster: first.from.cluster, revision: src.newest(), base: theirs}
	op.after = func(_ string, p *part) { p.base, p.from = result, from }
	return true
}

func sameFrom(a, b *origin) bool {
	return a == b || a != nil && b != nil && *a == *b
}
