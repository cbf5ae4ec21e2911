package manifests

import (
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// podExtra writes further fields of the pods by the component's patch.
func (p *part) podExtra(fields map[string]any) {
	p.extras = append(p.extras, fields)
}

// account reads as which service account the pods run.
func (im *importer) account(p *part) {
	name := p.pod.get("serviceAccountName")
	if name == nil {
		name = p.pod.get("serviceAccount")
	}
	token := p.pod.get("automountServiceAccountToken")
	a := appmodel.ServiceAccount{}
	to := p.at + ".serviceAccount"
	if token.truth() {
		a.Token = true
		token.take(to + ".token")
	}
	if name != nil && name.text() != "" && name.text() != "default" {
		if o := im.accounts[name.text()]; o != nil && o.forced == "" {
			a.Name = name.text()
			name.take(to + ".name")
			a.Annotations = im.serviceAccount(p, o, to)
		} else {
			p.kubernetes.Names.ServiceAccount = name.text()
			name.take(p.at + ".kubernetes.names.serviceAccount")
		}
		if other := p.pod.get("serviceAccount"); other.is(name.text()) {
			other.settle(fidelity.Implied, "", "the old name of serviceAccountName")
		}
	} else if name.is("default") {
		name.settle(fidelity.Implied, "", "the default of Kubernetes")
	}
	if a.Name != "" || a.Token {
		p.comp.ServiceAccount = &a
	}
}

// serviceAccount reads the account that a component names.
func (im *importer) serviceAccount(p *part, o *object, to string) map[string]string {
	im.owns(to, o)
	annotations := map[string]string{}
	for _, f := range o.at("metadata", "annotations").entries() {
		if strings.HasPrefix(f.key, "meta.helm.sh/") || strings.HasPrefix(f.key, "helm.sh/") || strings.HasPrefix(f.key, "kubectl.kubernetes.io/") {
			continue
		}
		annotations[f.key] = f.str(to + ".annotations[" + f.key + "]")
	}
	if !o.mapped {
		o.mapped = true
		o.identity(to + ".name")
		o.provides(p.comp.Labels, p.at+".labels")
		im.patchLater(o, appmodel.PatchTarget{Kind: "ServiceAccount", Name: o.name}, nil)
	}
	if len(annotations) == 0 {
		return nil
	}
	return annotations
}
