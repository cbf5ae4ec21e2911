package team

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage"
)

// Credential is what images of one registry are pulled with. It prints, logs
// and marshals without the user and the password.
type Credential struct {
	// Registry is its host, with the port if it has one.
	Registry string
	Username string
	// Password is kept sealed and is never given back.
	Password string
}

// String names the registry and hides the rest.
func (c Credential) String() string { return "credential of " + c.Registry + " (redacted)" }

// GoString is String.
func (c Credential) GoString() string { return c.String() }

// MarshalText is String, for JSON and its like.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// sealedCredential is a Credential as it is sealed, with all that it holds.
type sealedCredential Credential

// PullSecret is the name of the Secret in a team's namespaces that holds its
// image pull credentials. The namespaces' default service account refers to it,
// so that pods which name no other account pull with it.
const PullSecret = objectName + "-pull"

// maxCredentials bounds the registries of a team on a cluster.
const maxCredentials = 50

// credentialsDoc is the stored form; Sealed is a JSON object of credentials by
// registry.
type credentialsDoc struct {
	storage.Envelope
	Registries []string  `json:"registries"`
	Sealed     []byte    `json:"sealed"`
	At         time.Time `json:"at"`
}

const credentialsPrefix = "team-credentials/"

func credentialsKey(team, clusterName string) string {
	return credentialsPrefix + team + "/" + clusterName
}

func sealContext(team, clusterName string) []byte {
	return []byte("appspan team pull credentials\n" + team + "\n" + clusterName)
}

// registryPattern is a host with an optional port, or Docker Hub's legacy URL.
func registryPattern() *regexp.Regexp {
	return regexp.MustCompile(`^([a-zA-Z0-9]([-.a-zA-Z0-9]{0,251}[a-zA-Z0-9])?(:[0-9]{1,5})?|https://index\.docker\.io/v1/)$`)
}

// SetCredential stores what a team pulls images of a registry with on a
// cluster; one without a username and password removes it. [Teams.Reconcile]
// brings it there.
func (t *Teams) SetCredential(ctx context.Context, id, clusterName string, c Credential) error {
	if err := t.authorize(ctx, appspan.VerbUpdate, "credential", id, clusterName); err != nil {
		return err
	}
	err := t.setCredential(ctx, id, clusterName, c)
	return t.audit(ctx, appspan.VerbUpdate, "credential", id, clusterName, err)
}

func (t *Teams) setCredential(ctx context.Context, id, clusterName string, c Credential) error {
	where := fmt.Sprintf("image pull credentials of team %s on %s", id, clusterName)
	switch {
	case t.opts.Keys == nil:
		return fmt.Errorf("%s: %w: there are no keys to seal them with; set Options.Keys", where, appspan.ErrUnsupported)
	case !registryPattern().MatchString(c.Registry):
		return fmt.Errorf("%s: %w: what is given is no host of a registry; write registry.example.com or registry.example.com:5000, without a user", where, appspan.ErrInvalid)
	case (c.Username == "") != (c.Password == ""), len(c.Username) > maxText, len(c.Password) > 16<<10:
		return fmt.Errorf("%s: %w: a user name and a password are needed, of at most %d and 16384 bytes", where, appspan.ErrInvalid, maxText)
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return err
	}
	if _, ok := d.Clusters[clusterName]; !ok {
		return fmt.Errorf("%s: %w: the team has nothing there; allocate it first", where, appspan.ErrNotFound)
	}
	_, err = t.records.Update(ctx, credentialsKey(id, clusterName), func(old []byte) ([]byte, error) {
		all, err := t.openCredentials(id, clusterName, old)
		if err != nil {
			return nil, err
		}
		delete(all, c.Registry)
		if c.Username != "" {
			all[c.Registry] = sealedCredential(c)
		}
		if len(all) > maxCredentials {
			return nil, fmt.Errorf("%s: %w: %d registries are the most; remove one", where, appspan.ErrExhausted, maxCredentials)
		}
		if len(all) == 0 {
			return nil, nil
		}
		plain, err := json.Marshal(all)
		if err != nil {
			return nil, err
		}
		sealed, err := t.opts.Keys.Seal(plain, sealContext(id, clusterName))
		if err != nil {
			return nil, err
		}
		return json.Marshal(credentialsDoc{Envelope: storage.Envelope{Format: 1, MinReader: 1}, Sealed: sealed, At: time.Now().UTC(),
			Registries: slices.Sorted(maps.Keys(all))})
	})
	return err
}

// Registries are those that a team has image pull credentials for on a
// cluster, sorted.
func (t *Teams) Registries(ctx context.Context, id, clusterName string) ([]string, error) {
	if err := t.authorize(ctx, appspan.VerbRead, "credential", id, clusterName); err != nil {
		return nil, err
	}
	rec, err := t.records.Get(ctx, credentialsKey(id, clusterName))
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d credentialsDoc
	return d.Registries, storage.Decode(rec.Value, 1, &d)
}

// Reseal seals all image pull credentials with the active key of the keys, for
// after a rotation.
func (t *Teams) Reseal(ctx context.Context) error {
	if err := t.authorize(ctx, appspan.VerbUpdate, "credential", "", ""); err != nil {
		return err
	}
	if t.opts.Keys == nil {
		return nil
	}
	for rec, err := range t.records.List(ctx, credentialsPrefix) {
		if err != nil {
			return err
		}
		_, err = t.records.Update(ctx, rec.Key, func(old []byte) ([]byte, error) {
			var d credentialsDoc
			if old == nil {
				return nil, nil
			}
			if err := storage.Decode(old, 1, &d); err != nil || !t.opts.Keys.Stale(d.Sealed) {
				return old, err
			}
			id, clusterName := splitPlace(rec.Key[len(credentialsPrefix):])
			plain, err := t.opts.Keys.Open(d.Sealed, sealContext(id, clusterName))
			if err != nil {
				return nil, err
			}
			if d.Sealed, err = t.opts.Keys.Seal(plain, sealContext(id, clusterName)); err != nil {
				return nil, err
			}
			return json.Marshal(d)
		})
		if err != nil {
			return fmt.Errorf("record %s: %w", rec.Key, err)
		}
	}
	return nil
}

func (t *Teams) openCredentials(id, clusterName string, data []byte) (map[string]sealedCredential, error) {
	all := map[string]sealedCredential{}
	if data == nil {
		return all, nil
	}
	where := fmt.Sprintf("image pull credentials of team %s on %s", id, clusterName)
	var d credentialsDoc
	if err := storage.Decode(data, 1, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if t.opts.Keys == nil {
		return nil, fmt.Errorf("%s: %w: there are no keys to open them with; set Options.Keys", where, appspan.ErrUnsupported)
	}
	plain, err := t.opts.Keys.Open(d.Sealed, sealContext(id, clusterName))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, fmt.Errorf("%s: %w: what was sealed does not decode", where, appspan.ErrCorrupt)
	}
	return all, nil
}

// pullObjects are the Secret of a team's credentials in each of its namespaces,
// if there are any, and the default account that refers to it then.
func (t *Teams) pullObjects(ctx context.Context, team Team, clusterName string) ([]driver.Object, error) {
	rec, err := t.records.Get(ctx, credentialsKey(team.ID, clusterName))
	if err != nil && !errors.Is(err, appspan.ErrNotFound) {
		return nil, err
	}
	all, err := t.openCredentials(team.ID, clusterName, rec.Value)
	if err != nil {
		return nil, err
	}
	config, err := dockerConfig(all)
	if err != nil {
		return nil, err
	}
	w := &writer{team: team, installation: t.opts.Installation}
	for _, n := range team.Clusters[clusterName].Namespaces {
		account := defaultAccount(n.Name)
		if len(all) > 0 {
			w.add(&corev1.Secret{TypeMeta: typeMeta("v1", "Secret"), ObjectMeta: w.meta(n.Name, PullSecret, "pull"),
				Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: config}})
			account.ImagePullSecrets = []corev1.LocalObjectReference{{Name: PullSecret}}
		}
		w.add(account)
	}
	return w.objects, w.err
}

// defaultAccount is the account of pods that name none, with nothing of ours.
func defaultAccount(namespace string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: typeMeta("v1", "ServiceAccount"), ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: namespace}}
}

// dockerConfig is the file that pulls images with credentials.
func dockerConfig(all map[string]sealedCredential) ([]byte, error) {
	type auth struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	}
	auths := map[string]auth{}
	for registry, c := range all {
		auths[registry] = auth{c.Username, c.Password, base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))}
	}
	return json.Marshal(map[string]any{"auths": auths})
}
