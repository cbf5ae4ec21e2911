package appmodel

// ComponentKind says what a component is.
type ComponentKind string

// The kinds of components.
const (
	KindService  ComponentKind = "service"
	KindStateful ComponentKind = "stateful"
	KindDaemon   ComponentKind = "daemon"
	KindJob      ComponentKind = "job"
	KindCron     ComponentKind = "cron"
	KindFunction ComponentKind = "function"
	KindExternal ComponentKind = "external"
	KindChart    ComponentKind = "chart"
	KindObjects  ComponentKind = "objects"
)

// HasPods reports whether a component of this kind runs containers of ours.
func (k ComponentKind) HasPods() bool {
	switch k {
	case KindService, KindStateful, KindDaemon, KindJob, KindCron, KindFunction:
		return true
	}
	return false
}

// Component is one part of an application. Its ID is for life: another id is
// another component.
type Component struct {
	ID          string        `json:"id"`
	DisplayName string        `json:"displayName,omitempty"`
	Description string        `json:"description,omitempty"`
	Kind        ComponentKind `json:"kind" enum:"service,stateful,daemon,job,cron,function,external,chart,objects"`
	// Enabled false leaves the component out.
	Enabled *bool `json:"enabled,omitempty" default:"true"`
	// Optional: its failure makes the application degraded, not failed.
	Optional bool `json:"optional,omitempty"`
	// Placed "apart" lets the component go elsewhere than its application.
	Placed      string            `json:"placed,omitempty" enum:"together,apart" default:"together"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	Container
	// Source says how the image was made; nothing is built here.
	Source    *Source    `json:"source,omitempty" merge:"atomic"`
	ImagePull *ImagePull `json:"imagePull,omitempty"`

	Needs    []Need    `json:"needs,omitempty" merge:"key=name"`
	Provides []Item    `json:"provides,omitempty" merge:"key=name"`
	Ports    []Port    `json:"ports,omitempty" merge:"key=port+protocol"`
	Aliases  []string  `json:"aliases,omitempty" merge:"set"`
	Monitors []Monitor `json:"monitors,omitempty" merge:"key=port+path"`

	Volumes        []Volume         `json:"volumes,omitempty" merge:"key=name"`
	InitContainers []NamedContainer `json:"initContainers,omitempty" merge:"key=name,ordered"`
	Sidecars       []NamedContainer `json:"sidecars,omitempty" merge:"key=name,ordered"`

	Scale          *Scale          `json:"scale,omitempty"`
	Update         *Update         `json:"update,omitempty"`
	Disruption     *Disruption     `json:"disruption,omitempty"`
	Scheduling     *Scheduling     `json:"scheduling,omitempty"`
	ServiceAccount *ServiceAccount `json:"serviceAccount,omitempty"`
	Hooks          *Hooks          `json:"hooks,omitempty"`

	Job      *Job        `json:"job,omitempty"`
	Cron     *Cron       `json:"cron,omitempty"`
	Function *Function   `json:"function,omitempty"`
	External *External   `json:"external,omitempty"`
	Chart    *Chart      `json:"chart,omitempty"`
	Objects  []RawObject `json:"objects,omitempty" merge:"key=manifest"`

	Kubernetes *Kubernetes `json:"kubernetes,omitempty"`
	Extensions Extensions  `json:"extensions,omitempty"`
}

// IsEnabled reports whether the component takes part.
func (c *Component) IsEnabled() bool { return c.Enabled == nil || *c.Enabled }

// Source says how an image was made.
type Source struct {
	Git   string `json:"git,omitempty"`
	Ref   string `json:"ref,omitempty"`
	Build *Build `json:"build,omitempty"`
}

// Build is the recipe of an image within its source.
type Build struct {
	Context    string            `json:"context,omitempty"`
	Dockerfile string            `json:"dockerfile,omitempty"`
	Target     string            `json:"target,omitempty"`
	Args       map[string]string `json:"args,omitempty"`
}

// ImagePull says when images are pulled and with which secrets (names of
// secrets of type registry).
type ImagePull struct {
	Policy  string   `json:"policy,omitempty" enum:"Always,IfNotPresent,Never"`
	Secrets []string `json:"secrets,omitempty" merge:"set"`
}

// Container is what the main container, sidecars and init containers share.
type Container struct {
	Image      string     `json:"image,omitempty"`
	Command    []string   `json:"command,omitempty" merge:"atomic"`
	Args       []string   `json:"args,omitempty" merge:"atomic"`
	WorkingDir string     `json:"workingDir,omitempty"`
	EnvFrom    []EnvFrom  `json:"envFrom,omitempty" merge:"key=config+secret+prefix,ordered"`
	Env        []Env      `json:"env,omitempty" merge:"key=name,ordered"`
	Files      []File     `json:"files,omitempty" merge:"key=path"`
	Mounts     []Mount    `json:"mounts,omitempty" merge:"key=path"`
	Probes     *Probes    `json:"probes,omitempty"`
	Resources  *Resources `json:"resources,omitempty"`
	Lifecycle  *Lifecycle `json:"lifecycle,omitempty"`
	Security   *Security  `json:"security,omitempty"`
	Stdin      bool       `json:"stdin,omitempty"`
	TTY        bool       `json:"tty,omitempty"`
}

// NamedContainer is a sidecar or an init container.
type NamedContainer struct {
	Name string `json:"name"`
	Container
	// Native false makes a sidecar a plain container; by default it is a
	// native one (KEP-753) from Kubernetes 1.29 on.
	Native *bool `json:"native,omitempty" default:"true"`
}

// EnvFrom injects a whole group of items as environment.
type EnvFrom struct {
	Config string `json:"config,omitempty" oneof:"source"`
	Secret string `json:"secret,omitempty" oneof:"source"`
	Prefix string `json:"prefix,omitempty"`
}

// Env is one environment variable: a literal Value (in which $(NAME) means
// what it means in Kubernetes), a Template, or ValueFrom. A literal may be
// empty.
type Env struct {
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Value       string     `json:"value,omitempty" oneof:"value"`
	Template    string     `json:"template,omitempty" oneof:"value"`
	ValueFrom   *ValueFrom `json:"valueFrom,omitempty" oneof:"value" merge:"atomic"`
}

// ValueFrom takes a value from the pod, its resources, or an item of a group.
type ValueFrom struct {
	Field    string   `json:"field,omitempty" oneof:"from"`    // metadata.name, status.podIP, …
	Resource string   `json:"resource,omitempty" oneof:"from"` // limits.memory, requests.cpu, …
	Config   *ItemRef `json:"config,omitempty" oneof:"from"`
	Secret   *ItemRef `json:"secret,omitempty" oneof:"from"`
	Optional bool     `json:"optional,omitempty"`
}

// ItemRef names an item of a config or secret group.
type ItemRef struct {
	Name string `json:"name"`
	Item string `json:"item"`
}

// File is one file, mounted alone. A content may be empty.
type File struct {
	Path        string   `json:"path"`
	Description string   `json:"description,omitempty"`
	Content     string   `json:"content,omitempty" oneof:"content"`
	Base64      string   `json:"base64,omitempty" oneof:"content"`
	Template    string   `json:"template,omitempty" oneof:"content"`
	Config      *ItemRef `json:"config,omitempty" oneof:"content" merge:"atomic"`
	Secret      *ItemRef `json:"secret,omitempty" oneof:"content" merge:"atomic"`
	Mode        string   `json:"mode,omitempty" default:"0644"` // octal
	// Reload "none": a change does not restart the pods.
	Reload string `json:"reload,omitempty" enum:"restart,none" default:"restart"`
}

// Mount is a path in one container at which a volume is seen.
type Mount struct {
	Path     string `json:"path"`
	Volume   string `json:"volume"`
	SubPath  string `json:"subPath,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Need is a dependency. It injects nothing by itself; Prefix does, and
// ${need.…} in a template.
type Need struct {
	// Name is the key; by default it is Component.
	Name string `json:"name,omitempty"`
	// Component names the provider, in Application if that is set, of Team if
	// that is set.
	Component   string    `json:"component,omitempty" oneof:"end"`
	Open        *OpenNeed `json:"open,omitempty" oneof:"end" merge:"atomic"`
	Application string    `json:"application,omitempty"`
	Team        string    `json:"team,omitempty"`
	// Port is the provider's port, by name or number, where it has several.
	Port PortRef `json:"port,omitempty"`
	// Prefix, if not nil, injects host, port and all provided names into the
	// main container in upper case behind it; "" is a prefix too.
	Prefix *string `json:"prefix,omitempty"`
	// Condition orders first start, start and restore.
	Condition string `json:"condition,omitempty" enum:"none,started,ready,completed" default:"none"`
	Optional  bool   `json:"optional,omitempty"`
	// Via forces how a provider on another cluster is reached.
	Via string `json:"via,omitempty" enum:"auto,service,route" default:"auto"`
}

// OpenNeed leaves the other end to the installation.
type OpenNeed struct {
	Type string   `json:"type"`
	Keys []string `json:"keys,omitempty" merge:"set"`
}

// Protocol is the transport of a port.
type Protocol string

// The protocols.
const (
	TCP  Protocol = "TCP"
	UDP  Protocol = "UDP"
	SCTP Protocol = "SCTP"
)

// Access says who in the cluster may connect to a port.
type Access string

// The levels of access, the narrowest first.
const (
	AccessNone        Access = "none"        // probes, monitors and routes only
	AccessNeeds       Access = "needs"       // declared needs only
	AccessApplication Access = "application" // the default
	AccessTeam        Access = "team"
	AccessAny         Access = "any"
)

// Port is a port on which the component's process listens.
type Port struct {
	// Name is a handle; references take it or the number.
	Name string `json:"name,omitempty"`
	Port int    `json:"port"`
	// ServicePort is what others in the cluster connect to; zero is Port.
	ServicePort int      `json:"servicePort,omitempty"`
	Protocol    Protocol `json:"protocol,omitempty" enum:"TCP,UDP,SCTP" default:"TCP"`
	AppProtocol string   `json:"appProtocol,omitempty"`
	Access      Access   `json:"access,omitempty" enum:"none,needs,application,team,any" default:"application"`
}

// Number is what others in the cluster connect to.
func (p Port) Number() int {
	if p.ServicePort != 0 {
		return p.ServicePort
	}
	return p.Port
}

// Monitor is an endpoint that serves metrics.
type Monitor struct {
	Port     PortRef  `json:"port"`
	Path     string   `json:"path,omitempty" default:"/metrics"`
	Interval Duration `json:"interval,omitempty"`
}

// ServiceAccount is the identity of the component's pods.
type ServiceAccount struct {
	Name        string            `json:"name,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Token mounts a token of the API server into the pods.
	Token bool `json:"token,omitempty"`
}

// Kubernetes pins what exists already, for imported and adopted workloads.
type Kubernetes struct {
	Names    *KubernetesNames  `json:"names,omitempty"`
	Selector map[string]string `json:"selector,omitempty" merge:"atomic"`
	// Workload is the kind of the workload where it is not the usual one.
	Workload string `json:"workload,omitempty"`
	// Defaults "none" keeps everything of ours out of the pod template.
	Defaults string `json:"defaults,omitempty" enum:"none"`
	// Security "pod": the user, the group and the seccomp profile of the
	// component's security stand in the security context of the pod, so that
	// all its containers have them, and not in that of the main container.
	Security string `json:"security,omitempty" enum:"pod"`
}

// KubernetesNames are names of objects that exist. A stateful component whose
// Service and Headless are one name has one Service, the headless one.
type KubernetesNames struct {
	Workload       string `json:"workload,omitempty"`
	Service        string `json:"service,omitempty"`
	Headless       string `json:"headless,omitempty"`
	Container      string `json:"container,omitempty"`
	ServiceAccount string `json:"serviceAccount,omitempty"`
	Autoscaler     string `json:"autoscaler,omitempty"` // HorizontalPodAutoscaler
	Disruption     string `json:"disruption,omitempty"` // PodDisruptionBudget
}
