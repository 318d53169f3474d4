package pull

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// File is a docker archive that lies as a single file on IPFS.
type File struct {
	Size int64 // bytes

	from ipfs.Getter
	root cid.Cid
}

// OpenFile looks at a root that is no layout. Errors are those of
// [ipfs.FileSize].
func OpenFile(ctx context.Context, from ipfs.Getter, root cid.Cid) (*File, error) {
	size, err := ipfs.FileSize(ctx, from, root)
	if err != nil {
		return nil, err
	}
	return &File{Size: size, from: from, root: root}, nil
}

// To brings the archive to a dockerd or into a file. Whether it is an archive is
// seen by who loads it. For other targets the error matches [ErrTarget].
func (f *File) To(ctx context.Context, to Target) (err error) {
	write := func(w io.Writer) error {
		file, err := ipfs.OpenFile(ctx, f.from, f.root, ahead)
		if err != nil {
			return err
		}
		_, err = file.WriteTo(w)
		return errors.Join(err, file.Close())
	}
	switch to := to.(type) {
	case *Docker:
		return to.Load(ctx, write)
	case Archive:
		if to.Docker {
			return to.Write(ctx, write)
		}
	}
	return fmt.Errorf("%w: %s is one file, not an image layout: pull it with --to docker or --to docker-archive:FILE, or publish that", ErrTarget, ref.Ciq(f.root))
}
