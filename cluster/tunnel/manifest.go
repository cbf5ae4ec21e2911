package tunnel

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/appspan-dev/appspan"
)

//go:embed manifest.yaml.tmpl
var manifestText string

// The sets of characters that images and names of objects are made of.
var (
	imageName  = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9._/:@]{0,511}$`)
	objectName = regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$`)
	userName   = regexp.MustCompile(`^[-A-Za-z0-9_.:@/]{1,253}$`)
)

// ManifestOptions say how an agent is installed.
type ManifestOptions struct {
	// Token lets the agent join.
	Token Token
	// Image is that of the agent; its entry point is the program
	// appspan-agent.
	Image string
	// ImagePullSecrets are names of Secrets of the namespace.
	ImagePullSecrets []string
	// Namespace is made for the agent; default "appspan-system".
	Namespace string
	// Rules are what the hub may do in the cluster; default [DefaultRules].
	Rules []Rule
	// ClusterAdmin lets the hub do everything, in place of Rules.
	ClusterAdmin bool
	// Impersonate are beginnings of the names of users and groups that the hub
	// may act as, which the agent enforces because Kubernetes cannot; nil is
	// "appspan:", empty is none.
	Impersonate []string
	// OuterInsecure does without the check of the certificate of whatever
	// stands before the hub, which may be one of a private authority. The hub
	// itself is always checked, and nobody in between can read or change what
	// is said.
	OuterInsecure bool
}

// Manifest is the YAML that installs an agent with one `kubectl apply`. It holds
// the token's secret. Applied again, it leaves the agent's key alone. What is
// wrong with the options is appspan.ErrInvalid.
func Manifest(opts ManifestOptions) ([]byte, error) {
	if opts.Namespace == "" {
		opts.Namespace = "appspan-system"
	}
	if opts.Rules == nil {
		opts.Rules = DefaultRules()
	}
	if opts.Impersonate == nil {
		opts.Impersonate = []string{"appspan:"}
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	// JSON is YAML, and a string of JSON stays one whatever is in it.
	quote := template.FuncMap{"json": func(v any) (string, error) { text, err := json.Marshal(v); return string(text), err }}
	text, err := template.New("manifest").Funcs(quote).Parse(manifestText)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	err = text.Execute(&out, struct {
		ManifestOptions
		Token, TokenID, Impersonate, Role string
	}{opts, opts.Token.Encode(), opts.Token.ID, strings.Join(opts.Impersonate, ","), opts.Namespace + "-agent"})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	return out.Bytes(), nil
}

func (o ManifestOptions) validate() error {
	if err := o.Token.Validate(); err != nil {
		return err
	}
	if !imageName.MatchString(o.Image) {
		return fmt.Errorf("%w: %.100q is no name of an image", appspan.ErrInvalid, o.Image)
	}
	if !clusterName.MatchString(o.Namespace) {
		return fmt.Errorf("%w: the namespace %.100q is no DNS label", appspan.ErrInvalid, o.Namespace)
	}
	if i := slices.IndexFunc(o.ImagePullSecrets, func(s string) bool { return !objectName.MatchString(s) }); i >= 0 {
		return fmt.Errorf("%w: %.100q is no name of a Secret", appspan.ErrInvalid, o.ImagePullSecrets[i])
	}
	if i := slices.IndexFunc(o.Impersonate, func(s string) bool { return !userName.MatchString(s) }); i >= 0 {
		return fmt.Errorf("%w: %.100q is no beginning of names of users", appspan.ErrInvalid, o.Impersonate[i])
	}
	return nil
}
