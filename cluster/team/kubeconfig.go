package team

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// KubeconfigOptions shape [Teams.Kubeconfig].
type KubeconfigOptions struct {
	// Server is the URL at which the member reaches the API server. Required:
	// it need not be the one that this program uses.
	Server string
	// CA is the PEM of the authority that signed the server's certificate;
	// empty trusts what the member's machine trusts.
	CA []byte
	// Lifetime is how long it works; default 1 h, at least 10 min, at most
	// 24 h. The server may give less.
	Lifetime time.Duration
}

// Kubeconfig is a short-lived kubeconfig of a member.
type Kubeconfig struct {
	// Config is the file. It holds a token: whoever has it is the member.
	Config []byte
	// Expires is when the token ends. It ends before when the member leaves
	// the team.
	Expires time.Time
}

// String says when it expires, and hides the rest.
func (k Kubeconfig) String() string {
	return "kubeconfig until " + k.Expires.Format(time.RFC3339) + " (redacted)"
}

// GoString is String.
func (k Kubeconfig) GoString() string { return k.String() }

// LogValue is String. JSON of a Kubeconfig holds the file.
func (k Kubeconfig) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Kubeconfig returns a kubeconfig with which the acting subject, a member of
// the team, has on a cluster what the role's permissions say, in the team's
// namespaces and nowhere else; the first of them is its default. A member that
// Reconcile has not brought there yet is appspan.ErrPrecondition.
func (t *Teams) Kubeconfig(ctx context.Context, id, clusterName string, opts KubeconfigOptions) (Kubeconfig, error) {
	if err := t.authorize(ctx, appspan.VerbCreate, "kubeconfig", id, clusterName); err != nil {
		return Kubeconfig{}, err
	}
	config, err := t.kubeconfig(ctx, id, clusterName, opts)
	return config, t.audit(ctx, appspan.VerbCreate, "kubeconfig", id, clusterName, err)
}

func (t *Teams) kubeconfig(ctx context.Context, id, clusterName string, opts KubeconfigOptions) (Kubeconfig, error) {
	where := fmt.Sprintf("kubeconfig of %s for team %s on %s", t.subject.ID, id, clusterName)
	if opts.Lifetime == 0 {
		opts.Lifetime = time.Hour
	}
	if opts.Server == "" || opts.Lifetime < 10*time.Minute || opts.Lifetime > 24*time.Hour {
		return Kubeconfig{}, fmt.Errorf("%s: %w: a server and a lifetime from 10 minutes to 24 hours are needed", where, appspan.ErrInvalid)
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return Kubeconfig{}, err
	}
	m, ok := d.Member(t.subject.ID)
	if role, known := d.Role(m.Role); !ok || !known || !role.Can("kubeconfig:create") {
		return Kubeconfig{}, fmt.Errorf("%s: %w: it is no member whose role has permission %q; ask an admin of the team", where, appspan.ErrDenied, "kubeconfig:create")
	}
	namespaces := d.Namespaces(clusterName)
	if len(namespaces) == 0 {
		return Kubeconfig{}, fmt.Errorf("%s: %w: the team has nothing there", where, appspan.ErrNotFound)
	}
	limited, cancel := t.limit(ctx)
	defer cancel()
	c, err := t.clusters.Cluster(limited, clusterName)
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("%s: %w", where, err)
	}
	status, err := t.token(limited, c, AccountName(id, m.Subject), opts.Lifetime)
	if errors.Is(err, appspan.ErrNotFound) {
		return Kubeconfig{}, fmt.Errorf("%s: %w: the member's account is not there; reconcile the team first", where, appspan.ErrPrecondition)
	}
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("%s: %w", where, err)
	}
	file, err := kubeconfigFile(clusterName, id, namespaces[0], status.Token, opts)
	return Kubeconfig{Config: file, Expires: status.ExpirationTimestamp.Time}, err
}

// token asks for a token of a member's account.
func (t *Teams) token(ctx context.Context, c *cluster.Cluster, account string, lifetime time.Duration) (authenticationv1.TokenRequestStatus, error) {
	issuer, ok := cluster.As[driver.Subresourcer](c)
	if !ok {
		return authenticationv1.TokenRequestStatus{}, fmt.Errorf("%w: the driver has no subresources, which tokens are", appspan.ErrUnsupported)
	}
	seconds := int64(lifetime / time.Second)
	request := authenticationv1.TokenRequest{TypeMeta: typeMeta("authentication.k8s.io/v1", "TokenRequest"),
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	body, err := json.Marshal(request)
	if err != nil {
		return authenticationv1.TokenRequestStatus{}, err
	}
	ref := driver.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: MembersNamespace(t.opts.Installation), Name: account}
	answer, err := issuer.CreateSub(ctx, ref, "token", body)
	if err != nil {
		return authenticationv1.TokenRequestStatus{}, err
	}
	if err := json.Unmarshal(answer, &request); err != nil || request.Status.Token == "" {
		return authenticationv1.TokenRequestStatus{}, fmt.Errorf("%w: the server's answer holds no token", appspan.ErrUnavailable)
	}
	return request.Status, nil
}

// kubeconfigFile is a kubeconfig with one context.
func kubeconfigFile(clusterName, team, namespace, token string, opts KubeconfigOptions) ([]byte, error) {
	type object = map[string]any
	server := object{"server": opts.Server}
	if len(opts.CA) > 0 {
		server["certificate-authority-data"] = opts.CA // JSON makes it base64, as the file wants it
	}
	name := team + "@" + clusterName
	return yaml.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []object{{"name": clusterName, "cluster": server}},
		"users":    []object{{"name": name, "user": object{"token": token}}},
		"contexts": []object{{"name": name, "context": object{"cluster": clusterName, "user": name, "namespace": namespace}}},
	})
}
