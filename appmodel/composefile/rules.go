package composefile

import "strings"

// ruleFor is what becomes of a place that no mapping speaks of.
func ruleFor(parts []string) note {
	no := func(why string) note { return note{status: StatusUnsupported, why: why} }
	implied := func(why string) note { return note{status: StatusImplied, why: why} }
	kept := func(why string) note {
		return note{status: StatusDegraded, to: "extensions[" + extensionKey + "]", why: why}
	}
	if strings.HasPrefix(parts[0], "x-") {
		return kept("an extension: kept as it is")
	}
	switch parts[0] {
	case extendsPrefix:
		return implied("part of the services that extend it, and reported there")
	case "version":
		return implied("compose itself ignores it")
	case "name":
		return note{status: StatusMapped, to: "metadata.name"}
	case "networks":
		return kept("one application is one network; kept as it is")
	case "include":
		return implied("what it includes is part of the application")
	case "volumes":
		if len(parts) == 2 {
			return no("no component mounts the volume")
		}
		return no("volumes come from the cluster's storage class, not from a Docker driver")
	case "secrets", "configs":
		return no("no component uses it")
	case "models":
		return no("models are not run; name their endpoint in the environment")
	case "jobs":
		return no("jobs of their own are not imported; write them as services with restart: \"no\"")
	case "services":
		if len(parts) > 2 {
			return serviceRule(parts[2], parts[3:], no, implied, kept)
		}
		return no("the service says nothing that could be run")
	}
	return no("the importer does not know it")
}

func serviceRule(attribute string, rest []string, no, implied, kept func(string) note) note {
	last := ""
	if len(rest) > 0 {
		last = rest[len(rest)-1]
	}
	if strings.HasPrefix(attribute, "x-") {
		return kept("an extension: kept as it is")
	}
	switch attribute {
	case "restart":
		return implied("the kind says it: services are restarted always")
	case "networks":
		return kept("one application is one network; kept as it is")
	case "extends":
		return implied("what it extends is part of the component")
	case "build":
		return no("images are built elsewhere")
	case "develop":
		return no("for development on one machine only")
	case "logging", "log_driver", "log_opt":
		return no("the cluster collects what containers print")
	case "ulimits":
		return no("Kubernetes has no limits of this kind for pods")
	case "init":
		return no("there is no init process; let the image start one, such as tini")
	case "stop_signal":
		return no("the image decides the signal (STOPSIGNAL)")
	case "cap_drop":
		return no("level baseline drops nothing; level restricted drops all capabilities")
	case "links":
		return implied("services of one application see each other")
	case "volumes_from":
		return no("mount the same named volume in both services")
	case "devices", "device_cgroup_rules", "blkio_config":
		return no("devices of a machine are not portable")
	case "dns", "dns_opt", "dns_search", "domainname", "mac_address":
		return no("the cluster gives names and addresses")
	case "healthcheck":
		switch last {
		case "start_period", "start_interval":
			return no("has no meaning for readiness: the component is simply not ready yet")
		}
	case "deploy":
		switch {
		case rest == nil:
		case rest[0] == "restart_policy":
			return implied("the kind says it: services are restarted always")
		case rest[0] == "rollback_config":
			return no("a rollback is an update to an older release")
		case rest[0] == "endpoint_mode":
			return implied("every component has one virtual address")
		case last == "failure_action", last == "max_failure_ratio", last == "delay":
			return no("an update that does not become ready stops, and says so")
		case last == "pids":
			return no("the cluster's nodes bound the number of processes")
		}
	case "security_opt", "cgroup", "cgroup_parent", "userns_mode", "uts", "isolation", "runtime", "credential_spec":
		return no("the container runtime of the cluster decides")
	case "oom_kill_disable", "oom_score_adj", "mem_swappiness", "memswap_limit", "pids_limit", "cpu_shares", "cpu_quota",
		"cpu_period", "cpu_rt_period", "cpu_rt_runtime", "cpu_count", "cpu_percent", "cpuset":
		return no("Kubernetes bounds cpu and memory only")
	case "depends_on":
		if last == "restart" {
			return no("a new provider does not restart what needs it")
		}
	case "ports", "secrets", "configs", "volumes", "env_file":
		return no("has no counterpart")
	}
	return no("the application model has no place for it")
}
