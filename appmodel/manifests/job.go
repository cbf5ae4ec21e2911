package manifests

import (
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// jobSpec reads how a job ends; a is where its spec is.
func (p *part) jobSpec(spec *place) {
	j, at := &appmodel.Job{}, p.at+".job"
	if n := spec.get("backoffLimit"); n != nil && n.count() != 6 {
		retries := int(n.num(at + ".retries"))
		j.Retries = &retries
	}
	if n := spec.get("activeDeadlineSeconds"); n.count() > 0 {
		j.Deadline = seconds(n.num(at + ".deadline"))
	}
	if n := spec.get("completions"); n.count() > 1 {
		j.Completions = int(n.num(at + ".completions"))
	}
	if n := spec.get("parallelism"); n.count() > 1 {
		j.Parallelism = int(n.num(at + ".parallelism"))
	}
	if n := spec.get("ttlSecondsAfterFinished"); n.count() > 0 {
		j.TTL = seconds(n.num(at + ".ttl"))
	}
	if policy := p.pod.get("restartPolicy"); policy.is("Never") {
		policy.settle(fidelity.Implied, "", "pods of a job are not restarted in place")
	}
	if (*j != appmodel.Job{}) {
		p.comp.Job = j
	}
}

func (im *importer) job(p *part, spec *place) {
	p.jobSpec(spec)
	im.runs(p)
}

// runs says when a job runs: when it changes, at each release where Helm would
// run it then, by hand where it is a test.
func (im *importer) runs(p *part) {
	hook := p.obj.hook()
	if hook == "" {
		return
	}
	if p.comp.Job == nil {
		p.comp.Job = &appmodel.Job{}
	}
	l := p.obj.at("metadata", "annotations", "helm.sh/hook")
	switch {
	case strings.Contains(hook, "test"), strings.Contains(hook, "rollback"), strings.Contains(hook, "delete"):
		p.comp.Job.Runs = "manual"
		l.settle(fidelity.Degraded, p.at+".job.runs", "runs by hand only: "+strconv.Quote(cut(hook))+" is no part of a deployment")
	case strings.Contains(hook, "upgrade"):
		p.comp.Job.Runs = "eachRelease"
		l.settle(fidelity.Degraded, p.at+".job.runs", "runs at each release; what must wait for it says so by a need with condition: completed")
	default:
		l.settle(fidelity.Degraded, p.at+".job.runs", "runs when it changes; what must wait for it says so by a need with condition: completed")
	}
	if p.comp.Job.Runs != "" || p.obj.kind == "Pod" { // Helm makes it anew each time
		p.kubernetes.Names.Workload = ""
		p.obj.at("metadata", "name").fate = &fate{fidelity.Degraded, p.at + ".id", "each run has a name of its own"}
	}
	if p.comp.Job.Runs == "manual" { // nothing is rendered that a patch could change
		p.patch.obj = nil
		p.obj.root.leaves(func(l *place) {
			if l.fate == nil {
				l.fate = &fate{fidelity.Unsupported, p.at, "the job runs by hand, and no field says it"}
			}
		})
	}
}

func (im *importer) cron(p *part, spec *place) {
	at := p.at + ".cron"
	c := &appmodel.Cron{Schedule: spec.get("schedule").str(at + ".schedule"), TimeZone: spec.get("timeZone").str(at + ".timeZone"),
		Suspend: spec.get("suspend").truth()}
	spec.get("suspend").take(at + ".suspend")
	if policy := spec.get("concurrencyPolicy"); policy != nil && !policy.is("Allow") {
		c.Concurrency = policy.str(at + ".concurrency")
	}
	if n := spec.get("startingDeadlineSeconds"); n.count() > 0 {
		c.StartingDeadline = seconds(n.num(at + ".startingDeadline"))
	}
	for _, h := range []struct {
		field, to string
		usual     int64
		set       **int
	}{{"successfulJobsHistoryLimit", "successHistory", 3, &c.SuccessHistory}, {"failedJobsHistoryLimit", "failureHistory", 1, &c.FailureHistory}} {
		if n := spec.get(h.field); n != nil && n.count() != h.usual {
			v := int(n.num(at + "." + h.to))
			*h.set = &v
		}
	}
	p.comp.Cron = c
	p.jobSpec(spec.get("jobTemplate", "spec"))
	meta := spec.get("jobTemplate", "metadata")
	for _, f := range meta.get("labels").entries() {
		if p.comp.Labels[f.key] == f.text() {
			f.take(p.at + ".labels[" + f.key + "]")
		} else if strings.HasPrefix(f.key, "app.kubernetes.io/managed-by") {
			f.settle(fidelity.Degraded, "", "Appspan manages it, and says so")
		}
	}
}
