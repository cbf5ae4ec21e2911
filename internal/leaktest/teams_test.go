package leaktest_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// teams shares clusters out to a team, which pulls images with credentials and
// whose members get kubeconfigs.
func (w *world) teams(teams *team.Teams, id string, clusters ...string) {
	ctx := w.t.Context()
	allocations := map[string]team.Allocation{}
	for _, name := range clusters {
		allocations[name] = team.Allocation{Namespaces: []team.Namespace{{Name: id}}, Quota: cluster.Amounts{"cpu": "8"}}
	}
	created, err := teams.Create(ctx, team.Team{ID: id, Quota: cluster.Amounts{"cpu": "10"}, Clusters: allocations,
		Members: []team.Member{{Subject: "ann", Role: team.RoleAdmin}, {Subject: "olga", Role: team.RoleObserver}}})
	w.ok("a team", err)
	w.hear("a team", created)
	for _, name := range clusters {
		for _, c := range []team.Credential{
			{Registry: "registry.example.com", Username: "puller", Password: w.password("a pull password on " + name)},
			{Registry: "https://index.docker.io/v1/", Username: w.secret("a pull user on " + name), Password: w.secret("a second pull password on " + name)},
		} {
			w.hear("a credential", c)
			w.hear("a credential", &c)
			w.hear("credentials", []team.Credential{c})
			w.ok("a credential", teams.SetCredential(ctx, id, name, c))
			w.fails("a credential for nobody", teams.SetCredential(ctx, "nobody", name, c))
			w.fails("a credential for nowhere", teams.SetCredential(ctx, id, "nowhere", c))
			c.Username = ""
			w.fails("a credential without a user", teams.SetCredential(ctx, id, name, c))
			for _, registry := range []string{"https://user:" + c.Password + "@registry.example.com", "user:" + c.Password + "@registry.example.com", c.Password + " "} {
				w.fails("a credential for no registry", teams.SetCredential(ctx, id, name, team.Credential{Registry: registry, Username: "a", Password: c.Password}))
			}
		}
		registries, err := teams.Registries(ctx, id, name)
		w.ok("registries", err)
		w.hear("registries", registries)
	}
	plan, err := teams.Plan(ctx, id)
	w.ok("a team's plan", err)
	w.hear("a team's plan", plan)
	plan, err = teams.Reconcile(ctx, id)
	w.ok("a reconciliation", err)
	w.hear("a team's plan", plan)
	require.True(w.t, done(plan), plan.String())
}

// done reports whether everything in a plan was done.
func done(p team.Plan) bool {
	for _, c := range p.Clusters {
		for _, change := range c.Changes {
			if !change.Done {
				return false
			}
		}
		if c.Unknown {
			return false
		}
	}
	return true
}

// drifted has somebody change what a team is on a cluster, with credentials.
func (w *world) drifted(teams *team.Teams, c *cluster.Cluster, id string) {
	ctx := w.t.Context()
	pull := must(cluster.NewObject(map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"metadata":   map[string]any{"name": team.PullSecret, "namespace": id},
		"stringData": map[string]any{".dockerconfigjson": `{"auths":{"elsewhere":{"password":"` + w.secret("a pull password of somebody else's") + `"}}}`}}))
	_, err := c.Apply(ctx, pull, cluster.ApplyOptions{Manager: "somebody", Force: true})
	w.ok("drift", err)
	_, err = c.Apply(ctx, pull, cluster.ApplyOptions{Manager: "another"})
	if err != nil {
		w.hear("a conflict", err)
	}
	plan, err := teams.Plan(ctx, id)
	w.ok("a team's plan", err)
	w.hear("a team's plan", plan)
	require.False(w.t, plan.Clean())
	plan, err = teams.Reconcile(ctx, id)
	w.ok("a repair", err)
	w.hear("a team's plan", plan)
	usage, err := teams.Usage(ctx, id)
	w.ok("usage", err)
	w.hear("usage", usage)
	var meter bytes.Buffer
	_, err = teams.Meter(ctx, &meter)
	w.ok("a meter", err)
	_, _ = w.at("a meter").Write(meter.Bytes())
	running, err := teams.Running(ctx, id, c.Name())
	w.ok("what runs", err)
	w.hear("what runs", running)
}

// kubeconfigs are given to members, who use them.
func (w *world) kubeconfigs(teams *team.Teams, id, clusterName, server string, ca []byte) {
	ctx := w.t.Context()
	for _, member := range []string{"ann", "olga"} {
		own := teams.For(appspan.Subject{ID: member, Team: id})
		k, err := own.Kubeconfig(ctx, id, clusterName, team.KubeconfigOptions{Server: server, CA: ca})
		w.ok("a kubeconfig", err)
		var file struct {
			Users []struct {
				User struct{ Token string }
			}
		}
		require.NoError(w.t, yaml.Unmarshal(k.Config, &file))
		token := file.Users[0].User.Token
		w.finder.Add("the token of "+member+" on "+clusterName, []byte(token[len(token)-20:])) // its beginning is that of all tokens
		w.logger.Debug("a kubeconfig", "value", k)                                             // JSON of it is what was asked for
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(w.at("a kubeconfig"), verb+verb+verb, k, &k, []team.Kubeconfig{k})
		}
		d, err := kube.FromKubeconfig(k.Config, "", nil)
		w.ok("a member's cluster", err)
		w.hear("a driver", d)
		_, err = d.Get(ctx, driver.Ref{APIVersion: "v1", Kind: "Node", Name: "n"})
		w.fails("a get of a member", err)
		require.ErrorIs(w.t, err, appspan.ErrDenied)
		require.NoError(w.t, d.Close())
		_, err = own.Kubeconfig(ctx, id, "nowhere", team.KubeconfigOptions{Server: server})
		w.fails("a kubeconfig for nowhere", err)
	}
	_, err := teams.For(appspan.Subject{ID: "eve", Team: id}).Kubeconfig(ctx, id, clusterName, team.KubeconfigOptions{Server: server})
	w.fails("a kubeconfig for nobody", err)
}

// audited reads the log of mutations.
func (w *world) audited(audit *team.Audit) {
	var out bytes.Buffer
	n, err := audit.Export(w.t.Context(), &out, team.AuditQuery{})
	w.ok("an export of the audit", err)
	require.Positive(w.t, n)
	_, _ = w.at("the audit").Write(out.Bytes())
	for e, err := range audit.Entries(w.t.Context(), team.AuditQuery{}) {
		w.ok("the audit", err)
		w.hear("the audit", e)
	}
	_, err = audit.Prune(w.t.Context())
	w.ok("pruning the audit", err)
}

// disbanded ends a team.
func (w *world) disbanded(teams *team.Teams, id string) {
	plan, err := teams.PlanDelete(w.t.Context(), id, nil)
	w.ok("a plan to delete a team", err)
	w.hear("a plan to delete a team", plan)
	gone, err := teams.Delete(w.t.Context(), id, &team.DeleteOptions{Force: true})
	w.ok("the deletion of a team", err)
	w.hear("the deletion of a team", gone)
}

// refused writes a Secret that the API server refuses with its value.
func (w *world) refusedSecret(c *cluster.Cluster, namespace string) {
	for _, data := range []string{"data", "stringData"} {
		password := w.password("a refused password in " + data)
		value := any(password)
		if data == "data" {
			value = []byte(password)
		}
		secret := must(cluster.NewObject(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "refused", "namespace": namespace},
			data: map[string]any{"password": value}}))
		require.Eventually(w.t, func() bool { // a policy takes its time
			_, err := c.Apply(w.t.Context(), secret, cluster.ApplyOptions{Manager: "test"})
			if err == nil {
				w.ok("a Secret that is not refused yet", c.Delete(w.t.Context(), secret.Ref, cluster.DeleteOptions{}))
				return false
			}
			w.hear("the error of a refused Secret", err)
			require.ErrorContains(w.t, err, "not with (redacted)")
			return true
		}, time.Minute, 100*time.Millisecond)
	}
}
