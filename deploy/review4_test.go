package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func TestARollbackOfAPromotionForgetsWhatWasPromoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t, "web:1", "web:2", "value: hello", "value: good day"), on("a"))
		w.deployed(shop(t), production) // by itself
		take := &deploy.PromotionOptions{From: &development, Decisions: map[string]appmodel.Decision{
			"components[web].image": appmodel.TakeTheirs, "configs[site].items[GREETING].value": appmodel.TakeTheirs}}
		p, err := w.PlanPromotion(t.Context(), "shop", production, take)
		require.NoError(t, err)
		require.Len(t, p.Changes, 2)
		_, err = w.Apply(t.Context(), p.Plan, nil)
		require.NoError(t, err)
		_, err = w.Rollback(t.Context(), "shop", production, nil, nil)
		require.NoError(t, err)
		lineage, err := w.Lineage(t.Context(), "shop", production)
		require.NoError(t, err)
		require.Empty(t, lineage, "it is again what it was before: made from nothing")
		again, err := w.PlanPromotion(t.Context(), "shop", production, take)
		require.NoError(t, err)
		require.Len(t, again.Changes, 2, "what was rolled back can be promoted again")
	})
}

func TestWhatClustersHaveOfTheirOwnIsNotLevelled(t *testing.T) {
	t.Parallel()
	replicas := func(t *testing.T, n int) *appmodel.Override {
		return override(t, fmt.Sprintf("metadata: {name: own}\nset: {components: [{id: web, scale: {replicas: %d}}]}", n))
	}
	const secret = "generate: {length: 20}"
	answered := func(t *testing.T) *appmodel.Application {
		return shop(t, "secrets:", "parameters: [{name: greeting, sets: [\"configs[site].items[GREETING].value\"]}]\nsecrets:")
	}
	for name, deployed := range map[string]func(*testing.T, string) (*appmodel.Application, deploy.PlanOptions){
		"overrides": func(t *testing.T, cluster string) (*appmodel.Application, deploy.PlanOptions) {
			return shop(t), deploy.PlanOptions{Overrides: []*appmodel.Override{replicas(t, map[string]int{"a": 3, "b": 7}[cluster])}}
		},
		"answers": func(t *testing.T, cluster string) (*appmodel.Application, deploy.PlanOptions) {
			return answered(t), deploy.PlanOptions{Answers: map[string]appmodel.JSON{"greeting": appmodel.JSON(`"of ` + cluster + `"`)}}
		},
		"images": func(t *testing.T, cluster string) (*appmodel.Application, deploy.PlanOptions) {
			return shop(t), deploy.PlanOptions{Images: map[string]string{"registry.example.com/web:1": cluster + ".example.com/web:1"}}
		},
		"secret values": func(t *testing.T, cluster string) (*appmodel.Application, deploy.PlanOptions) {
			return shop(t, secret, "value: pass-of-"+cluster), deploy.PlanOptions{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				for _, c := range []string{"a", "b"} {
					app, options := deployed(t, c)
					_, err := w.Deploy(t.Context(), app, on(c), &deploy.DeployOptions{Plan: options})
					require.NoError(t, err)
				}
				_, err := w.PlanEdit(t.Context(), "shop", both, func(app *appmodel.Application) error { return nil }, nil)
				require.ErrorIs(t, err, appspan.ErrConflict)
				_, err = w.PlanEdit(t.Context(), "shop", on("b"), func(app *appmodel.Application) error { return nil }, nil)
				require.NoError(t, err)
				_, err = w.PlanCopy(t.Context(), deploy.Source{Application: "shop", Target: both}, deploy.Target{Clusters: []string{"a"}, Namespace: "other"},
					&deploy.CopyOptions{Hosts: map[string]string{"shop.example.com": "other.example.com"}})
				require.ErrorIs(t, err, appspan.ErrConflict)
			})
		})
	}
}

func TestACopyDoesNotTakeItsSourcesPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*fake.Options{"a": {Name: "a"}})
		set, err := cluster.NewSet(cluster.New("a", w.fakes["a"], &cluster.Options{Labels: map[string]string{"stage": "dev"}}))
		require.NoError(t, err)
		defer set.Close()
		w.set = set
		w.Deployer = w.deployer("test")
		hosted := shop(t, "hosts: [shop.example.com]", `hosts: ["${param.host}"]`, "secrets:", "parameters: [{name: host, default: shop.example.com}]\nsecrets:")
		w.deployed(hosted, on("a"))
		labels := map[string]string{"stage": "dev"}
		_, err = w.PlanCopy(t.Context(), development, deploy.Target{Labels: labels}, nil)
		require.ErrorContains(t, err, "the copy would be the source itself")
		other := deploy.Target{Labels: labels, Namespace: "other"}
		_, err = w.PlanCopy(t.Context(), development, other, nil)
		require.ErrorContains(t, err, "the same host names: shop.example.com")
		_, err = w.PlanCopy(t.Context(), development, other, &deploy.CopyOptions{Answers: map[string]appmodel.JSON{"host": appmodel.JSON(`"other.example.com"`)}})
		require.NoError(t, err)
	})
}

func TestACopyInTheNamespaceOfItsSourceSharesNoData(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		claim := driver.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "old-data"}
		obj, err := driver.NewObject(map[string]any{"apiVersion": "v1", "kind": claim.Kind, "metadata": map[string]any{"name": claim.Name, "namespace": "shop"},
			"spec": map[string]any{"accessModes": []string{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}})
		require.NoError(t, err)
		w.deployed(shop(t), on("a"))
		_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "kubectl"})
		require.NoError(t, err)
		w.deployed(shop(t, "size: 1Gi", "scope: component, claim: old-data"), on("a"))
		options := &deploy.CopyOptions{Name: "twin", Hosts: map[string]string{"shop.example.com": "twin.example.com"}}
		_, err = w.PlanCopy(t.Context(), development, on("a"), options)
		require.ErrorIs(t, err, appspan.ErrInvalid)
		require.ErrorContains(t, err, "old-data")
		options.Overrides = []*appmodel.Override{override(t, "metadata: {name: own}\nset: {components: [{id: db, volumes: [{name: data, size: 1Gi}]}]}\nremove: [\"components[db].volumes[data].claim\"]")}
		_, err = w.PlanCopy(t.Context(), development, on("a"), options)
		require.NoError(t, err)
	})
}

func TestWhatIsRecycledAfterADeployThatDiedAtItsBeginningCanBeRestored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		broken := fault.New(w.fakes["a"])
		set, err := cluster.NewSet(cluster.New("a", broken, nil))
		require.NoError(t, err)
		defer set.Close()
		w.set = set
		w.Deployer = w.deployer("test")
		w.deployed(shop(t), on("a"))
		broken.Add(fault.Rule{Op: fault.Apply, Kind: "Secret", Nth: 2, Err: fmt.Errorf("%w: broken on purpose", appspan.ErrInvalid)}) // the record is written, the release is not
		_, err = w.Deploy(t.Context(), shop(t, "web:1", "web:2"), on("a"), nil)
		require.ErrorContains(t, err, "broken on purpose")
		broken.Heal()
		_, err = w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true}, nil)
		require.NoError(t, err)
		bin, err := w.Recycled(t.Context(), on("a"))
		require.NoError(t, err)
		require.Len(t, bin, 1)
		require.Equal(t, 1, bin[0].Revision, "the release that can come back")
		_, err = w.Restore(t.Context(), "shop", on("a"), nil)
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(w.get("a", webRef)["spec"]), "registry.example.com/web:1")
	})
}

func TestAPurgeLeavesWhatWasRestoredMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		_, err := w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true}, nil)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		var reads atomic.Int64
		d := w.asked(allows(func(_ appspan.Subject, a appspan.Access) bool {
			if a.Verb == appspan.VerbRead && reads.Add(1) == 2 { // listed, and not yet removed
				_, err := w.Restore(t.Context(), "shop", on("a"), nil)
				require.NoError(t, err)
			}
			return true
		}))
		purged, err := d.For(appspan.Subject{ID: "ann"}).Purge(t.Context(), on("a"), time.Now())
		require.NoError(t, err)
		require.GreaterOrEqual(t, reads.Load(), int64(2))
		require.Empty(t, purged)
		require.Contains(t, w.objects("a", "shop"), "Deployment/shop-web", "it runs again")
	})
}

func TestAPlanFromBeforeARemovalToTheBinIsStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		p, err := w.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
		removal, err := w.PlanRemove(t.Context(), "shop", on("a"), nil)
		require.NoError(t, err)
		_, err = w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true}, nil)
		require.NoError(t, err)
		r, err := w.Apply(t.Context(), p, &deploy.ApplyOptions{Wait: deploy.WaitWritten})
		require.ErrorIs(t, err, appspan.ErrPrecondition, "%+v", r)
		_, err = w.Restore(t.Context(), "shop", on("a"), nil)
		require.NoError(t, err)
		_, err = w.Apply(t.Context(), removal, nil)
		require.ErrorIs(t, err, appspan.ErrPrecondition)
	})
}

func TestWhatIsInTheBinIsNotEditedNorPromotedOnto(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.copied(&deploy.CopyOptions{Hosts: map[string]string{"shop.example.com": "live.example.com"}})
		_, err := w.Remove(t.Context(), "shop", production, &deploy.RemoveOptions{Recycle: true}, nil)
		require.NoError(t, err)
		_, err = w.PlanEdit(t.Context(), "shop", production, func(*appmodel.Application) error { return nil }, nil)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		_, err = w.PlanPromotion(t.Context(), "shop", production, nil)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		require.False(t, errors.Is(err, appspan.ErrConflict))
	})
}

// meddled is a cluster at which something happens before a delete.
type meddled struct {
	driver.Cluster
	before func(driver.Ref)
}

func (m *meddled) Delete(ctx context.Context, ref driver.Ref, o driver.DeleteOptions) error {
	m.before(ref)
	return m.Cluster.Delete(ctx, ref, o)
}

func TestARemovalLeavesWhatIsDeployedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, recycle := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			w.deployed(shop(t), on("a"))
			w.deployed(shop(t, "web:1", "web:2"), on("a"))
			done := false
			set, err := cluster.NewSet(cluster.New("a", &meddled{w.fakes["a"], func(ref driver.Ref) {
				if ref.Kind == "Secret" && strings.HasSuffix(ref.Name, "-r1") && !done { // all else is gone
					done = true
					w.deployed(shop(t, "web:1", "web:3"), on("a"))
				}
			}}, nil))
			require.NoError(t, err)
			defer set.Close()
			d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}})
			require.NoError(t, err)
			_, err = d.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: recycle}, nil)
			require.True(t, done)
			if !recycle {
				require.ErrorIs(t, err, appspan.ErrConflict)
			}
			p, err := w.Plan(t.Context(), shop(t, "web:1", "web:3"), on("a"), nil)
			require.NoError(t, err)
			require.True(t, p.Empty(), "it runs, and is known")
			require.Contains(t, fmt.Sprint(w.released("a", on("a"), 3).Components[0].Image), "web:3")
		})
	}
}

func TestWhatChangesNoObjectIsReleasedTooIfItIsMeant(t *testing.T) {
	t.Parallel()
	t.Run("a conflict that is decided is decided", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			w.deployed(shop(t), on("a"))
			w.copied(nil)
			_, err := w.Deploy(t.Context(), shop(t, "value: hello", "value: willkommen"), production, nil)
			require.NoError(t, err)
			w.deployed(shop(t, "value: hello", "value: good day"), on("a"))
			p, err := w.PlanPromotion(t.Context(), "shop", production, &deploy.PromotionOptions{Defaults: true})
			require.NoError(t, err)
			require.Empty(t, p.Changes)
			require.False(t, p.Plan.Empty(), "what it was made from is another")
			_, err = w.Apply(t.Context(), p.Plan, nil)
			require.NoError(t, err)
			p, err = w.PlanPromotion(t.Context(), "shop", production, nil)
			require.NoError(t, err, "nobody is asked again")
			require.True(t, p.Plan.Empty())
		})
	})
	t.Run("an environment is recorded with what runs there already", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newStaged(t)
			s.deployed(shop(t), on("a"))
			s.stages()
			s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t), nil))
			p, err := s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t), nil)
			require.NoError(t, err)
			require.True(t, p.Empty())
			records := storage.NewRecords(memstore.NewRecords(), nil)
			defer records.Close()
			fresh, err := deploy.NewEnvironments(records, s.Deployer)
			require.NoError(t, err)
			r, err := fresh.Recover(t.Context(), on("a"))
			require.NoError(t, err)
			require.Equal(t, []string{"shop/development"}, r.Restored)
		})
	})
	t.Run("a command and an edit that change nothing in an environment are nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newStaged(t)
			s.put(deploy.Environment{Application: "shop", Name: "development", Target: deploy.Target{Clusters: []string{"a"}, Namespace: "shop", Labels: map[string]string{}},
				Answers: map[string]appmodel.JSON{}, Images: map[string]string{}, Follows: []deploy.Follow{},
				Bindings:  map[render.NeedRef]render.Endpoint{{Component: "web", Need: "ledger"}: {Host: "ledger.old", Port: 81, Values: map[string]string{"key": "<k>", "path": "/"}}},
				Overrides: []deploy.ClusterOverride{{Override: override(t, "metadata: {name: own, description: \"<b>\"}\nset: {components: [{id: web, scale: {replicas: 4}}]}"), Clusters: appmodel.ClusterSelector{Names: []string{"a"}}}}})
			s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", decode(t, needy), nil))
			r, err := s.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindRedeploy}, nil)
			require.NoError(t, err)
			require.Equal(t, deploy.OutcomeUnchanged, r.Cluster("a").Outcome)
			p, err := s.PlanEdit(t.Context(), "shop", on("a"), func(*appmodel.Application) error { return nil }, nil)
			require.NoError(t, err)
			require.True(t, p.Empty())
			p, err = s.Environments.PlanDeploy(t.Context(), "shop", "development", decode(t, needy), nil)
			require.NoError(t, err)
			require.True(t, p.Empty())
		})
	})
	t.Run("a command, a second time, is nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			_, err := w.Deploy(t.Context(), shop(t, "value: hello", `value: "<hello> & more"`), on("a"), &deploy.DeployOptions{Plan: deploy.PlanOptions{
				Images: map[string]string{"registry.example.com/web:1": "mirror.example.com/web:1"}}})
			require.NoError(t, err)
			for range 2 {
				r, err := w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindRedeploy}, nil)
				require.NoError(t, err)
				require.Equal(t, deploy.OutcomeUnchanged, r.Cluster("a").Outcome)
			}
		})
	})
}

func TestARollbackOfARenamedComponentHasItsDataAgain(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{"", "scope: component, "} {
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			claims := func() (out []string) {
				for _, o := range w.objects("a", "shop") {
					if strings.HasPrefix(o, "PersistentVolumeClaim/") {
						out = append(out, o)
					}
				}
				return out
			}
			w.deployed(shop(t, "size: 1Gi", scope+"size: 1Gi"), on("a"))
			before := claims()
			require.Len(t, before, 1)
			uid := w.get("a", driver.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: strings.TrimPrefix(before[0], "PersistentVolumeClaim/")})["metadata"].(map[string]any)["uid"]
			w.deployed(shop(t, "size: 1Gi", scope+"size: 1Gi", "id: db", "id: store", "component: db", "component: store"), on("a"))
			require.Len(t, claims(), 2, "the data of the old name stays")
			_, err := w.Rollback(t.Context(), "shop", on("a"), nil, nil)
			require.NoError(t, err)
			require.Equal(t, uid, w.get("a", driver.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: strings.TrimPrefix(before[0], "PersistentVolumeClaim/")})["metadata"].(map[string]any)["uid"])
			p, err := w.Plan(t.Context(), shop(t, "size: 1Gi", scope+"size: 1Gi"), on("a"), nil)
			require.NoError(t, err)
			require.True(t, p.Empty())
			_, err = w.Remove(t.Context(), "shop", on("a"), nil, nil)
			require.NoError(t, err)
			require.Len(t, claims(), 2, "a removal asks before it takes data")
		})
	}
}

func TestABatchKeepsItsOrderWhereClustersRunDifferentThings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		money := deploy.Target{Clusters: []string{"a"}, Namespace: "money"}
		_, err := w.Deploy(t.Context(), decode(t, billing), money, nil)
		require.NoError(t, err)
		for cluster, image := range map[string]string{"a": "web:1", "b": "web:2"} {
			_, err = w.Deploy(t.Context(), decode(t, strings.ReplaceAll(needy, "web:1", image)), on(cluster), &deploy.DeployOptions{Plan: deploy.PlanOptions{
				Bindings: map[render.NeedRef]render.Endpoint{{Component: "web", Need: "ledger"}: {Host: "billing-ledger.money", Port: 80}}}})
			require.NoError(t, err)
		}
		heard := &recorder{}
		_, err = w.RunAll(t.Context(), []deploy.Selection{{Application: "billing", Target: money}, {Application: "shop", Target: both}},
			deploy.Command{Kind: deploy.KindStop}, &deploy.BatchOptions{Apply: deploy.ApplyOptions{OnEvent: heard.hear}})
		require.NoError(t, err)
		var order []string
		for _, e := range heard.events {
			if e.Kind == appspan.EventProgress && e.Phase == deploy.PhaseApply && e.Component != "" {
				order = append(order, e.Component)
			}
		}
		require.Equal(t, []string{"web", "web", "ledger"}, order)
	})
}

func TestAPromotionToWhatRunsIsNoFirstOneBecauseItsReleasesAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		s.stages()
		s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t), nil))
		p, err := s.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		s.apply(p.Plan, nil)
		for _, o := range s.objects("b", "live") {
			if name, ok := strings.CutPrefix(o, "Secret/"); ok && strings.HasSuffix(name, "-r1") {
				require.NoError(t, s.fakes["b"].Delete(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "live", Name: name}, driver.DeleteOptions{}))
			}
		}
		p, err = s.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.Error(t, err, "what production has of its own is not known, and would be overwritten: %+v", p)
		require.ErrorContains(t, err, "there is no release 1")
	})
}

func TestAPromotionToWhatIsInTheBinBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		s.stages()
		s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t), nil))
		p, err := s.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		s.apply(p.Plan, nil)
		_, err = s.Remove(t.Context(), "shop", production, &deploy.RemoveOptions{Recycle: true}, nil)
		require.NoError(t, err)
		p, err = s.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		require.Equal(t, deploy.KindCopy, p.Plan.Kind)
		s.apply(p.Plan, nil)
		require.Equal(t, 4, s.number("b", liveWeb, "spec", "replicas"))
	})
}
