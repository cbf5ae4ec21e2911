package deploy

import "github.com/appspan-dev/appspan"

// For returns a view of the Keeper that acts as subject. What is kept goes on
// being kept by the Keeper that runs.
func (k *Keeper) For(subject appspan.Subject) *Keeper {
	return &Keeper{deployer: k.deployer.For(subject), records: k.records, opts: k.opts}
}
