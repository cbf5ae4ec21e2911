package appmodel

// The apiVersion that this package writes, and the kinds of documents.
const (
	APIVersion      = "appspan.dev/v1alpha1"
	KindApplication = "Application"
	KindOverride    = "Override"
	KindEnvironment = "Environment"
)

// Application says what an application is: its components, what they need of
// each other, and how they are reached. Where it runs, who owns it and whether
// it is stopped stand elsewhere.
//
// The struct tags of the model are its single source: `merge` says how a list
// or struct is merged (key=…: by identity; ordered: order has a meaning; set;
// atomic), `oneof` names the group of which one member may be set, `enum` and
// `default` what they say. The decoder, the JSON Schema, Diff and Merge read
// them.
type Application struct {
	APIVersion     string          `json:"apiVersion"`
	Kind           string          `json:"kind"`
	Metadata       Metadata        `json:"metadata"`
	Parameters     []Parameter     `json:"parameters,omitempty" merge:"key=name,ordered"`
	ParameterRules []ParameterRule `json:"parameterRules,omitempty" merge:"key=name"`
	Configs        []Config        `json:"configs,omitempty" merge:"key=name"`
	Secrets        []Secret        `json:"secrets,omitempty" merge:"key=name"`
	// Volumes are shared by the components that mount them.
	Volumes    []Volume    `json:"volumes,omitempty" merge:"key=name"`
	Components []Component `json:"components,omitempty" merge:"key=id"`
	Routes     []Route     `json:"routes,omitempty" merge:"key=id"`
	Patches    []Patch     `json:"patches,omitempty" merge:"key=id"`
	Policies   []Policy    `json:"policies,omitempty" merge:"key=path"`
	Extensions Extensions  `json:"extensions,omitempty"`
}

// Metadata names an application. The name belongs to the installation and is
// never merged.
type Metadata struct {
	Name        string            `json:"name"`
	DisplayName string            `json:"displayName,omitempty"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Extensions holds foreign data: keys are domain names, values any JSON, kept
// verbatim. 256 KiB at most; each value is replaced as a whole.
type Extensions map[string]JSON

// Parameter is one question to whoever installs the application.
type Parameter struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// Schema is a JSON Schema (2020-12) of the answer.
	Schema  JSON `json:"schema,omitempty" merge:"atomic"`
	Default JSON `json:"default,omitempty" merge:"atomic"`
	// Secret: the answer is sealed, and may be used where secrets may.
	Secret bool `json:"secret,omitempty"`
	// Sets are paths of typed fields that take the answer.
	Sets []string `json:"sets,omitempty" merge:"set"`
	// When is a CEL expression over params; false hides the parameter.
	When              string `json:"when,omitempty"`
	RequiredOnUpgrade bool   `json:"requiredOnUpgrade,omitempty"`
}

// ParameterRule is a CEL check over all answers.
type ParameterRule struct {
	Name    string `json:"name"`
	Check   string `json:"check"`
	Message string `json:"message,omitempty"`
}

// PolicyKind says whose value wins below a path.
type PolicyKind string

// The policies, the stricter first.
const (
	PolicyLocked    PolicyKind = "locked"    // the author's value; ours is reported as overruled
	PolicyExternal  PolicyKind = "external"  // ours; not compared and not sent after creation
	PolicyGenerated PolicyKind = "generated" // ours, kept
	PolicyDefault   PolicyKind = "default"   // ours once changed
)

// Policy is the author's word on everything below a path; the most specific
// path wins, at a tie the stricter policy.
type Policy struct {
	Path   string     `json:"path"`
	Policy PolicyKind `json:"policy" enum:"locked,default,generated,external"`
}

// Patch is a bounded edit of one rendered object.
type Patch struct {
	ID     string      `json:"id"`
	Target PatchTarget `json:"target"`
	// Apply is a partial object, merged as a server-side apply by the same
	// manager would.
	Apply JSON `json:"apply,omitempty"`
	// Remove lists paths of the rendered object.
	Remove []string `json:"remove,omitempty" merge:"set"`
}

// PatchTarget chooses the rendered object of a patch. Name is needed only
// where the others leave two.
type PatchTarget struct {
	Kind      string `json:"kind"`
	Component string `json:"component,omitempty"`
	Route     string `json:"route,omitempty"`
	Volume    string `json:"volume,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Override changes an application without repeating it. Set has the shape of
// an application with only what changes; Remove is done before Set.
type Override struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   Metadata     `json:"metadata"`
	Set        *OverrideSet `json:"set,omitempty"`
	Remove     []string     `json:"remove,omitempty" merge:"set"`
}

// OverrideSet is the part of an application that an Override may change: a
// partial document, kept as JSON because which fields are present is what it
// says. It is checked against the model when it is decoded.
type OverrideSet struct{ JSON }

// Environment says what of an application runs for whom and where.
type Environment struct {
	APIVersion  string          `json:"apiVersion"`
	Kind        string          `json:"kind"`
	Metadata    Metadata        `json:"metadata"`
	Application string          `json:"application"`
	Team        string          `json:"team,omitempty"`
	Answers     map[string]JSON `json:"answers,omitempty"`
	// Placement is a document of package deploy.
	Placement JSON          `json:"placement,omitempty"`
	Overrides []OverrideUse `json:"overrides,omitempty" merge:"atomic"`
	Bindings  []Binding     `json:"bindings,omitempty" merge:"key=component+need"`
}

// OverrideUse names an override and the clusters that it is for.
type OverrideUse struct {
	Use      string           `json:"use"`
	Clusters *ClusterSelector `json:"clusters,omitempty"`
}

// ClusterSelector chooses clusters by name or labels; both must hold.
type ClusterSelector struct {
	Names  []string          `json:"names,omitempty" merge:"set"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Binding leads an open need to a component that runs.
type Binding struct {
	Component string        `json:"component"`
	Need      string        `json:"need"`
	To        BindingTarget `json:"to"`
}

// BindingTarget is the other end of a [Binding].
type BindingTarget struct {
	Team        string `json:"team,omitempty"`
	Application string `json:"application"`
	Component   string `json:"component"`
}
