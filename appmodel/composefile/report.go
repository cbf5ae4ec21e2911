package composefile

import "github.com/appspan-dev/appspan/appmodel/fidelity"

// Status says what became of one leaf of a compose file.
type Status = fidelity.Status

// The statuses, the best first. Nothing of a compose file is raw.
const (
	StatusMapped      = fidelity.Mapped
	StatusImplied     = fidelity.Implied
	StatusDegraded    = fidelity.Degraded
	StatusUnsupported = fidelity.Unsupported
)

// Leaf is one scalar, alias, or empty collection of the file as its author
// wrote it.
type Leaf = fidelity.Leaf

// Report says what became of every leaf of a compose file. It holds no value
// of a secret.
type Report = fidelity.Report
