package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
)

var (
	secretRef  = driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "shop-db"}
	serviceRef = driver.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "shop-web"}
	heal       = deploy.DriftPolicy{Default: deploy.DriftHeal}
)

// put sets a field, by names of fields and, in lists, of entries.
func put(value any, at ...string) func(map[string]any) {
	return func(v map[string]any) {
		for i, name := range at {
			if i == len(at)-1 {
				if value == nil {
					delete(v, name)
				} else {
					v[name] = value
				}
				return
			}
			switch next := v[name].(type) {
			case map[string]any:
				v = next
			case []any:
				v = next[0].(map[string]any)
			case nil:
				m := map[string]any{}
				v[name] = m
				v = m
			}
		}
	}
}

// hand is edit beside controllers that write too.
func (w *world) hand(name string, ref driver.Ref, manager string, change func(map[string]any)) {
	w.t.Helper()
	for {
		v := w.get(name, ref)
		change(v)
		obj, err := driver.NewObject(v)
		require.NoError(w.t, err)
		if _, err = w.fakes[name].Update(w.t.Context(), obj, manager); errors.Is(err, appspan.ErrPrecondition) {
			continue
		}
		require.NoError(w.t, err)
		return
	}
}

func (w *world) drift(to deploy.Target, policy deploy.DriftPolicy) *deploy.Drift {
	w.t.Helper()
	d, err := w.Drift(w.t.Context(), "shop", to, &deploy.DriftOptions{Policy: policy})
	require.NoError(w.t, err)
	return d
}

// found are the items of a cluster, by kind of object and path.
func found(d *deploy.Drift, cluster string) map[string]deploy.DriftItem {
	out := map[string]deploy.DriftItem{}
	for _, i := range d.Cluster(cluster).Items {
		out[i.Object.Kind+i.Path] = i
	}
	return out
}

const image = `.spec.template.spec.containers[name="web"].image`

func TestDriftIsWhatSomebodyElseChangedWithItsAuthorAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), both)
	require.True(t, w.drift(both, heal).Empty())
	w.hand("a", webRef, "kubectl-set", put("evil:1", "spec", "template", "spec", "containers", "image"))
	w.hand("a", webRef, "kubectl-edit", put(true, "spec", "paused"))
	w.hand("a", siteRef, "kubectl-edit", put("hullo", "data", "GREETING"))
	w.hand("a", siteRef, "kubectl-patch", put("more", "data", "EXTRA"))
	w.hand("a", secretRef, "kubectl-patch", put("MTIz", "data", "password"))
	require.NoError(t, w.fakes["a"].Delete(t.Context(), serviceRef, driver.DeleteOptions{}))
	w.resetCalls()
	d := w.drift(both, deploy.DriftPolicy{})
	require.Zero(t, w.writes())
	require.Empty(t, d.Cluster("b").Items)
	items := found(d, "a")
	require.Len(t, items, 6, "%s", d)
	for path, author := range map[string]string{"Deployment" + image: "kubectl-set", "Deployment.spec.paused": "kubectl-edit", "ConfigMap.data.GREETING": "kubectl-edit",
		"ConfigMap.data.EXTRA": "kubectl-patch", "Secret.data.password": "kubectl-patch", "Service": ""} {
		require.Contains(t, items, path)
		require.Equal(t, author, items[path].Author, path)
		require.Equal(t, author == "", items[path].Since.IsZero(), path)
		require.Equal(t, deploy.DriftReport, items[path].Action)
	}
	require.Equal(t, deploy.DriftDeleted, items["Service"].Kind)
	require.Equal(t, deploy.DriftAdded, items["Deployment.spec.paused"].Kind)
	require.Equal(t, `"evil:1"`, string(items["Deployment"+image].Live))
	require.Equal(t, `"registry.example.com/web:1"`, string(items["Deployment"+image].Released))
	data, err := json.Marshal(d)
	require.NoError(t, err)
	require.NotContains(t, string(data)+d.String(), "MTIz")
	require.Contains(t, d.String(), "by kubectl-patch")
}

func TestHealingUndoesWhatThePolicySaysAndNothingElse(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), both)
	w.hand("a", webRef, "kubectl-edit", put("evil:1", "spec", "template", "spec", "containers", "image"))
	w.hand("a", webRef, "kubectl-edit", put(7, "spec", "replicas"))
	w.hand("a", webRef, "kubectl-rollout", put(true, "spec", "paused"))
	w.hand("a", siteRef, "kubectl-edit", put("hullo", "data", "GREETING"))
	policy := deploy.DriftPolicy{Default: deploy.DriftHeal, Rules: []deploy.DriftRule{
		{Component: "web", Path: ".spec.replicas", Action: deploy.DriftYield}, {Kind: "ConfigMap", Action: deploy.DriftReport}}}
	require.False(t, w.drift(both, policy).Empty())
	r, err := w.Heal(t.Context(), "shop", both, policy, nil)
	require.NoError(t, err)
	require.Equal(t, deploy.OutcomeDone, r.Cluster("a").Outcome)
	require.Equal(t, 1, r.Cluster("a").Updated)
	require.Equal(t, deploy.OutcomeUnchanged, r.Cluster("b").Outcome)
	web := w.get("a", webRef)["spec"].(map[string]any)
	require.EqualValues(t, 7, web["replicas"])
	require.Contains(t, []any{nil, false}, web["paused"])
	items := found(w.drift(both, policy), "a")
	require.Len(t, items, 2, "%v", items)
	require.Equal(t, deploy.DriftYield, items["Deployment.spec.replicas"].Action)
	require.Equal(t, "kubectl-edit", items["Deployment.spec.replicas"].Author)
	require.Equal(t, deploy.DriftReport, items["ConfigMap.data.GREETING"].Action)

	p, err := w.Plan(t.Context(), shop(t), both, nil)
	require.NoError(t, err)
	require.Len(t, p.Clusters[0].Changes, 2, "what is left is in a plan as ever")
	releases, err := w.Releases(t.Context(), "shop", both)
	require.NoError(t, err)
	require.Equal(t, deploy.KindHeal, releases["a"][0].Kind)
	require.Equal(t, deploy.ReleaseDeployed, releases["a"][0].State)
	require.Len(t, releases["b"], 1)

	_, err = w.Heal(t.Context(), "shop", both, heal, nil)
	require.NoError(t, err)
	require.True(t, w.drift(both, heal).Empty())
	require.EqualValues(t, 2, w.get("a", webRef)["spec"].(map[string]any)["replicas"])
	r, err = w.Heal(t.Context(), "shop", both, heal, nil)
	require.NoError(t, err)
	require.Equal(t, deploy.OutcomeUnchanged, r.Cluster("a").Outcome)
}

func TestAnEntryThatWasTakenOutOfAListIsOneItemAndComesBackAsAWhole(t *testing.T) {
	t.Parallel()
	w := two(t)
	app := shop(t, "image: registry.example.com/web:1\n", "image: registry.example.com/web:1\n    env: [{name: MODE, value: fast}, {name: OTHER, value: slow}]\n")
	w.deployed(app, on("a"))
	before := w.get("a", webRef)["spec"]
	w.hand("a", webRef, "kubectl-edit", put(nil, "spec", "template", "spec", "containers", "env"))
	env := func(name string) string {
		return fmt.Sprintf(`.spec.template.spec.containers[name="web"].env[name=%q]`, name)
	}
	policy := deploy.DriftPolicy{Rules: []deploy.DriftRule{{Path: env("MODE"), Action: deploy.DriftHeal}}}
	d := w.drift(on("a"), policy)
	items := found(d, "a")
	require.Contains(t, items, "Deployment"+env("MODE"))
	require.JSONEq(t, `{"name":"MODE","value":"fast"}`, string(items["Deployment"+env("MODE")].Released))
	_, err := w.Heal(t.Context(), "shop", on("a"), policy, nil)
	require.NoError(t, err)
	items = found(w.drift(on("a"), policy), "a")
	require.NotContains(t, items, "Deployment"+env("MODE"))
	require.Contains(t, items, "Deployment"+env("OTHER"))
	_, err = w.Heal(t.Context(), "shop", on("a"), heal, nil)
	require.NoError(t, err)
	require.True(t, w.drift(on("a"), heal).Empty())
	require.Equal(t, before, w.get("a", webRef)["spec"])
}

func TestWhatAnAutoscalerScalesIsNobodysDrift(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t, "scale: {replicas: 2}", "scale: {auto: {min: 2, max: 9, metrics: [{cpu: {utilization: 70}}]}}\n    resources: {requests: {cpu: 10m}}"), on("a"))
	w.hand("a", webRef, "horizontal-pod-autoscaler", put(6, "spec", "replicas"))
	require.True(t, w.drift(on("a"), heal).Empty())
	w.hand("a", webRef, "kubectl-edit", put("evil:1", "spec", "template", "spec", "containers", "image"))
	_, err := w.Heal(t.Context(), "shop", on("a"), heal, nil)
	require.NoError(t, err)
	web := w.get("a", webRef)
	require.EqualValues(t, 6, web["spec"].(map[string]any)["replicas"])
	require.Equal(t, "horizontal-pod-autoscaler", ownerOfReplicas(t, web))
}

// ownerOfReplicas is who owns .spec.replicas beside nobody.
func ownerOfReplicas(t *testing.T, object map[string]any) string {
	t.Helper()
	var owners []string
	for _, e := range object["metadata"].(map[string]any)["managedFields"].([]any) {
		entry := e.(map[string]any)
		spec, _ := entry["fieldsV1"].(map[string]any)["f:spec"].(map[string]any)
		if _, ok := spec["f:replicas"]; ok {
			owners = append(owners, entry["manager"].(string))
		}
	}
	require.Len(t, owners, 1)
	return owners[0]
}

func TestAFieldThatIsChangedBackEachTimeIsLeftForAWhile(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), on("a"))
	policy := deploy.DriftPolicy{Default: deploy.DriftHeal, Fights: deploy.FightLimit{Heals: 2}}
	change := func() { w.hand("a", siteRef, "robot", put("hullo", "data", "GREETING")) }
	for range 2 {
		change()
		r, err := w.Heal(t.Context(), "shop", on("a"), policy, nil)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeDone, r.Cluster("a").Outcome)
	}
	change()
	d := w.drift(on("a"), policy)
	require.Len(t, d.Cluster("a").Fights, 1)
	fight := d.Cluster("a").Fights[0]
	require.Equal(t, 2, fight.Heals)
	require.Equal(t, "robot", fight.Author)
	require.Equal(t, fight.Last.Add(time.Hour), fight.Until)
	require.Contains(t, d.Cluster("a").Items[0].Left, "changed again each time by robot")
	r, err := w.Heal(t.Context(), "shop", on("a"), policy, nil)
	require.NoError(t, err)
	require.Equal(t, deploy.OutcomeUnchanged, r.Cluster("a").Outcome)
	require.Equal(t, "hullo", w.get("a", siteRef)["data"].(map[string]any)["GREETING"])

	w.hand("a", siteRef, "kubectl-edit", put("ahoy", "data", "GREETING"))
	_, err = w.Heal(t.Context(), "shop", on("a"), policy, nil)
	require.NoError(t, err)
	require.Equal(t, "hello", w.get("a", siteRef)["data"].(map[string]any)["GREETING"], "another author is no part of it")

	releases, err := w.Releases(t.Context(), "shop", on("a"))
	require.NoError(t, err)
	require.Len(t, releases["a"], 2, "heals take no place of releases: %v", releases["a"])
	var kept []string
	for _, o := range w.objects("a", "shop") {
		if len(o) > 8 && o[:7] == "Secret/" && slices.Contains([]string{"-r1", "-r4", "-r2", "-r3"}, o[len(o)-3:]) {
			kept = append(kept, o[len(o)-3:])
		}
	}
	require.Equal(t, []string{"-r1", "-r4"}, kept)
}

func TestWhatARobotDoesIsLeftLongerEachTimeAndForgottenWhenItStops(t *testing.T) {
	t.Parallel()
	limit := deploy.FightLimit{Heals: 2, Window: time.Hour, Pause: time.Hour}
	require.Equal(t, []time.Duration{0, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour, 24 * time.Hour}, deploy.Pauses(limit, 8))
}

func TestHealingGoesOnWhereAClusterDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		mutes := w.muted()
		w.deployed(shop(t), both)
		w.hand("a", siteRef, "kubectl-edit", put("hullo", "data", "GREETING"))
		mutes["b"].hang.Store(true)
		time.Sleep(time.Hour) // of the bubble's clock
		d := w.drift(both, heal)
		require.Len(t, d.Cluster("a").Items, 1)
		require.True(t, d.Cluster("b").Unknown)
		require.GreaterOrEqual(t, time.Since(d.Cluster("b").LastAnswer), time.Hour)
		require.NotEmpty(t, d.Cluster("b").Error)
		require.False(t, d.Empty())
		r, err := w.Heal(t.Context(), "shop", both, heal, nil)
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.Equal(t, deploy.OutcomeDone, r.Cluster("a").Outcome)
		require.Equal(t, deploy.OutcomeUnknown, r.Cluster("b").Outcome)
	})
}

// muted puts a world's clusters behind what can stop to answer.
func (w *world) muted() map[string]*mute {
	w.t.Helper()
	out := map[string]*mute{}
	var members []*cluster.Cluster
	for name, f := range w.fakes {
		out[name] = &mute{Cluster: f}
		members = append(members, cluster.New(name, out[name], &cluster.Options{Timeout: 5 * time.Second}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(w.t, err)
	w.set = set
	w.Deployer = w.deployer("test")
	return out
}

func TestAPolicyThatIsNotValidSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy deploy.DriftPolicy
		says   string
	}{
		"a default that is no action":  {deploy.DriftPolicy{Default: "fix"}, `default: there is no action "fix"; use report, heal or yield`},
		"a rule without an action":     {deploy.DriftPolicy{Rules: []deploy.DriftRule{{Kind: "Secret"}}}, `rules[0]: there is no action ""`},
		"a path that is none":          {deploy.DriftPolicy{Rules: []deploy.DriftRule{{Path: "spec.replicas", Action: deploy.DriftHeal}}}, `"spec.replicas" is no path; write it as .spec.replicas`},
		"two rules for the same":       {deploy.DriftPolicy{Rules: []deploy.DriftRule{{Kind: "A", Action: deploy.DriftHeal}, {Kind: "A", Action: deploy.DriftYield}}}, "rules[1]: it is for the same as rules[0]"},
		"a number that is negative":    {deploy.DriftPolicy{Fights: deploy.FightLimit{Heals: -1}}, "no number and no time is negative"},
		"more rules than anybody asks": {deploy.DriftPolicy{Rules: make([]deploy.DriftRule, 1001)}, "1001 rules; at most 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorIs(t, c.policy.Validate(), appspan.ErrInvalid)
			require.ErrorContains(t, c.policy.Validate(), c.says)
			w := newWorld(t, map[string]*fake.Options{"a": nil})
			_, err := w.Heal(t.Context(), "shop", on("a"), c.policy, nil)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestAnObjectThatSomebodyPutInThePlaceOfOursIsToldAndLeft(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), on("a"))
	theirs := w.get("a", siteRef)
	require.NoError(t, w.fakes["a"].Delete(t.Context(), siteRef, driver.DeleteOptions{}))
	theirs["data"] = map[string]any{"GREETING": "hullo"}
	theirs["metadata"] = map[string]any{"name": siteRef.Name, "namespace": siteRef.Namespace}
	obj, err := driver.NewObject(theirs)
	require.NoError(t, err)
	_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "argocd"})
	require.NoError(t, err)
	w.hand("a", webRef, "kubectl-edit", put("evil:1", "spec", "template", "spec", "containers", "image"))
	items := found(w.drift(on("a"), heal), "a")
	require.Len(t, items, 2)
	require.Equal(t, deploy.DriftReplaced, items["ConfigMap"].Kind)
	require.Equal(t, "argocd", items["ConfigMap"].Author)
	require.Contains(t, items["ConfigMap"].Left, "is not ours")
	_, err = w.Heal(t.Context(), "shop", on("a"), heal, nil)
	require.NoError(t, err, "the rest is healed")
	require.Equal(t, "hullo", w.get("a", siteRef)["data"].(map[string]any)["GREETING"])
	require.Len(t, w.drift(on("a"), heal).Clusters[0].Items, 1)
}

func TestARollbackPassesHealsByAndAHealRunsNoJobAgain(t *testing.T) {
	t.Parallel()
	w := two(t)
	job := "components:\n  - {id: migrate, kind: job, image: \"migrate:1\", job: {runs: eachRelease}, security: {runAsUser: 1}}\n"
	w.deployed(shop(t, "components:\n", job), on("a"))
	w.deployed(shop(t, "components:\n", job, "web:1", "web:2"), on("a"))
	jobs := func() (out []string) {
		for _, o := range w.objects("a", "shop") {
			if strings.HasPrefix(o, "Job/") {
				out = append(out, o)
			}
		}
		return out
	}
	before := jobs()
	require.NotEmpty(t, before)
	w.hand("a", webRef, "kubectl-edit", put("evil:1", "spec", "template", "spec", "containers", "image"))
	_, err := w.Heal(t.Context(), "shop", on("a"), heal, nil)
	require.NoError(t, err)
	require.Equal(t, before, jobs())
	require.Contains(t, fmt.Sprint(w.get("a", webRef)["spec"]), "web:2")
	p, err := w.Plan(t.Context(), shop(t, "components:\n", job, "web:1", "web:2"), on("a"), nil)
	require.NoError(t, err)
	require.True(t, p.Empty(), "%s", p)
	_, err = w.Rollback(t.Context(), "shop", on("a"), nil, nil)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(w.get("a", webRef)["spec"]), "web:1")
}
