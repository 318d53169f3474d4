package pull

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
)

const parallel = 4 // contents that are fetched at once

// ToDirectory adds the image to the OCI layout in dir, which is made when it
// is not there. Contents that it has are not fetched again; an interrupted pull
// goes on where it stopped, also inside a content. Two pulls into one layout
// wait for each other.
func (i *Image) ToDirectory(ctx context.Context, dir string, p Progress) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lockDirectory(ctx, dir, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	index, err := i.mergedIndex(dir)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, desc := range i.Blobs {
		g.Go(func() error { return i.toFile(gctx, dir, desc, p) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := writeBytes(filepath.Join(dir, ocispec.ImageLayoutFile), oci.LayoutFile); err != nil {
		return err
	}
	return writeBytes(filepath.Join(dir, ocispec.ImageIndexFile), index)
}

// lockDirectory keeps other pulls out of a layout, without a file in it. On
// Windows, where directories cannot be locked, it does nothing.
func lockDirectory(ctx context.Context, dir string, p Progress) (unlock func() error, err error) {
	if runtime.GOOS == "windows" {
		return func() error { return nil }, nil
	}
	lock := flock.New(dir, flock.SetFlag(os.O_RDONLY))
	ok, err := lock.TryLock()
	if err == nil && !ok {
		p.tell("waiting for another pull into " + dir)
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), lock.Close())
	}
	return lock.Close, nil
}

// mergedIndex is the index.json of dir with the image in it. An image that is
// there under the same name stays, and gives its name to the new one.
func (i *Image) mergedIndex(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if errors.Is(err, os.ErrNotExist) {
		return i.indexFile()
	}
	if err != nil {
		return nil, err
	}
	old, err := oci.ParseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	var kept []ocispec.Descriptor
	for _, desc := range old.Manifests {
		if desc, stays := beside(desc, i.index.Manifests); stays {
			kept = append(kept, desc)
		}
	}
	if len(kept) == 0 {
		return i.indexFile()
	}
	old.Manifests = slices.Concat(kept, i.index.Manifests)
	return json.Marshal(old)
}

// beside is an entry of index.json as it stays beside new ones, unless they have
// the same image: less a name that is theirs now.
func beside(old ocispec.Descriptor, added []ocispec.Descriptor) (desc ocispec.Descriptor, stays bool) {
	names := oci.ImageNames(old)
	for _, a := range added {
		theirs := oci.ImageNames(a)
		if a.Digest == old.Digest && (len(names) == 0 || slices.Equal(names, theirs)) {
			return old, false
		}
		if a.Digest != old.Digest {
			old = oci.WithoutNames(old, theirs)
		}
	}
	return old, true
}

// indexFile is the index.json of a layout with nothing but the image.
func (i *Image) indexFile() ([]byte, error) {
	if i.indexJSON != nil {
		return i.indexJSON, nil
	}
	return json.Marshal(i.index)
}

// toFile fetches one content into its place in dir.
func (i *Image) toFile(ctx context.Context, dir string, desc ocispec.Descriptor, p Progress) (err error) {
	path := filepath.Join(dir, filepath.FromSlash(oci.BlobPath(desc.Digest)))
	if isThere(path, desc) {
		p.add(desc.Size)
		p.content(desc, true)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	partial := filepath.Join(filepath.Dir(path), ".partial-"+desc.Digest.Encoded())
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	err = i.resume(ctx, f, desc, p)
	err = errors.Join(err, f.Sync(), f.Close())
	if errors.Is(err, oci.ErrCorrupt) {
		err = errors.Join(err, os.Remove(partial))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, err)
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	p.content(desc, false)
	return nil
}

// isThere tells whether a file has the content already, and undamaged.
func isThere(path string, desc ocispec.Descriptor) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	verifier := desc.Digest.Verifier()
	n, err := io.Copy(verifier, f)
	return err == nil && n == desc.Size && verifier.Verified()
}

// resume appends to f what it lacks of a content and checks the whole.
func (i *Image) resume(ctx context.Context, f *os.File, desc ocispec.Descriptor, p Progress) error {
	verifier := desc.Digest.Verifier()
	have, err := io.Copy(verifier, f)
	if err == nil && have > desc.Size {
		have = 0
		verifier = desc.Digest.Verifier()
		_, err = f.Seek(0, io.SeekStart)
		err = errors.Join(err, f.Truncate(0))
	}
	if err != nil {
		return err
	}
	blob, err := i.layout.Files().Open(ctx, desc.Digest, ahead)
	if err != nil {
		return err
	}
	defer blob.Close()
	if _, err := blob.Seek(have, io.SeekStart); err != nil {
		return err
	}
	p.add(have)
	n, err := blob.WriteTo(io.MultiWriter(f, verifier, p))
	if err != nil {
		return err
	}
	if have+n != desc.Size || !verifier.Verified() {
		return fmt.Errorf("%w: %d bytes of %d, or another digest", oci.ErrCorrupt, have+n, desc.Size)
	}
	return nil
}

const ahead = ipfs.ReadAheadWhole

// writeFile makes a file of what fn writes, which appears when it is complete,
// and lasts.
func writeFile(path string, fn func(w io.Writer) error) (err error) {
	var kept bool
	f, err := os.CreateTemp(filepath.Dir(path), ".image2ipfs-")
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		failed.Path = path // not a name that nobody knows
	}
	if err != nil {
		return err
	}
	defer func() { // also where fn panics
		if !kept {
			err = errors.Join(err, ignoreClosed(f.Close()), os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(fn(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	kept = true
	return durable.SyncDir(filepath.Dir(path))
}

// ignoreClosed is the error of closing a file, which may be closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func writeBytes(path string, data []byte) error {
	return writeFile(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// ToTar writes the image as a tar that is an OCI layout and, unless
// [Image.CheckDockerArchive] speaks against it, a docker archive as well: docker
// load of every version, podman load, ctr images import and skopeo read it. One
// of several platforms is a layout only.
func (i *Image) ToTar(ctx context.Context, w io.Writer, p Progress) error {
	index, err := i.indexFile()
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	small := [][2]string{{ocispec.ImageLayoutFile, string(oci.LayoutFile)}, {ocispec.ImageIndexFile, string(index)}}
	if manifest, err := i.dockerManifest(ctx); err != nil {
		return err
	} else if manifest != nil {
		small = append(small, [2]string{"manifest.json", string(manifest)})
	}
	for _, f := range small {
		if err := tw.WriteHeader(header(f[0], int64(len(f[1])))); err != nil {
			return err
		}
		if _, err := io.WriteString(tw, f[1]); err != nil {
			return err
		}
	}
	for _, desc := range i.Blobs {
		if err := i.toEntry(ctx, tw, desc, p); err != nil {
			return fmt.Errorf("%s: %w", desc.Digest, err)
		}
		p.content(desc, false)
	}
	return tw.Close()
}

func (i *Image) toEntry(ctx context.Context, tw *tar.Writer, desc ocispec.Descriptor, p Progress) error {
	if err := tw.WriteHeader(header(oci.BlobPath(desc.Digest), desc.Size)); err != nil {
		return err
	}
	blob, err := i.layout.Files().Fetch(ctx, desc)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(tw, p), blob)
	return errors.Join(err, blob.Close())
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)}
}
