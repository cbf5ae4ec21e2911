package status

import "time"

// Value is how something does.
type Value string

// The values, the best first: that is the order of [Worst].
const (
	// Ready: it is as it was asked for and works. A job that completed is
	// ready too.
	Ready Value = "Ready"
	// Stopped: it is asked to have no replicas, and has none.
	Stopped Value = "Stopped"
	// Progressing: it is on its way, and nothing says that it won't arrive.
	Progressing Value = "Progressing"
	// Degraded: it works in part.
	Degraded Value = "Degraded"
	// Unknown: nobody can tell.
	Unknown Value = "Unknown"
	// Absent: it should be there and is not, or nothing of it is there.
	Absent Value = "Absent"
	// Failed: it does not work, or its last change cannot come to an end,
	// without somebody who does something.
	Failed Value = "Failed"
)

func (v Value) rank() int {
	switch v {
	case Ready:
		return 0
	case Stopped:
		return 1
	case Progressing:
		return 2
	case Degraded:
		return 3
	case Absent:
		return 5
	case Failed:
		return 6
	}
	return 4 // Unknown, and every word that is not a value
}

// Worst is the worst of the values, Unknown when there is none or when one is
// not a value.
func Worst(values ...Value) Value {
	if len(values) == 0 {
		return Unknown
	}
	worst := Ready
	for _, v := range values {
		if v.rank() > worst.rank() {
			worst = v
		}
	}
	if worst.rank() == Unknown.rank() {
		return Unknown
	}
	return worst
}

// Reason is a cause in one word, for programs.
type Reason string

// The reasons. Others that Kubernetes or a controller names may appear as they
// are.
const (
	ImagePull        Reason = "ImagePull"
	InvalidImage     Reason = "InvalidImage"
	CrashLoop        Reason = "CrashLoop"
	OutOfMemory      Reason = "OutOfMemory"
	Configuration    Reason = "Configuration" // a Secret, ConfigMap or key is missing
	MountFailed      Reason = "MountFailed"
	Unschedulable    Reason = "Unschedulable"
	QuotaExceeded    Reason = "QuotaExceeded"
	PodSecurity      Reason = "PodSecurity"
	CreationFailed   Reason = "CreationFailed" // pods are refused for another reason
	ProbeFailing     Reason = "ProbeFailing"
	ClaimPending     Reason = "ClaimPending"
	ClaimLost        Reason = "ClaimLost"
	DeadlineExceeded Reason = "DeadlineExceeded"
	JobFailed        Reason = "JobFailed"
	ScaledToZero     Reason = "ScaledToZero" // by hand; the application asks for replicas
	NoEndpoints      Reason = "NoEndpoints"
	PodFailed        Reason = "PodFailed"
	Interrupted      Reason = "Interrupted"     // a change was begun and not ended, and nothing is known to go on with it
	NamespaceEnding  Reason = "NamespaceEnding" // the namespace is being deleted
)

// Cause is one reason why something is not ready.
type Cause struct {
	Reason Reason `json:"reason"`
	// Message is one line for people: what happened, in the cluster's words
	// where it has some. At most 300 characters.
	Message string `json:"message"`
	// Object is where, as "Pod shop/web-abc"; with Count, one of them.
	Object    string `json:"object,omitempty"`
	Container string `json:"container,omitempty"`
	// Count is how many objects have the cause.
	Count int `json:"count,omitempty"`
	// Since is when it began, as far as it is known, in UTC.
	Since time.Time `json:"since,omitzero"`
	// Next is what a person may do about it.
	Next string `json:"next,omitempty"`

	rank int  // the most important is the lowest
	soft bool // it may end by itself
}

// Replicas counts the pods of a component: what is asked for, what exists,
// what is of the newest version, what is ready.
type Replicas struct {
	Desired int `json:"desired"`
	Current int `json:"current"`
	Updated int `json:"updated"`
	Ready   int `json:"ready"`
}

// Component is how one component does on one cluster.
type Component struct {
	ID string `json:"id"`
	// Kind is the component's kind in the application, or the workload's
	// kind where the application is not known.
	Kind     string   `json:"kind,omitempty"`
	Optional bool     `json:"optional,omitempty"`
	Value    Value    `json:"value"`
	Replicas Replicas `json:"replicas"`
	// Causes are three at most, the most important first; replicas that have
	// one cause are folded into it.
	Causes  []Cause `json:"causes,omitempty"`
	Message string  `json:"message,omitempty"`
}

// Cluster is how an application does on one cluster.
type Cluster struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Value     Value  `json:"value"`
	// Causes are what stands in the way of the application as a whole,
	// whatever its components do: with one it is Degraded at best.
	Causes []Cause `json:"causes,omitempty"`
	// Components are sorted by id. When the cluster is not Fresh, they are
	// what was last known.
	Components []Component `json:"components,omitempty"`
	// Fresh says that the cluster answered. Otherwise Value is Unknown, and
	// LastKnown, ObservedAt and Age say what was known, when, and how long
	// ago (in JSON nanoseconds).
	Fresh      bool          `json:"fresh"`
	ObservedAt time.Time     `json:"observedAt,omitzero"`
	Age        time.Duration `json:"age,omitempty"`
	LastKnown  Value         `json:"lastKnown,omitempty"`
	// Error is why the cluster did not answer.
	Error string `json:"error,omitempty"`
	// Revision is the newest release there, zero when there is none.
	Revision int `json:"revision,omitempty"`
}

// Application is how an application does on all of its clusters. There is no
// single value for it: a person looks at Summary, a program at Worst.
type Application struct {
	Name     string    `json:"name"`
	Clusters []Cluster `json:"clusters"`
	// Summary counts the clusters by value.
	Summary map[Value]int `json:"summary"`
	// Worst is the worst value of a cluster; Unknown without clusters.
	Worst Value `json:"worst"`
}

// Of puts the clusters of an application together. The slice is copied.
func Of(name string, clusters []Cluster) Application {
	a := Application{Name: name, Clusters: append([]Cluster{}, clusters...), Summary: map[Value]int{}}
	values := make([]Value, 0, len(clusters))
	for _, c := range clusters {
		v := Worst(c.Value)
		if !c.Fresh { // whoever forgot to say so does not make it green
			v = Worst(v, Unknown)
		}
		a.Summary[v]++
		values = append(values, v)
	}
	a.Worst = Worst(values...)
	return a
}

// Stale is c as it has to be shown once its cluster no longer answers: Unknown,
// with what was known, its age, and why.
func Stale(c Cluster, now time.Time, cause error) Cluster {
	if c.Fresh {
		c.LastKnown = c.Value
	}
	c.Value, c.Fresh = Unknown, false
	if !c.ObservedAt.IsZero() {
		c.Age = now.Sub(c.ObservedAt)
	}
	if cause != nil {
		c.Error = cause.Error()
	}
	return c
}
