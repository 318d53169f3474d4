package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/input"
	"github.com/image2ipfs/image2ipfs/ref"
)

// ErrAllowList is matched by errors about a list of images that makes no sense.
var ErrAllowList = errors.New("list of images that are served")

// ReadAllowList gives the roots that values name: each is a CID, a pull name, or a
// file with one on each line, where empty lines and those that begin with # say
// nothing. Errors match [ErrAllowList], also when no root is named, or those of
// reading files.
func ReadAllowList(ctx context.Context, values ...string) ([]cid.Cid, error) {
	var roots []cid.Cid
	for _, value := range values {
		if name, err := ref.ParseName(value); err == nil {
			roots = append(roots, name.Root)
			continue
		}
		listed, err := rootsInFile(ctx, value)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %q is neither a name with a CID in it nor a file", ErrAllowList, value)
		}
		if err != nil {
			return nil, err
		}
		roots = append(roots, listed...)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%w: it names no image: nothing would be served", ErrAllowList)
	}
	return roots, nil
}

// maxAllowList is how large a list may be, in bytes: half a million roots take it.
const maxAllowList = 64 << 20

func rootsInFile(ctx context.Context, file string) ([]cid.Cid, error) {
	data, err := input.ReadFile(ctx, file, maxAllowList)
	if err != nil {
		return nil, err
	}
	var roots []cid.Cid
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, err := ref.ParseName(line)
		if err != nil {
			return nil, fmt.Errorf("%w: %s, line %d: %w", ErrAllowList, file, number, err)
		}
		roots = append(roots, name.Root)
	}
	return roots, nil
}
