package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/klauspost/compress/zstd"
)

// The formats of what this package stores; see envelope.
const (
	intentFormat  = 1
	recordFormat  = 1
	releaseFormat = 1
)

// envelope stands in front of every stored document: a reader that is older
// than MinReader leaves the document alone.
type envelope struct {
	Format    int `json:"format"`
	MinReader int `json:"minReader"`
}

func (e envelope) check(what string, mine int) error {
	if e.MinReader > mine {
		return fmt.Errorf("%s: %w: written by a newer version (format %d); update this program", what, appspan.ErrUnsupported, e.Format)
	}
	return nil
}

// intent is what a plan or a release is meant to do: the unresolved
// application and all that resolves it. It holds secret values, and is only
// ever stored sealed.
type intent struct {
	envelope
	Kind PlanKind `json:"kind"`
	meaning
	// Resolved is the application with answers and overrides, under the name
	// "" for all clusters, or under that of each. A release leaves it out.
	Resolved map[string]resolvedIntent `json:"resolved,omitempty"`
	Adopt    bool                      `json:"adopt,omitempty"`
	DataLoss bool                      `json:"dataLoss,omitempty"`
	// FromRevision is, for a rollback, the release of each cluster.
	FromRevision map[string]int `json:"fromRevision,omitempty"`
	// Command is what is done to the application as it runs.
	Command *Command `json:"command,omitempty"`
	// Heal is all that is done, if it is set.
	Heal *healing `json:"heal,omitempty"`
	// Data says, for a removal, that data goes too.
	Data bool `json:"data,omitempty"`
	// Recycle says, for a removal, that it may be undone.
	Recycle bool `json:"recycle,omitempty"`

	resolved map[string]*layered // Resolved, as long as the plan is in memory
}

// meaning is what an application is made from.
type meaning struct {
	// Application is the unresolved application with its secrets.
	Application json.RawMessage `json:"application,omitempty"`
	// Answers are those that somebody gave, secret ones included.
	Answers   map[string]appmodel.JSON `json:"answers,omitempty"`
	Overrides []storedOverride         `json:"overrides,omitempty"`
	Yield     []Yield                  `json:"yield,omitempty"`
	// Environment is the one that it is deployed to, if it has one.
	Environment *storedEnvironment `json:"environment,omitempty"`
}

// means is what is meant for a cluster: a plan that begins with releases means
// on each what that one's did.
func (in *intent) means(clusterName string) *meaning {
	if r, ok := in.Resolved[clusterName]; ok && r.Meant != nil {
		return r.Meant
	}
	return &in.meaning
}

// sign is a keyed hash of what is meant for a cluster: a promotion, a copy and a
// recovery begin with that, so it is released also where no object changes.
func (d *Deployer) sign(m *meaning, app resolvedApplication) (string, error) {
	data, err := json.Marshal(struct {
		Meaning *meaning
		Images  map[string]string `json:",omitempty"`
		Bound   []boundNeed       `json:",omitempty"`
	}{m, app.images, app.bound})
	return d.opts.Keys.Digest("deploy meaning", data)[:32], err
}

// means reports whether that is meant which a signature is of. A record that has
// none does not know.
func (r *record) means(signature string) bool { return r.Meant == "" || r.Meant == signature }

// resolvedIntent is what runs on a cluster: the application with answers and
// overrides, the answers, and the images that take the place of others.
type resolvedIntent struct {
	Application json.RawMessage          `json:"application"`
	Params      map[string]appmodel.JSON `json:"params,omitempty"`
	Images      map[string]string        `json:"images,omitempty"`
	Bound       []boundNeed              `json:"bound,omitempty"`
	Lineage     *storedLineage           `json:"lineage,omitempty"`
	Meant       *meaning                 `json:"meant,omitempty"`
}

// encodeApplication writes an application with its secrets.
func encodeApplication(app *appmodel.Application) (json.RawMessage, error) {
	return appmodel.Encode(app, &appmodel.EncodeOptions{Secrets: true, JSON: true})
}

func decodeApplication(data []byte) (*appmodel.Application, error) {
	app, _, err := appmodel.Decode(data, nil)
	return app, err
}

// maxStored bounds what a stored document may unpack to.
const maxStored = 64 << 20

// pack compresses the JSON of v.
func pack(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)) // what is packed is small
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	return enc.EncodeAll(data, nil), nil
}

// unpack is the reverse of pack; what is damaged is appspan.ErrCorrupt.
func unpack(data []byte, v any) error {
	dec, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxMemory(maxStored), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	defer dec.Close()
	if err := json.NewDecoder(dec).Decode(v); err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	return nil
}
