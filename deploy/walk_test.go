package deploy_test

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

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
