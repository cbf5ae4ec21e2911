package appmodel

// Route lets something outside the cluster in; one of HTTP, TCP, UDP, TLS.
type Route struct {
	ID          string            `json:"id"`
	DisplayName string            `json:"displayName,omitempty"`
	Enabled     *bool             `json:"enabled,omitempty" default:"true"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Class is an ingress class or a gateway ("namespace/name").
	Class      string       `json:"class,omitempty"`
	HTTP       *HTTPRoute   `json:"http,omitempty" oneof:"kind"`
	TCP        *StreamRoute `json:"tcp,omitempty" oneof:"kind"`
	UDP        *StreamRoute `json:"udp,omitempty" oneof:"kind"`
	TLS        *TLSRoute    `json:"tls,omitempty" oneof:"kind"`
	ObjectName string       `json:"objectName,omitempty"`
	Extensions Extensions   `json:"extensions,omitempty"`
}

// IsEnabled reports whether the route takes part.
func (r *Route) IsEnabled() bool { return r.Enabled == nil || *r.Enabled }

// HTTPRoute routes requests by host, path and more.
type HTTPRoute struct {
	// Hosts may hold ${…}; none is a host under each cluster's own domain.
	Hosts []string   `json:"hosts,omitempty" merge:"set"`
	TLS   *RouteTLS  `json:"tls,omitempty"`
	Rules []HTTPRule `json:"rules,omitempty" merge:"key=name,ordered"`
}

// RouteTLS says where the certificate comes from.
type RouteTLS struct {
	Issuer string `json:"issuer,omitempty" oneof:"certificate"` // of cert-manager
	Secret string `json:"secret,omitempty" oneof:"certificate"` // a secret group of type tls
}

// HTTPRule leads matching requests to components; its name is by default its
// path.
type HTTPRule struct {
	Name            string         `json:"name,omitempty"`
	Path            string         `json:"path,omitempty" default:"/"`
	Match           string         `json:"match,omitempty" enum:"prefix,exact,regex" default:"prefix"`
	Method          string         `json:"method,omitempty"`
	Headers         []Header       `json:"headers,omitempty" merge:"key=name"`
	Cookies         []Header       `json:"cookies,omitempty" merge:"key=name"`
	To              []Backend      `json:"to" merge:"key=component+port"`
	MaxBodySize     Quantity       `json:"maxBodySize,omitempty"`
	Timeouts        *RouteTimeouts `json:"timeouts,omitempty"`
	Rewrite         *Rewrite       `json:"rewrite,omitempty" merge:"atomic"`
	SessionAffinity string         `json:"sessionAffinity,omitempty" enum:"none,cookie,clientIP" default:"none"`
	WebSocket       bool           `json:"webSocket,omitempty"`
}

// RouteTimeouts bound a request.
type RouteTimeouts struct {
	Connect Duration `json:"connect,omitempty"`
	Request Duration `json:"request,omitempty"`
	Backend Duration `json:"backend,omitempty"`
}

// Rewrite changes what the component sees.
type Rewrite struct {
	Prefix string `json:"prefix,omitempty" oneof:"path"` // replaces the matched prefix
	Path   string `json:"path,omitempty" oneof:"path"`   // replaces the whole path
	Host   string `json:"host,omitempty"`
}

// Backend is a component's port, with a share of the requests. With several
// backends an absent weight is 1.
type Backend struct {
	Component string  `json:"component"`
	Port      PortRef `json:"port,omitempty"`
	Weight    *int    `json:"weight,omitempty"`
}

// StreamRoute is a TCP or UDP port to the outside.
type StreamRoute struct {
	Port   int       `json:"port"`
	To     []Backend `json:"to" merge:"key=component+port"`
	Expose string    `json:"expose,omitempty" enum:"auto,loadBalancer,nodePort,gateway" default:"auto"`
}

// TLSRoute passes TLS connections through by their server name.
type TLSRoute struct {
	Hosts []string  `json:"hosts,omitempty" merge:"set"`
	Port  int       `json:"port,omitempty" default:"443"`
	To    []Backend `json:"to" merge:"key=component+port"`
}
