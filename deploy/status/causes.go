package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxCauses is how many causes a component has.
const maxCauses = 3

// line makes one bounded line of a message from a cluster.
func line(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 { // no control of terminals
			return -1
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > 300 {
		s = string([]rune(s)[:299]) + "…"
	}
	return s
}

// refused is the cause of pods that were not let in.
func refused(object, message string, since time.Time) *Cause {
	c := &Cause{Reason: CreationFailed, Message: line(message), Object: object, Count: 1, Since: since.UTC(),
		Next: "read the message: the cluster refuses the pods", rank: 1}
	switch {
	case strings.Contains(message, "exceeded quota"):
		c.Reason, c.Next = QuotaExceeded, "lower the requests or replicas, or have the namespace's quota raised"
	case strings.Contains(message, "violates PodSecurity"):
		c.Reason, c.Next = PodSecurity, "set what the message asks for in the component's security settings, or use a namespace that allows it"
	}
	return c
}

// evidence is what other objects say about a pod.
type evidence struct {
	events map[string][]event   // by UID, or "Kind/name" without one
	claims map[string]Readiness // by name
}

// latest finds the newest event of one of the reasons about an object.
func (e evidence) latest(kind, name, uid string, reasons ...string) (event, bool) {
	var found event
	ok := false
	for _, list := range [][]event{e.events[uid], e.events[kind+"/"+name]} {
		for _, ev := range list {
			if ev.Involved.Kind == kind && slices.Contains(reasons, ev.Reason) && (!ok || ev.when().After(found.when())) {
				found, ok = ev, true
			}
		}
	}
	return found, ok
}

func (e event) when() time.Time {
	if e.Last.IsZero() {
		return e.Time.UTC()
	}
	return e.Last.UTC()
}

// podCauses says why a pod is not ready.
func podCauses(p *pod, ev evidence) []Cause {
	var out []Cause
	add := func(c Cause) {
		c.Object, c.Count, c.Message = p.object.String(), 1, line(c.Message)
		if c.Since.IsZero() {
			c.Since = p.Metadata.Created
		}
		c.Since = c.Since.UTC()
		out = append(out, c)
	}
	if c := p.Status.Conditions.get("PodScheduled"); c.Status == "False" {
		claims := claimCauses(p, ev)
		for _, cause := range claims {
			add(cause)
		}
		if len(claims) == 0 {
			add(Cause{Reason: Unschedulable, Message: c.Message, Since: c.Since, rank: 4, soft: true, Next: placeNext(c.Message)})
		}
		return out
	}
	for _, cs := range slices.Concat(p.Status.Init, p.Status.Containers) {
		if c, ok := containerCause(cs); ok {
			c.Container = cs.Name
			add(c)
		}
	}
	if len(out) > 0 {
		return out
	}
	if p.Status.Phase == "Failed" {
		add(Cause{Reason: PodFailed, Message: strings.TrimSpace(p.Status.Reason + " " + p.Status.Message), rank: 6, Next: "look at the pod's log and its node"})
		return out
	}
	if e, ok := ev.latest("Pod", p.object.Name, p.object.UID, "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"); ok && p.Status.Phase == "Pending" {
		add(Cause{Reason: MountFailed, Message: e.Message, rank: 3, soft: true, Next: "see that the Secret, ConfigMap or volume that the message names exists"})
		return out
	}
	if c := p.Status.Conditions.get("Ready"); p.Status.Phase == "Running" && c.Status == "False" {
		cause := Cause{Reason: ProbeFailing, Since: c.Since, rank: 5, soft: true, Next: "look at the container's log, and at the path, port and delay of its readiness probe"}
		cause.Message = "it runs and is not ready"
		for _, cs := range p.Status.Containers {
			if !cs.Ready {
				cause.Container = cs.Name
				break
			}
		}
		if e, ok := ev.latest("Pod", p.object.Name, p.object.UID, "Unhealthy"); ok {
			cause.Message = e.Message
		}
		add(cause)
	}
	return out
}

func placeNext(message string) string {
	switch {
	case strings.Contains(message, "Insufficient"):
		return "lower the component's requests, or add nodes"
	case strings.Contains(message, "taint"), strings.Contains(message, "affinity"), strings.Contains(message, "selector"):
		return "look at the component's scheduling: no node fits it"
	}
	return "read the message: no node can take the pod"
}

// claimCauses says which claims keep a pod from being scheduled.
func claimCauses(p *pod, ev evidence) []Cause {
	var out []Cause
	for _, v := range p.Spec.Volumes {
		if v.Claim == nil {
			continue
		}
		c, known := ev.claims[v.Claim.Name]
		if !known || c.Value == Ready {
			continue
		}
		e, failed := ev.latest("PersistentVolumeClaim", v.Claim.Name, "", "ProvisioningFailed", "FailedBinding")
		unbound := strings.Contains(p.Status.Conditions.get("PodScheduled").Message, "PersistentVolumeClaim")
		if !failed && !unbound && c.Value != Failed {
			continue // it waits for the pod, not the pod for it
		}
		cause := Cause{Reason: ClaimPending, Message: "claim " + v.Claim.Name + " is not bound", rank: 3, soft: true,
			Next: "look at the storage class of the claim: it has to exist and to serve the access mode and size"}
		if c.Value == Failed {
			cause.Reason, cause.Message, cause.soft, cause.Next = ClaimLost, "the volume of claim "+v.Claim.Name+" is lost", false, "restore the data from a backup into a new claim"
		} else if failed {
			cause.Message += ": " + e.Message
		}
		out = append(out, cause)
	}
	return out
}

// containerCause says what is wrong with one container.
func containerCause(cs containerStatus) (Cause, bool) {
	last := cs.LastState.Terminated
	if cs.State.Terminated != nil {
		last = cs.State.Terminated
	}
	if w := cs.State.Waiting; w != nil {
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError":
			return Cause{Reason: ImagePull, Message: "image " + cs.Image + ": " + w.Message, rank: 1,
				Next: "check the image's name and tag; if the registry is private, add imagePull.secrets"}, true
		case "InvalidImageName":
			return Cause{Reason: InvalidImage, Message: "image " + cs.Image + ": " + w.Message, rank: 0, Next: "correct the image's name"}, true
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return Cause{Reason: Configuration, Message: w.Message, rank: 1,
				Next: "see that the Secret, ConfigMap, key or command that the message names exists"}, true
		case "CrashLoopBackOff":
		default:
			return Cause{}, false
		}
	} else if cs.State.Terminated == nil || cs.State.Terminated.ExitCode == 0 {
		return Cause{}, false
	}
	c := Cause{Reason: CrashLoop, Message: "it exits again and again", rank: 2, Next: "look at the log of the container before its last restart"}
	if cs.State.Waiting == nil && cs.RestartCount == 0 {
		c.Reason, c.Message, c.soft = PodFailed, "it failed", true
	}
	if last == nil {
		return c, true
	}
	c.Since = last.FinishedAt
	c.Message = fmt.Sprintf("exit code %d", last.ExitCode)
	if last.Reason == "OOMKilled" {
		c.Reason, c.Message, c.soft = OutOfMemory, "it used more memory than its limit and was killed", false
		c.Next = "raise the container's memory limit, or have it use less"
	}
	if cs.RestartCount > 0 {
		c.Message += fmt.Sprintf(", restarted %d times", cs.RestartCount)
	}
	if last.Message != "" {
		c.Message += ": " + last.Message
	}
	return c, true
}

// fold puts causes that replicas share together, sorts and bounds them.
// Names of pods and counts of restarts differ among replicas that suffer the
// same: reason and container tell causes apart.
func fold(causes []Cause) []Cause {
	type key struct {
		reason    Reason
		container string
	}
	var out []Cause
	at := map[key]int{}
	for _, c := range causes {
		k := key{c.Reason, c.Container}
		i, seen := at[k]
		if !seen {
			at[k] = len(out)
			out = append(out, c)
			continue
		}
		if !c.Since.IsZero() && c.Since.Before(out[i].Since) {
			out[i].Since = c.Since
		}
		out[i].Count += c.Count
		out[i].rank = min(out[i].rank, c.rank)
	}
	slices.SortStableFunc(out, func(a, b Cause) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return b.Count - a.Count
	})
	if len(out) > maxCauses {
		out = out[:maxCauses]
	}
	return out
}
