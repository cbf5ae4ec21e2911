package manifests

import (
	"time"

	"github.com/appspan-dev/appspan/appmodel"
)

// update reads how replicas are replaced. Rendering has defaults of its own
// once anything is said, so then all of it is.
func (p *part) update(spec *place) {
	u, at := appmodel.Update{}, p.at+".update"
	strategy := spec.get("strategy")
	if strategy == nil {
		strategy = spec.get("updateStrategy")
	}
	deployment := p.obj.kind == "Deployment"
	rolling := strategy.get("rollingUpdate")
	switch strategy.get("type").text() {
	case "Recreate":
		u.Strategy = "recreate"
	case "OnDelete":
		u.Strategy = "onDelete"
	case "RollingUpdate":
		if deployment || rolling.get("maxUnavailable") != nil || rolling.get("maxSurge") != nil {
			u.Strategy = "rolling"
		}
	default:
		if deployment && rolling != nil || rolling.get("maxUnavailable") != nil || rolling.get("maxSurge") != nil {
			u.Strategy = "rolling"
		}
	}
	if kind := strategy.get("type"); p.obj.kind == "StatefulSet" && u.Strategy == "" && kind != nil {
		kind.shaped(at+".strategy", "the default of Kubernetes, which fills in more where it is left out")
	}
	if kind := strategy.get("type"); kind.is("RollingUpdate") || u.Strategy != "" && kind.text() != "" && u.Strategy != "rolling" {
		kind.take(at + ".strategy")
	}
	u.MaxUnavailable = appmodel.IntOrPercent(rolling.get("maxUnavailable").str(at + ".maxUnavailable"))
	u.MaxSurge = appmodel.IntOrPercent(rolling.get("maxSurge").str(at + ".maxSurge"))
	if p.obj.kind == "DaemonSet" && rolling.get("maxSurge").is("0") {
		u.MaxSurge = "" // beside one unavailable
	}
	if n := spec.get("minReadySeconds"); n.count() > 0 {
		u.MinReady = seconds(n.num(at + ".minReady"))
	}
	if n := spec.get("progressDeadlineSeconds"); n.count() > 0 && n.count() != 600 {
		u.ProgressDeadline = seconds(n.num(at + ".progressDeadline"))
	}
	if deployment && (u != appmodel.Update{} || p.writesAlone()) && (u.Strategy == "" || u.Strategy == "rolling") {
		u.Strategy = "rolling"
		if u.MaxSurge == "" {
			u.MaxSurge = "25%"
		}
		if u.MaxUnavailable == "" {
			u.MaxUnavailable = "25%"
		}
	}
	if (u != appmodel.Update{}) {
		p.comp.Update = &u
	}
}

// seconds is a duration.
func seconds(n int64) appmodel.Duration {
	const most = 100 * 365 * 24 * 3600
	return appmodel.Duration(time.Duration(max(0, min(n, most))) * time.Second)
}

// lifetime reads how long pods may take to end.
func (p *part) lifetime() {
	if n := p.pod.get("terminationGracePeriodSeconds"); n.count() > 0 && n.count() != 30 {
		if p.comp.Lifecycle == nil {
			p.comp.Lifecycle = &appmodel.Lifecycle{}
		}
		p.comp.Lifecycle.GracePeriod = seconds(n.num(p.at + ".lifecycle.gracePeriod"))
	}
}
