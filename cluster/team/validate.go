package team

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Bounds of a [Team].
const (
	MaxMembers    = 1000
	MaxRoles      = 50
	MaxClusters   = 1000
	MaxNamespaces = 50 // of one team on one cluster
	maxText       = 256
)

const maxID = 40

// Validate reports, joined and with the path of each, everything that is wrong
// with a team. Each fault wraps appspan.ErrInvalid and says what would be
// right.
func (t Team) Validate() error {
	var f faults
	if err := checkID(t.ID); err != "" {
		f.add("id", "%q %s", t.ID, err)
	}
	f.text("displayName", t.DisplayName)
	t.validateRoles(&f)
	t.validateMembers(&f)
	f.keep(parse("quota", t.Quota))
	if !t.Drift.valid() {
		f.add("drift", "there is no policy %q; use repair or show", t.Drift)
	}
	f.atMost("clusters", len(t.Clusters), MaxClusters)
	for _, name := range slices.Sorted(maps.Keys(t.Clusters)) {
		if storage.CheckKey(name) != nil || strings.Contains(name, "/") || len(name) > maxText {
			f.add("clusters["+name+"]", "it is no name of a cluster; use the one under which it is registered, of letters, digits and -_.@:~+=")
		}
		t.Clusters[name].validate("clusters["+name+"]", &f)
	}
	return errors.Join(f...)
}

func (t Team) validateRoles(f *faults) {
	f.atMost("roles", len(t.Roles), MaxRoles)
	known := map[Permission]bool{}
	for _, p := range Permissions() {
		known[p.Permission] = true
	}
	names := map[string]bool{RoleAdmin: true, RoleDeveloper: true, RoleObserver: true}
	for i, r := range t.Roles {
		path := fmt.Sprintf("roles[%d]", i)
		if err := checkID(r.Name); err != "" {
			f.add(path+".name", "%q %s", r.Name, err)
		} else if names[r.Name] {
			f.add(path+".name", "%q is taken by another role or a built-in one; choose another name", r.Name)
		}
		names[r.Name] = true
		for j, p := range r.Permissions {
			if !known[p] {
				f.add(fmt.Sprintf("%s.permissions[%d]", path, j), "there is no permission %q; team.Permissions lists them", p)
			}
		}
	}
}

func (t Team) validateMembers(f *faults) {
	f.atMost("members", len(t.Members), MaxMembers)
	seen := map[string]bool{}
	for i, m := range t.Members {
		path := fmt.Sprintf("members[%d]", i)
		switch {
		case m.Subject == "":
			f.add(path+".subject", "it is empty; give the subject's id")
		case seen[m.Subject]:
			f.add(path+".subject", "%q is a member already; a member has one role", m.Subject)
		}
		seen[m.Subject] = true
		f.text(path+".subject", m.Subject)
		if _, ok := t.Role(m.Role); !ok {
			f.add(path+".role", "there is no role %q; use admin, developer, observer or one of the team's roles", m.Role)
		}
	}
}

func (a Allocation) validate(path string, f *faults) {
	quota, err := parse(path+".quota", a.Quota)
	f.keep(nil, err)
	f.keep(parse(path+".defaults", a.Defaults))
	for name := range a.Defaults {
		switch name {
		case ResourceCPU, ResourceMemory, ResourceEphemeral:
		default:
			f.add(path+".defaults["+name+"]", "containers have defaults of cpu, memory and ephemeral-storage only; remove it")
		}
	}
	if !slices.Contains([]Level{Privileged, Baseline, Restricted}, a.level()) {
		f.add(path+".podSecurity", "there is no level %q; use privileged, baseline or restricted", a.PodSecurity)
	}
	for i, p := range a.Permits {
		if !slices.Contains(Permits(), p) {
			f.add(fmt.Sprintf("%s.permits[%d]", path, i), "there is no permit %q; use some of %q", p, Permits())
		}
	}
	for i, host := range a.Hosts {
		for _, wrong := range validation.IsDNS1123Subdomain(strings.TrimPrefix(host, "*.")) {
			f.add(fmt.Sprintf("%s.hosts[%d]", path, i), "%q: %s", host, wrong)
		}
	}
	for i, n := range a.Network.From {
		f.label(fmt.Sprintf("%s.network.from[%d]", path, i), n)
	}
	for _, key := range slices.Sorted(maps.Keys(a.NodePool)) {
		for _, wrong := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(a.NodePool[key])...) {
			f.add(path+".nodePool["+key+"]", "%s", wrong)
		}
	}
	if len(a.Namespaces) == 0 {
		f.add(path+".namespaces", "there are none; name at least one")
	}
	f.atMost(path+".namespaces", len(a.Namespaces), MaxNamespaces)
	a.validateNamespaces(path, quota, f)
}

func (a Allocation) validateNamespaces(path string, quota quantities, f *faults) {
	seen := map[string]bool{}
	shared := quantities{}
	for i, n := range a.Namespaces {
		path := fmt.Sprintf("%s.namespaces[%d]", path, i)
		f.label(path+".name", n.Name)
		switch {
		case seen[n.Name]:
			f.add(path+".name", "%q is named twice", n.Name)
		case systemNamespace(n.Name):
			f.add(path+".name", "%q belongs to the cluster; choose another name", n.Name)
		}
		seen[n.Name] = true
		share, err := parse(path+".quota", n.Quota)
		f.keep(nil, err)
		if err != nil {
			continue
		}
		shared.add(share, 1)
		for _, name := range slices.Sorted(maps.Keys(quota)) {
			if _, ok := share[name]; !ok && len(a.Namespaces) > 1 {
				f.add(path+".quota["+name+"]", "the cluster's quota is shared by %d namespaces; state this one's part", len(a.Namespaces))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(quota)) {
		if whole, parts := quota[name], shared[name]; parts.Cmp(whole) > 0 {
			f.add(path+".quota["+name+"]", "the namespaces' parts sum up to %s, which is more than %s", parts.String(), whole.String())
		}
	}
}

// systemNamespace reports whether a namespace is the cluster's own.
func systemNamespace(name string) bool {
	return name == "default" || strings.HasPrefix(name, "kube-") || strings.HasPrefix(name, membersPrefix)
}

// idPattern is also what an installation id is, see deploy.Options.
func idPattern() *regexp.Regexp { return regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`) }

// checkID says what is wrong with an id, in words that follow it.
func checkID(id string) string {
	if len(id) > maxID || !idPattern().MatchString(id) {
		return fmt.Sprintf("is no id; use a lower-case letter, then letters, digits and dashes, at most %d characters", maxID)
	}
	return ""
}

// faults collects what is wrong.
type faults []error

func (f *faults) add(path, format string, args ...any) {
	*f = append(*f, fmt.Errorf("%s: %w: "+format, append([]any{path, appspan.ErrInvalid}, args...)...))
}

func (f *faults) keep(_ quantities, err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

func (f *faults) atMost(path string, n, limit int) {
	if n > limit {
		f.add(path, "%d are more than %d", n, limit)
	}
}

func (f *faults) text(path, text string) {
	if len(text) > maxText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		f.add(path, "it is longer than %d bytes or has control characters", maxText)
	}
}

func (f *faults) label(path, name string) {
	for _, wrong := range validation.IsDNS1123Label(name) {
		f.add(path, "%q: %s", name, wrong)
	}
}
