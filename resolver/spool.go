package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

// blobSource is a BlobSource and what is known of it.
type blobSource struct {
	BlobSource
	lie atomic.Pointer[error] // it gave false content; nil for never
}

// maxMemory is the largest blob that is held in memory while it is checked.
const maxMemory = 1 << 20

// spool takes a whole blob from a source and gives it out when size and digest
// are right. What is larger than [maxMemory] lies in a temporary file meanwhile.
func (r *Resolver) spool(ctx context.Context, from *blobSource, root cid.Cid, desc ocispec.Descriptor) (io.ReadSeekCloser, error) {
	if lie := from.lie.Load(); lie != nil {
		return nil, fmt.Errorf("%w: %s: not asked any more because it gave false content (%v)", ipfs.ErrUnavailable, from, *lie)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(r.idle, func() {
		cancel(fmt.Errorf("%w: %s: blob %s stands still for %s", ipfs.ErrUnavailable, from, desc.Digest, r.idle))
	})
	defer idle.Stop()
	body, err := from.Open(ctx, root, desc)
	if err != nil {
		return nil, why(ctx, err)
	}
	counted := &ticking{ReadCloser: body, timer: idle, idle: r.idle}
	checked := oci.VerifyReader(counted, desc)
	content, err := keep(checked, desc.Size)
	err = errors.Join(err, checked.Close())
	if err == nil {
		return content, nil
	}
	if content != nil {
		err = errors.Join(err, content.Close())
	}
	err = fmt.Errorf("%s: %w", from, err)
	if errors.Is(err, oci.ErrCorrupt) && counted.n < desc.Size { // how a body without a length breaks off
		return nil, fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
	}
	if errors.Is(err, oci.ErrCorrupt) {
		r.log.Warn("a source gave false content", "source", from, "digest", desc.Digest, "error", err)
		from.lie.Store(&err)
		return nil, fmt.Errorf("%w: %w", ipfs.ErrCorrupt, err)
	}
	if !errors.Is(err, ipfs.ErrUnavailable) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ipfs.ErrUnavailable, err)
	}
	return nil, why(ctx, err)
}

// why is the reason for which ctx ended, if it has, else err.
func why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// keep copies r to where it can be read again and again.
func keep(r io.Reader, size int64) (io.ReadSeekCloser, error) {
	if size <= maxMemory {
		var b bytes.Buffer
		_, err := b.ReadFrom(r)
		return memory(b.Bytes()), err
	}
	file, err := os.CreateTemp("", "image2ipfs-*")
	if err != nil {
		return nil, err
	}
	t := temporary{file}
	if _, err = file.ReadFrom(r); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	return t, err
}

// temporary is a file that is gone when it is closed.
type temporary struct{ *os.File }

func (t temporary) Close() error {
	return errors.Join(t.File.Close(), os.Remove(t.Name()))
}

// ticking puts a timer off with every read, and counts the bytes.
type ticking struct {
	io.ReadCloser
	timer *time.Timer
	idle  time.Duration
	n     int64
}

func (t *ticking) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.timer.Reset(t.idle)
	t.n += int64(n)
	return n, err
}
