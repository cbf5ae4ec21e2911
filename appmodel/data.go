package appmodel

// Config is a group of configuration items.
type Config struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Items       []Item `json:"items,omitempty" merge:"key=name"`
	// ObjectName is the name of the ConfigMap where it is pinned.
	ObjectName string `json:"objectName,omitempty"`
}

// Item is a named value: literal (perhaps empty) or a template.
type Item struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Value       string `json:"value,omitempty" oneof:"value"`
	Template    string `json:"template,omitempty" oneof:"value"`
}

// SecretType says what a secret group is for.
type SecretType string

// The types of secret groups.
const (
	SecretOpaque    SecretType = "opaque"
	SecretRegistry  SecretType = "registry"
	SecretTLS       SecretType = "tls"
	SecretBasicAuth SecretType = "basicAuth"
	SecretSSH       SecretType = "ssh"
)

// Secret is a group of secret items: the only place where a secret value may
// stand.
type Secret struct {
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Type        SecretType   `json:"type,omitempty" enum:"opaque,registry,tls,basicAuth,ssh" default:"opaque"`
	Items       []SecretItem `json:"items,omitempty" merge:"key=name"`
	// Existing is a Secret of the namespace that is used and never written.
	Existing   string `json:"existing,omitempty"`
	ObjectName string `json:"objectName,omitempty"`
}

// SecretItem is one secret value.
type SecretItem struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Generate    *Generate `json:"generate,omitempty" oneof:"value" merge:"atomic"`
	Template    string    `json:"template,omitempty" oneof:"value"`
	Value       Sensitive `json:"value,omitzero" oneof:"value"`
}

// Generate makes a value once for an installation, and keeps it.
type Generate struct {
	Format string `json:"format,omitempty" enum:"alphanumeric,hex,base64,uuid,numeric" default:"alphanumeric"`
	Length int    `json:"length,omitempty" default:"24"` // characters; 8 to 1024
	// Scope "cluster" makes one for each cluster.
	Scope string `json:"scope,omitempty" enum:"installation,cluster" default:"installation"`
}

// VolumeKind says where a volume's bytes live.
type VolumeKind string

// The kinds of volumes.
const (
	VolumePersistent VolumeKind = "persistent"
	VolumeEphemeral  VolumeKind = "ephemeral"
	VolumeMemory     VolumeKind = "memory"
	VolumeHost       VolumeKind = "host"
	VolumeConfig     VolumeKind = "config"
	VolumeSecret     VolumeKind = "secret"
)

// DataClass says what a volume holds, and so whether it is backed up and
// kept on removal (database and files are).
type DataClass string

// The classes of data.
const (
	DataDatabase DataClass = "database"
	DataFiles    DataClass = "files"
	DataLogs     DataClass = "logs"
	DataCache    DataClass = "cache"
)

// Volume is data with a name. A new mount path keeps the data.
type Volume struct {
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Kind        VolumeKind `json:"kind" enum:"persistent,ephemeral,memory,host,config,secret"`
	Size        Quantity   `json:"size,omitempty"`
	// AccessMode defaults to ReadWriteOnce, ReadWriteMany where several pods
	// may mount the volume.
	AccessMode   string `json:"accessMode,omitempty" enum:"ReadWriteOnce,ReadOnlyMany,ReadWriteMany,ReadWriteOncePod"`
	StorageClass string `json:"storageClass,omitempty"`
	// Scope "replica" (default of stateful) gives each replica its own.
	Scope    string    `json:"scope,omitempty" enum:"replica,component"`
	Data     DataClass `json:"data,omitempty" enum:"database,files,logs,cache"`
	Backup   *bool     `json:"backup,omitempty"`
	OnRemove string    `json:"onRemove,omitempty" enum:"keep,delete"`
	HostPath string    `json:"hostPath,omitempty"`
	Config   string    `json:"config,omitempty"`
	Secret   string    `json:"secret,omitempty"`
	// Mode of the files of a config or secret volume, octal.
	Mode string `json:"mode,omitempty"`
	// Claim takes over a PersistentVolumeClaim that exists.
	Claim string `json:"claim,omitempty"`
}

// Keeps reports whether the volume's data outlives the removal of its
// application or component by default.
func (v Volume) Keeps() bool {
	if v.Kind != VolumePersistent {
		return false
	}
	switch v.OnRemove {
	case "keep":
		return true
	case "delete":
		return false
	}
	return v.Data != DataLogs && v.Data != DataCache
}
