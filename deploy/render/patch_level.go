package render

import (
	"encoding/json"
	"fmt"

	"github.com/appspan-dev/appspan/appmodel"
)

func text(v any) string { return fmt.Sprint(v) }

// level checks that a patched pod stays within its component's security
// level: what Pod Security forbids there, a patch cannot bring.
func (b *builder) level(o *Object, tree map[string]any, before []byte) error {
	c := b.comps[o.Component]
	if c == nil || c.Security == nil || c.Security.Level == appmodel.LevelPrivileged {
		return nil
	}
	pod := podSpec(tree)
	if pod == nil {
		return nil
	}
	forbid := func(what string) error {
		return invalid("%s: %s needs security.level: privileged; the component is %s", o.Ref, what, c.Security.Level)
	}
	after, err := json.Marshal(confinement(tree))
	if err != nil {
		return err
	}
	if string(before) != string(after) {
		return forbid("a patch of security contexts, service accounts or host ports")
	}
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		if pod[field] == true {
			return forbid(field)
		}
	}
	volumes, _ := pod["volumes"].([]any)
	for _, v := range volumes {
		if m, ok := v.(map[string]any); ok && m["hostPath"] != nil {
			return forbid("a host path")
		}
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		containers, _ := pod[list].([]any)
		for _, entry := range containers {
			container, _ := entry.(map[string]any)
			if what := beyond(container, c.Security); what != "" {
				return forbid(what)
			}
		}
	}
	return nil
}

// confinement is what confines a pod: its own security context, its service
// account, and for each container the security context and host ports, or, of
// one that is confined as Pod Security's restricted level asks, that it is.
func confinement(tree map[string]any) map[string]any {
	pod := podSpec(tree)
	out := map[string]any{}
	for _, field := range []string{"securityContext", "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "runtimeClassName"} {
		if v, ok := pod[field]; ok {
			out[field] = v
		}
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		containers, _ := pod[list].([]any)
		for _, entry := range containers {
			container, _ := entry.(map[string]any)
			key := list + "/" + text(container["name"])
			if v, ok := container["securityContext"]; ok {
				out[key] = v
			}
			ports, _ := container["ports"].([]any)
			for _, p := range ports {
				if m, ok := p.(map[string]any); ok && m["hostPort"] != nil {
					out[key+"/"+text(m["hostPort"])] = true
				}
			}
		}
	}
	return out
}

// podSpec is the pod of a workload, or nil.
func podSpec(tree map[string]any) map[string]any {
	spec, _ := tree["spec"].(map[string]any)
	if job, ok := spec["jobTemplate"].(map[string]any); ok {
		spec, _ = job["spec"].(map[string]any)
	}
	template, _ := spec["template"].(map[string]any)
	pod, _ := template["spec"].(map[string]any)
	return pod
}

// beyond names what of a container the component's level does not allow.
func beyond(container map[string]any, s *appmodel.Security) string {
	security, _ := container["securityContext"].(map[string]any)
	if security["privileged"] == true && !s.Privileged {
		return "a privileged container"
	}
	if s.Level == appmodel.LevelRestricted && security["allowPrivilegeEscalation"] != false {
		return "privilege escalation"
	}
	capabilities, _ := security["capabilities"].(map[string]any)
	added, _ := capabilities["add"].([]any)
	for _, a := range added {
		allowed := s.Level == appmodel.LevelRestricted && a == "NET_BIND_SERVICE"
		for _, own := range s.Capabilities {
			allowed = allowed || a == own
		}
		if !allowed {
			return "capability " + text(a)
		}
	}
	return ""
}
