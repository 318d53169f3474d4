package layout

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Claims lists the manifests that say of themselves, by their subject or by one of
// cosign's tags under any repository, that they belong to another, which need not be
// there. The order is the same each time. Errors are those of [Names.Referrers].
func (n *Names) Claims(ctx context.Context) ([]registry.Claim, error) {
	table, err := n.referrers(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing what refers to images: %w", err)
	}
	var all []registry.Claim
	for _, subject := range slices.Sorted(maps.Keys(table.of)) {
		for _, desc := range table.of[subject] {
			all = append(all, registry.Claim{Descriptor: desc, Subject: subject})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.byTag)) {
		tag, ok := oci.ParseReferrerTag(name)
		if !ok || tag.Suffix == "" { // that of an index, whose entries have subjects
			continue
		}
		for _, e := range n.byTag[name] {
			all = append(all, registry.Claim{Descriptor: e.Descriptor, Tag: tag})
		}
	}
	slices.SortStableFunc(all, func(a, b registry.Claim) int { return cmp.Compare(a.About(), b.About()) })
	return all, nil
}
