package deploy

import (
	"context"
	"time"
)

// DataMover moves what volumes hold. It is declared here, where copies and
// later failovers ask for it, and implemented where data is kept; no package
// does so yet, and asking for data is appspan.ErrUnsupported until then.
type DataMover interface {
	// Latest is the newest snapshot of an application's data from which it can
	// be restored; appspan.ErrNotFound if there is none.
	Latest(ctx context.Context, of Source) (DataSnapshot, error)
	// Copy copies the data of volumes from one application to another one,
	// whose claims exist and whose components that mount them do not run. It
	// may be called again after any interruption, and then goes on.
	Copy(ctx context.Context, from, to Source, volumes []VolumeRef) error
	// Restore fills the volumes of an application from a snapshot, under the
	// same conditions.
	Restore(ctx context.Context, snapshot DataSnapshot, to Source, volumes []VolumeRef) error
}

// VolumeRef names a volume of an application; an empty component is one that
// several share.
type VolumeRef struct {
	Component string `json:"component,omitempty"`
	Volume    string `json:"volume"`
}

// DataSnapshot is a copy of an application's data as of a time.
type DataSnapshot struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
	// Volumes are those that it holds.
	Volumes []VolumeRef `json:"volumes,omitempty"`
}
