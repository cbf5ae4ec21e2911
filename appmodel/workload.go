package appmodel

// Probes are the checks of a container; none is invented.
type Probes struct {
	Readiness *Probe `json:"readiness,omitempty"`
	Liveness  *Probe `json:"liveness,omitempty"`
	Startup   *Probe `json:"startup,omitempty"`
}

// Probe is one check; one of HTTP, TCP, Exec, GRPC.
type Probe struct {
	HTTP *HTTPCheck `json:"http,omitempty" oneof:"check" merge:"atomic"`
	TCP  *TCPCheck  `json:"tcp,omitempty" oneof:"check" merge:"atomic"`
	Exec *Exec      `json:"exec,omitempty" oneof:"check" merge:"atomic"`
	GRPC *GRPCCheck `json:"grpc,omitempty" oneof:"check" merge:"atomic"`

	InitialDelay     Duration `json:"initialDelay,omitempty"`
	Period           Duration `json:"period,omitempty" default:"10s"`
	Timeout          Duration `json:"timeout,omitempty" default:"1s"`
	SuccessThreshold int      `json:"successThreshold,omitempty" default:"1"`
	FailureThreshold int      `json:"failureThreshold,omitempty" default:"3"`
	TerminationGrace Duration `json:"terminationGrace,omitempty"`
}

// HTTPCheck asks a URL.
type HTTPCheck struct {
	Path    string   `json:"path,omitempty" default:"/"`
	Port    PortRef  `json:"port"`
	Scheme  string   `json:"scheme,omitempty" enum:"HTTP,HTTPS" default:"HTTP"`
	Host    string   `json:"host,omitempty"`
	Headers []Header `json:"headers,omitempty" merge:"key=name"`
}

// Header is one HTTP header.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPCheck connects to a port.
type TCPCheck struct {
	Port PortRef `json:"port"`
}

// Exec is a command in the container.
type Exec struct {
	Command []string `json:"command" merge:"atomic"`
}

// GRPCCheck asks the gRPC health service.
type GRPCCheck struct {
	Port    PortRef `json:"port"`
	Service string  `json:"service,omitempty"`
}

// Resources are what a container asks for and may use: cpu, memory,
// ephemeral-storage and extended resources.
type Resources struct {
	Requests map[string]Quantity `json:"requests,omitempty"`
	Limits   map[string]Quantity `json:"limits,omitempty"`
}

// Lifecycle are hooks of a container's start and end.
type Lifecycle struct {
	PostStart *Handler `json:"postStart,omitempty" merge:"atomic"`
	PreStop   *Handler `json:"preStop,omitempty" merge:"atomic"`
	// GracePeriod is how long the pod may take to end.
	GracePeriod Duration `json:"gracePeriod,omitempty" default:"30s"`
}

// Handler is what a lifecycle hook does.
type Handler struct {
	Exec  *Exec      `json:"exec,omitempty" oneof:"handler"`
	HTTP  *HTTPCheck `json:"http,omitempty" oneof:"handler"`
	Sleep Duration   `json:"sleep,omitempty" oneof:"handler"`
}

// Scale says how many replicas run.
type Scale struct {
	// Replicas is per cluster unless the placement divides it; with Auto it
	// is only the first value.
	Replicas *int       `json:"replicas,omitempty" default:"1"`
	Auto     *AutoScale `json:"auto,omitempty"`
}

// AutoScale moves the number of replicas between Min and Max.
type AutoScale struct {
	Min       *int       `json:"min,omitempty" default:"1"`
	Max       int        `json:"max"`
	Metrics   []Metric   `json:"metrics,omitempty" merge:"key=name"`
	Schedules []Schedule `json:"schedules,omitempty" merge:"key=name"`
	// ScaleDownDelay is how long a lower need must last.
	ScaleDownDelay Duration `json:"scaleDownDelay,omitempty"`
}

// Metric is what autoscaling looks at; its name is by default its type.
type Metric struct {
	Name        string          `json:"name,omitempty"`
	CPU         *ResourceMetric `json:"cpu,omitempty" oneof:"metric" merge:"atomic"`
	Memory      *ResourceMetric `json:"memory,omitempty" oneof:"metric" merge:"atomic"`
	Concurrency *TargetMetric   `json:"concurrency,omitempty" oneof:"metric" merge:"atomic"`
	RequestRate *TargetMetric   `json:"requestRate,omitempty" oneof:"metric" merge:"atomic"`
	Custom      *CustomMetric   `json:"custom,omitempty" oneof:"metric" merge:"atomic"`
	Trigger     *Trigger        `json:"trigger,omitempty" oneof:"metric" merge:"atomic"`
}

// ResourceMetric is a share of the request in percent, or an average amount.
type ResourceMetric struct {
	Utilization int      `json:"utilization,omitempty" oneof:"target"`
	Average     Quantity `json:"average,omitempty" oneof:"target"`
}

// TargetMetric is an average per replica.
type TargetMetric struct {
	Target Quantity `json:"target"`
}

// CustomMetric is a metric of the pods, by name.
type CustomMetric struct {
	Metric string   `json:"metric"`
	Target Quantity `json:"target"`
}

// Trigger is a KEDA trigger.
type Trigger struct {
	Type     string            `json:"type"`
	Settings map[string]string `json:"settings,omitempty"`
	// Secret is a secret group with the trigger's credentials.
	Secret string `json:"secret,omitempty"`
}

// Schedule sets a number of replicas at times.
type Schedule struct {
	Name     string `json:"name"`
	Cron     string `json:"cron"`
	TimeZone string `json:"timeZone,omitempty"`
	Replicas int    `json:"replicas"`
}

// Update says how replicas are replaced.
type Update struct {
	Strategy       string       `json:"strategy,omitempty" enum:"rolling,recreate,onDelete"`
	MaxSurge       IntOrPercent `json:"maxSurge,omitempty"`
	MaxUnavailable IntOrPercent `json:"maxUnavailable,omitempty"`
	// MinReady is how long a replica must be ready to count.
	MinReady Duration `json:"minReady,omitempty"`
	// ProgressDeadline is how long a rollout may stand still.
	ProgressDeadline Duration `json:"progressDeadline,omitempty" default:"10m"`
}

// Disruption bounds voluntary disruptions (PodDisruptionBudget).
type Disruption struct {
	MinAvailable   IntOrPercent `json:"minAvailable,omitempty" oneof:"bound"`
	MaxUnavailable IntOrPercent `json:"maxUnavailable,omitempty" oneof:"bound"`
}

// Scheduling says on which nodes replicas may run.
type Scheduling struct {
	NodeSelector  map[string]string `json:"nodeSelector,omitempty"`
	Tolerations   []Toleration      `json:"tolerations,omitempty" merge:"atomic"`
	Spread        []Spread          `json:"spread,omitempty" merge:"key=over"`
	Architectures []string          `json:"architectures,omitempty" merge:"set"`
	PriorityClass string            `json:"priorityClass,omitempty"`
}

// Toleration is a taint that replicas tolerate, as in Kubernetes.
type Toleration struct {
	Key      string   `json:"key,omitempty"`
	Operator string   `json:"operator,omitempty" enum:"Exists,Equal"`
	Value    string   `json:"value,omitempty"`
	Effect   string   `json:"effect,omitempty" enum:"NoSchedule,PreferNoSchedule,NoExecute"`
	Duration Duration `json:"duration,omitempty"`
}

// Spread distributes replicas over zones, nodes, or the values of a node
// label.
type Spread struct {
	Over     string `json:"over"` // zone, node, or a label key
	MaxSkew  int    `json:"maxSkew,omitempty" default:"1"`
	Required bool   `json:"required,omitempty"`
}

// SecurityLevel is a level of the Pod Security Standards.
type SecurityLevel string

// The levels, the strictest first.
const (
	LevelRestricted SecurityLevel = "restricted"
	LevelBaseline   SecurityLevel = "baseline"
	LevelPrivileged SecurityLevel = "privileged"
)

// Security says as whom and with which rights containers run. Level,
// FSGroup, SupplementalGroups and the Host fields belong to the component,
// the others to each container.
type Security struct {
	Level                  SecurityLevel `json:"level,omitempty" enum:"restricted,baseline,privileged" default:"restricted"`
	RunAsUser              *int64        `json:"runAsUser,omitempty"`
	RunAsGroup             *int64        `json:"runAsGroup,omitempty"`
	FSGroup                *int64        `json:"fsGroup,omitempty"`
	SupplementalGroups     []int64       `json:"supplementalGroups,omitempty" merge:"set"`
	ReadOnlyRootFilesystem bool          `json:"readOnlyRootFilesystem,omitempty"`
	AllowEscalation        bool          `json:"allowPrivilegeEscalation,omitempty"`
	Privileged             bool          `json:"privileged,omitempty"`
	// Capabilities are added; under restricted all others are dropped.
	Capabilities []string `json:"capabilities,omitempty" merge:"set"`
	// Seccomp is RuntimeDefault, Unconfined, or a localhost profile's path.
	Seccomp     string            `json:"seccomp,omitempty"`
	Sysctls     map[string]string `json:"sysctls,omitempty"`
	HostNetwork bool              `json:"hostNetwork,omitempty"`
	HostPID     bool              `json:"hostPID,omitempty"`
	HostIPC     bool              `json:"hostIPC,omitempty"`
}

// Hooks are commands in the component's container around the copying of its
// volumes.
type Hooks struct {
	Quiesce *Hook `json:"quiesce,omitempty" merge:"atomic"`
	Resume  *Hook `json:"resume,omitempty" merge:"atomic"`
	Dump    *Hook `json:"dump,omitempty" merge:"atomic"`
	Restore *Hook `json:"restore,omitempty" merge:"atomic"`
}

// Hook is one command.
type Hook struct {
	Command []string `json:"command" merge:"atomic"`
	// Session keeps a quiesce running until its input is closed.
	Session bool     `json:"session,omitempty"`
	Limit   Duration `json:"limit,omitempty"`
	// Volumes are those that a dump replaces or a restore fills.
	Volumes []string `json:"volumes,omitempty" merge:"set"`
}

// Job is how a job, or each run of a cron, ends.
type Job struct {
	Retries     *int     `json:"retries,omitempty" default:"6"`
	Deadline    Duration `json:"deadline,omitempty"`
	Completions int      `json:"completions,omitempty" default:"1"`
	Parallelism int      `json:"parallelism,omitempty" default:"1"`
	// Runs says when a job of an application runs.
	Runs string   `json:"runs,omitempty" enum:"onChange,eachRelease,manual" default:"onChange"`
	TTL  Duration `json:"ttl,omitempty"`
}

// Cron is when a cron runs.
type Cron struct {
	Schedule         string   `json:"schedule"`
	TimeZone         string   `json:"timeZone,omitempty"`
	Concurrency      string   `json:"concurrency,omitempty" enum:"Allow,Forbid,Replace" default:"Allow"`
	StartingDeadline Duration `json:"startingDeadline,omitempty"`
	Suspend          bool     `json:"suspend,omitempty"`
	SuccessHistory   *int     `json:"successHistory,omitempty" default:"3"`
	FailureHistory   *int     `json:"failureHistory,omitempty" default:"1"`
}

// Function is how a function serves requests.
type Function struct {
	Concurrency int      `json:"concurrency,omitempty"`
	Timeout     Duration `json:"timeout,omitempty"`
	Idle        Duration `json:"idle,omitempty"`
}

// External is something that runs elsewhere: addresses, or one DNS name.
type External struct {
	Hosts []string `json:"hosts" merge:"set"`
}

// Chart is a Helm chart, which is read and merged, and not rendered yet: package
// deploy refuses it, and validation warns of it.
type Chart struct {
	Repository  string `json:"repository,omitempty"`
	Name        string `json:"name"`
	Version     string `json:"version"`
	Digest      string `json:"digest,omitempty"`
	Values      JSON   `json:"values,omitempty"`
	CRDs        string `json:"crds,omitempty" enum:"install,skip" default:"install"`
	Interpolate bool   `json:"interpolate,omitempty"`
}

// RawObject is a Kubernetes object as it is.
type RawObject struct {
	Manifest    JSON `json:"manifest"`
	Interpolate bool `json:"interpolate,omitempty"`
}
