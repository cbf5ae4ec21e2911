package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fluxcd/pkg/ssa"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// The phases of an engine, in order. Only appspan has plans.
var phases = []string{"first", "unchanged", "changed", "plan", "one", "removal"}

// stateOf is the state that a phase deploys.
func stateOf(phase string) string {
	switch phase {
	case "changed":
		return stateChanged
	case "one":
		return stateOne
	}
	return stateFirst
}

func engineNames() []string {
	return []string{"appspan", "limit-4", "limit-8", "limit-16", "limit-32", "limit-32-mixed", "kubectl", "helm", "flux"}
}

// command is what runs a phase of an engine.
func command(ctx context.Context, s settings, engine, phase, namespace string) (*exec.Cmd, error) {
	base := filepath.Join(s.dir, namespace+"-"+stateOf(phase))
	common := []string{"--kubeconfig", s.kubeconfig}
	switch engine {
	case "kubectl":
		args := append(common, "--context", s.context, "-n", namespace)
		if phase == "removal" {
			args = append(args, "delete", "--wait=false", "-f", base+".yaml")
		} else {
			args = append(args, "apply", "--server-side", "-f", base+".yaml")
		}
		return exec.CommandContext(ctx, filepath.Join(s.bin, "kubectl"), args...), nil
	case "helm":
		args := append(common, "--kube-context", s.context, "-n", namespace)
		switch phase {
		case "first":
			args = append(args, "install", "bench", base)
		case "removal":
			args = append(args, "uninstall", "bench")
		default:
			args = append(args, "upgrade", "bench", base)
		}
		return exec.CommandContext(ctx, filepath.Join(s.bin, "helm"), args...), nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-worker", "-engine", engine, "-phase", phase, "-namespace", namespace, "-dir", s.dir, "-kubeconfig", s.kubeconfig,
		"-context", s.context, "-components", fmt.Sprint(s.components), "-changed", fmt.Sprint(s.changed)}
	return exec.CommandContext(ctx, self, args...), nil
}

func restConfig(s settings) (*rest.Config, error) {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: s.kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: s.context}).ClientConfig()
}

// work runs one phase of an engine that is a library.
func work(ctx context.Context, s settings) error {
	config, err := restConfig(s)
	if err != nil {
		return err
	}
	config.QPS = -1
	var parallel int
	switch {
	case s.engine == "appspan":
		return workAppspan(ctx, s, config)
	case s.engine == "flux":
		return workFlux(ctx, s, config)
	case s.engine == "limit-32-mixed":
		return workLimit(ctx, s, config, 32, true)
	default:
		if _, err := fmt.Sscanf(s.engine, "limit-%d", &parallel); err != nil {
			return fmt.Errorf("no engine %q", s.engine)
		}
		return workLimit(ctx, s, config, parallel, false)
	}
}

func workAppspan(ctx context.Context, s settings, config *rest.Config) error {
	d, err := kube.New(config, nil)
	if err != nil {
		return err
	}
	set, err := cluster.NewSet(cluster.New("bench", d, nil))
	if err != nil {
		return err
	}
	defer set.Close()
	keys, err := seal.OpenOrCreateKeyFile(filepath.Join(s.dir, "keys"))
	if err != nil {
		return err
	}
	deployer, err := deploy.New(set, &deploy.Options{Installation: "bench", Keys: keys, Authorizer: appspan.AllowAll{}})
	if err != nil {
		return err
	}
	to := deploy.Target{Clusters: []string{"bench"}, Namespace: s.namespace}
	if s.phase == "removal" {
		_, err = deployer.Remove(ctx, "bench", to, &deploy.RemoveOptions{Data: true}, nil)
		return err
	}
	if s.phase == "plan" {
		plan, err := deployer.Plan(ctx, application(s, stateOne), to, nil)
		if err != nil {
			return err
		}
		return plan.Err()
	}
	_, err = deployer.Deploy(ctx, application(s, stateOf(s.phase)), to, &deploy.DeployOptions{Apply: deploy.ApplyOptions{Wait: deploy.WaitWritten}})
	return err
}

// workLimit is the least that can be done: a loop of parallel server-side
// applies, that knows nothing of what is there.
func workLimit(ctx context.Context, s settings, config *rest.Config, parallel int, mixed bool) error {
	d, err := kube.New(config, nil)
	if err != nil {
		return err
	}
	defer d.Close()
	list, err := objects(s, stateOf(s.phase), s.namespace)
	if err != nil {
		return err
	}
	if mixed {
		n := s.components
		order := make([]int, 0, len(list))
		for i := range n {
			order = append(order, i, n+i, 2*n+i)
		}
		shuffled := slices.Clone(list)
		for to, from := range order {
			shuffled[to] = list[from]
		}
		list = shuffled
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	next := 0
	for range parallel {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := len(errs) > 0
				mu.Unlock()
				if i >= len(list) || stop {
					return
				}
				var err error
				if s.phase == "removal" {
					err = d.Delete(ctx, list[i].Ref, driver.DeleteOptions{})
				} else {
					_, err = d.Apply(ctx, list[i].Object, driver.ApplyOptions{Manager: "limit", Force: true})
				}
				if err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func workFlux(ctx context.Context, s settings, config *rest.Config) error {
	c, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	list, err := objects(s, stateOf(s.phase), s.namespace)
	if err != nil {
		return err
	}
	var all []*unstructured.Unstructured
	for _, o := range list {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(o.JSON); err != nil {
			return err
		}
		all = append(all, u)
	}
	manager := ssa.NewResourceManager(c, nil, ssa.Owner{Field: "flux", Group: "bench.appspan.dev"})
	manager.SetConcurrency(16)
	if s.phase == "removal" {
		_, err = manager.DeleteAll(ctx, all, ssa.DefaultDeleteOptions())
		return err
	}
	_, err = manager.ApplyAll(ctx, all, ssa.DefaultApplyOptions())
	return err
}

// namespaces makes and removes the namespaces of the bench.
func makeNamespace(ctx context.Context, s settings, name string) error {
	config, err := restConfig(s)
	if err != nil {
		return err
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}
