package storage

import (
	"encoding/json"
	"fmt"

	"github.com/appspan-dev/appspan"
)

// Envelope is what every stored document begins with: embed it. Format is the
// version of the format, and MinReader the oldest version whose readers
// understand the document.
type Envelope struct {
	Format    int `json:"format"`
	MinReader int `json:"minReader"`
}

// Decode reads a stored JSON document into v for a program that knows formats
// up to known. A document that needs a newer program is
// appspan.ErrUnsupported: leave it as it is. What is no such document is
// appspan.ErrCorrupt.
func Decode(data []byte, known int, v any) error {
	var e Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	if e.Format < 1 || e.MinReader < 1 {
		return fmt.Errorf("%w: it has no format", appspan.ErrCorrupt)
	}
	if e.MinReader > known {
		return fmt.Errorf("%w: it is of format %d and needs a program that knows format %d; this one knows %d: update it", appspan.ErrUnsupported, e.Format, e.MinReader, known)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	return nil
}
