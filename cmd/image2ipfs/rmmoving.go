package main

import (
	"errors"
	"fmt"

	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
)

// errMeant is matched by errors about an image that a name which moves means.
var errMeant = errors.New("a name that moves means it")

// checkMoving refuses what a name that moves means whose key is here, with [errMeant],
// unless it is forced.
func (o *rmOptions) checkMoving(all stores, m local.Match) error {
	if o.force || m.Loose != nil || all.own == nil {
		return nil
	}
	store := names.NewStore(names.Dir(all.own.Path()))
	meant, err := store.Meant()
	if err != nil {
		return fmt.Errorf("finding what names that move mean, which stays (--force takes it all the same): %w", err)
	}
	name := meant[m.CID.KeyString()]
	if name == "" {
		return nil
	}
	what := m.Name.Repository
	if m.Name.Tag != "" {
		what += ":" + m.Name.Tag
	}
	if what == "" {
		what = ref.Ciq(m.CID)
	}
	keys, err := store.Keys()
	for _, k := range keys {
		if k.Name == name {
			return fmt.Errorf("%w: %s is what %s means, and nobody could pull that any more: have the name mean something else first (image2ipfs name publish %s IMAGE), take its key away (image2ipfs name rm %s), or take the image all the same with --force", errMeant, what, name, k.Alias, k.Alias)
		}
	}
	return errors.Join(fmt.Errorf("%w: %s is what %s means, whose key is damaged (image2ipfs doctor): take the image all the same with --force", errMeant, what, name), err)
}
