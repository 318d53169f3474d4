package resolver

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/sources"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/trust"
)

// errNoDigest is matched by errors about digests that are none.
var errNoDigest = errors.New("invalid digest")

// kinds are the errors of this project and containerd's of the same meaning.
// One source's failure outweighs that another lacks the content: it might be
// had later.
var kinds = []struct{ ours, theirs error }{
	{context.Canceled, nil},
	{ref.ErrInvalidName, errdefs.ErrInvalidArgument},
	{trust.ErrUntrusted, errdefs.ErrPermissionDenied},
	{errNoDigest, errdefs.ErrInvalidArgument},
	{ipfs.ErrUnavailable, errdefs.ErrUnavailable},
	{context.DeadlineExceeded, errdefs.ErrUnavailable},
	{sources.ErrPanic, errdefs.ErrInternal},
	{oci.ErrCorrupt, errdefs.ErrDataLoss},
	{oci.ErrNotFound, errdefs.ErrNotFound},
}

// classified gives err the kind by which containerd knows it.
func classified(err error) error {
	for _, k := range kinds {
		if errors.Is(err, k.ours) {
			if k.theirs == nil {
				return err
			}
			return &kindError{err, k.theirs}
		}
	}
	return err
}

// kindError has the text of err and matches kind as well.
type kindError struct{ err, kind error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }
