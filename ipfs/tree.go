package ipfs

import (
	"context"
	"strings"
)

// AddTree puts the directories above files, given by slash-separated paths, on
// IPFS and gives the link to the uppermost.
func AddTree(ctx context.Context, p Putter, files map[string]Link) (Link, error) {
	entries := map[string]Link{}
	below := map[string]map[string]Link{}
	for path, f := range files {
		name, rest, nested := strings.Cut(path, "/")
		if !nested {
			entries[name] = f
			continue
		}
		if below[name] == nil {
			below[name] = map[string]Link{}
		}
		below[name][rest] = f
	}
	for name, inside := range below {
		dir, err := AddTree(ctx, p, inside)
		if err != nil {
			return Link{}, err
		}
		entries[name] = dir
	}
	return AddDirectory(ctx, p, entries)
}
