package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/appspan-dev/appspan"
)

// seal computes the hash of a cluster's part.
func (c *ClusterPlan) seal() error {
	data, err := json.Marshal([]any{c.Cluster, c.UID, c.Abilities, c.From, c.Revision, c.Recycled, c.Changes})
	sum := sha256.Sum256(data)
	c.Hash = hex.EncodeToString(sum[:])
	return err
}

// finish seals the intent and computes the plan's hash.
func (p *Plan) finish(d *Deployer) error {
	plain, err := json.Marshal(p.intent)
	if err != nil {
		return err
	}
	packed, err := pack(json.RawMessage(plain))
	if err != nil {
		return err
	}
	if p.Sealed, err = d.opts.Keys.Seal(packed, p.context()); err != nil {
		return err
	}
	p.Hash, err = p.root(d, plain)
	return err
}

// root is the plan's hash. The digest of the intent is keyed and not in the
// plan, so that nobody without the keys makes the hash of another plan.
func (p *Plan) root(d *Deployer, plain []byte) (string, error) {
	parts := []any{p.Kind, p.Application, p.Installation, p.Target, d.opts.Keys.Digest("deploy intent", plain)}
	for _, c := range p.Clusters {
		parts = append(parts, c.Cluster, c.Hash)
	}
	data, err := json.Marshal(parts)
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), err
}

// verify checks that a stored plan is the one that was made: its target and
// its changes are not sealed, and are what was authorized and approved.
func (p *Plan) verify(d *Deployer, plain []byte) error {
	sealed := true
	for _, c := range p.Clusters {
		if c.Hash == "" { // it did not answer
			sealed = sealed && c.State != ClusterPlanned
			continue
		}
		was := c.Hash
		if err := c.seal(); err != nil {
			return err
		}
		sealed = sealed && c.Hash == was
	}
	root, err := p.root(d, plain)
	if err != nil {
		return err
	}
	if !sealed || root != p.Hash {
		return fmt.Errorf("plan of %s: %w: it was changed after it was made; plan again", p.Application, appspan.ErrCorrupt)
	}
	return nil
}

func (p *Plan) context() []byte {
	return []byte("plan\x00" + string(p.Kind) + "\x00" + p.Installation + "\x00" + p.Application + "\x00" + p.Target.Namespace)
}

// open reads the intent of a plan that was stored.
func (p *Plan) open(d *Deployer) error {
	if p.intent != nil {
		return nil
	}
	packed, err := d.opts.Keys.Open(p.Sealed, p.context())
	if err != nil {
		return fmt.Errorf("plan of %s: %w", p.Application, err)
	}
	var plain json.RawMessage
	if err := unpack(packed, &plain); err != nil {
		return fmt.Errorf("plan of %s: %w", p.Application, err)
	}
	in := &intent{}
	if err := json.Unmarshal(plain, in); err != nil {
		return fmt.Errorf("plan of %s: %w: %w", p.Application, appspan.ErrCorrupt, err)
	}
	if err := in.check("plan of "+p.Application, intentFormat); err != nil {
		return err
	}
	if err := p.verify(d, plain); err != nil {
		return err
	}
	p.intent = in
	return nil
}
