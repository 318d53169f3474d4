package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/image2ipfs/image2ipfs/internal/diskspace"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

const leastSpace = 100 << 20

// Store publishes the probe into a store in directory path and says whether
// that works. The probe is nil when it does not.
func Store(ctx context.Context, store ipfs.Store, path string) (*Probe, Check) {
	c := Check{Name: "store " + path, Status: Problem}
	probe, err := Publish(ctx, store)
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.Detail, c.Next = oneLine(err), "run it as the store's owner, or set IMAGE2IPFS_PATH to a directory of yours"
		return nil, c
	case errors.Is(err, syscall.ENOSPC):
		c.Detail, c.Next = oneLine(err), "make room on that disk, such as by image2ipfs rm of what is not needed and then image2ipfs gc, or choose another with IMAGE2IPFS_PATH"
		return nil, c
	case errors.Is(err, ipfs.ErrCorrupt), errors.Is(err, ipfs.ErrNotFound):
		c.Detail, c.Next = oneLine(err), "image2ipfs ls -q | xargs -n 1 image2ipfs verify   # and publish again what is damaged"
		return nil, c
	case err != nil:
		c.Detail, c.Next = oneLine(err), "see the message; IMAGE2IPFS_PATH chooses another directory"
		return nil, c
	}
	roots, err := store.Roots(ctx)
	if err != nil {
		c.Detail = oneLine(err)
		return probe, c
	}
	n := len(roots) - 1 // the nonce
	if !probe.before {
		n--
	}
	free, err := diskspace.Free(path)
	if err != nil {
		c.Detail = "free space: " + oneLine(err)
		return probe, c
	}
	c.Detail = fmt.Sprintf("opens and takes images, %d published, %.1f GB free", n, float64(free)/1e9)
	if free < leastSpace {
		c.Detail = fmt.Sprintf("too little room: %.2f GB free; %d published", float64(free)/1e9, n)
		c.Next = "make room: image2ipfs rm what is not needed, then image2ipfs gc"
		return probe, c
	}
	c.Status = OK
	return probe, c
}
