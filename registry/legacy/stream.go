package legacy

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// ErrLayout is matched by errors about roots that are OCI layouts, and need no
// conversion.
var ErrLayout = errors.New("an OCI layout already")

// OpenToConvert opens the tree under root to be published anew; how large its
// layers are when they are unpacked, which takes long to find out, is left open.
// Errors match [ErrLayout] for an OCI layout, [ipfs.ErrNotFound] for what is
// neither, or those of g.
func OpenToConvert(ctx context.Context, g ipfs.Getter, root cid.Cid) (*Tree, error) {
	_, err := ipfs.OpenLayout(ctx, g, root)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s is %w: pull it as it is", ref.Ciq(root), ErrLayout)
	case !errors.Is(err, ipfs.ErrNoLayout):
		return nil, err
	}
	tree, err := Open(ctx, g, root, func(ctx context.Context, c cid.Cid) (int64, error) {
		n, _, err := QuickSize(ctx, g, c)
		return max(n, 1), err
	})
	if errors.Is(err, ipfs.ErrNotFound) {
		return nil, fmt.Errorf("%s is neither an OCI layout nor what older versions published: %w", ref.Ciq(root), err)
	}
	return tree, err
}

// Stream is a tree being read as the archive that [Tree.WriteArchive] writes. It
// must be closed.
type Stream struct {
	*io.PipeReader
	err  error
	done chan struct{}
}

// Stream starts to write the archive.
func (t *Tree) Stream(ctx context.Context) *Stream {
	r, w := io.Pipe()
	s := &Stream{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		err := t.WriteArchive(ctx, w)
		if err != nil && !errors.Is(err, io.ErrClosedPipe) { // closed: the reader has a reason of its own
			s.err = err
		}
		w.CloseWithError(err)
	}()
	return s
}

// Close ends the writing and waits for that.
func (s *Stream) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}

// Cause is why the writing failed, after Close; nil when it did not. Who reads the
// archive may have wrapped it as a fault of archives.
func (s *Stream) Cause() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}
