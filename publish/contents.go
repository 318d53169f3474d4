package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/oci"
)

// content is something with a digest that may become part of the layout:
// stored already, or small and in memory.
type content struct {
	at    *stored
	data  []byte
	fault error // why it is not what its name says; then there is no more

	diffID digest.Digest // of a layer, where it is known
	noJSON bool          // by its first bytes, where these are known
}

func (c content) isEmpty() bool { return c.at == nil && c.data == nil && c.fault == nil }

// contents are those of one archive; they are the [oci.Contents] of its layout.
type contents map[digest.Digest]content

func (c contents) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if err := context.Cause(ctx); err != nil { // whoever goes on from manifest to manifest ends then
		return nil, err
	}
	found, ok := c[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("%w: %s", oci.ErrNotFound, desc.Digest)
	}
	if found.at != nil {
		return nil, fmt.Errorf("%w: %s is not a JSON file of at most %d bytes", oci.ErrCorrupt, desc.Digest, oci.MaxManifestSize)
	}
	return found.data, found.fault
}

// Small makes contents those of [layout.Names].
func (c contents) Small(ctx context.Context, d digest.Digest) ([]byte, error) {
	if found := c[d]; found.at != nil {
		return nil, fmt.Errorf("%w: blob %s of %d bytes is neither a manifest nor an index", oci.ErrManifestUnknown, d, found.at.Size)
	}
	return c.Manifest(ctx, ocispec.Descriptor{Digest: d})
}

// take makes contents that only descriptors' data fields have parts of the layout.
func (c contents) take(inline map[digest.Digest][]byte) {
	for d, data := range inline {
		c[d] = content{data: data}
	}
}

func (c contents) Size(_ context.Context, d digest.Digest) (int64, error) {
	found, ok := c[d]
	if !ok {
		return 0, fmt.Errorf("%w: %s is missing from the archive", oci.ErrNotFound, d)
	}
	if found.at != nil {
		return found.at.Size, nil
	}
	return int64(len(found.data)), found.fault
}

func (c contents) hold(data []byte) {
	c[digest.FromBytes(data)] = content{data: data}
}

// layout gives index.json and the contents it needs, of an archive that was read
// to its end.
func (in *intake) layout(ctx context.Context, k kind) (ocispec.Index, contents, error) {
	if k == dockerArchive {
		return in.fromDocker(ctx)
	}
	index, err := in.index()
	if err != nil {
		return index, nil, err
	}
	found := contents{}
	in.claims(found)
	if in.recompress {
		if index, err = in.convert(ctx, index, found); err != nil {
			return index, nil, err
		}
	}
	return index, found, nil
}

// claims adds what lies where a layout has its blobs, also by way of links. What
// is broken stays a fault until something needs it.
func (in *intake) claims(found contents) {
	add := func(d digest.Digest, name string, it *item) {
		switch {
		case d == "" || !it.asFound():
		case it.digestBy(d.Algorithm()) == d:
			found[d] = content{at: it.raw, data: it.data, diffID: it.knownDiffID(d), noJSON: it.isNoJSON()}
		case found[d].isEmpty():
			found[d] = content{fault: fmt.Errorf("%w: entry %s: its name says %s, its content has digest %s", archive.ErrFormat, name, d, it.digest)}
		}
	}
	for _, it := range in.items {
		d := it.claimed // that of manifest.json in dir: is its own
		if d == "" {
			d = in.linked.claim(it.name)
		}
		add(d, it.name, it)
	}
	for _, name := range in.Names() {
		d := in.linked.claim(name)
		if d == "" || in.items[name] != nil {
			continue
		}
		it, err := in.lookup(name)
		switch {
		case err == nil:
			add(d, name, it)
		case errors.Is(err, errMissing) && found[d].isEmpty():
			found[d] = content{fault: fmt.Errorf("%w: %w", oci.ErrNotFound, err)}
		case found[d].isEmpty():
			found[d] = content{fault: err}
		}
	}
	for name, err := range in.conflicts {
		if d := in.linked.claim(name); d != "" {
			found[d] = content{fault: err}
		}
	}
}

// knownDiffID is the digest of the uncompressed layer that has digest d, if it was computed,
// or the layer is a tar; else empty.
func (it *item) knownDiffID(d digest.Digest) digest.Digest {
	if it.diffID == "" && it.media == ocispec.MediaTypeImageLayer && it.size > 0 {
		return d
	}
	return it.diffID
}

// isNoJSON tells by the first bytes that a content is no JSON object or array.
func (it *item) isNoJSON() bool {
	return it.size == 0 || len(bytes.TrimSpace(it.head)) > 0 && !looksJSON(it.head)
}

// digestBy is the digest of the content as found by an algorithm, where that is known.
func (it *item) digestBy(a digest.Algorithm) digest.Digest {
	switch {
	case it.digest != "" && it.digest.Algorithm() == a:
		return it.digest
	case it.data != nil:
		return a.FromBytes(it.data)
	}
	return it.sha512
}

// index reads index.json, or makes one for skopeo's dir:. The file oci-layout may
// be missing, as for skopeo and podman.
func (in *intake) index() (ocispec.Index, error) {
	data, err := in.JSON(ocispec.ImageIndexFile)
	if errors.Is(err, errMissing) || in.isDir(data) {
		return in.dirIndex()
	}
	if err != nil {
		return ocispec.Index{}, err
	}
	layout, err := in.JSON(ocispec.ImageLayoutFile)
	if err == nil {
		err = oci.CheckLayoutFile(layout)
	}
	if err != nil && !errors.Is(err, errMissing) {
		return ocispec.Index{}, err
	}
	index, err := oci.ParseIndex(data)
	if err != nil {
		return index, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	index.SchemaVersion = 2 // what is published is for everybody to read
	return index, nil
}

// isDir tells skopeo's dir: with an index.json, which is somebody else's as it lists
// nothing and there is no other file of a layout.
func (in *intake) isDir(indexJSON []byte) bool {
	index, err := oci.ParseIndex(indexJSON)
	if err == nil && len(index.Manifests) > 0 {
		return false
	}
	if _, err := in.JSON(ocispec.ImageLayoutFile); !errors.Is(err, errMissing) {
		return false
	}
	manifest, err := in.JSON(dockerarchive.ManifestFile)
	return err == nil && oci.SniffMediaType(manifest) != ""
}

// dirIndex makes an index.json for the manifest of skopeo's dir:.
func (in *intake) dirIndex() (ocispec.Index, error) {
	manifest, err := in.JSON(dockerarchive.ManifestFile)
	if err != nil {
		return ocispec.Index{}, err
	}
	it, err := in.lookup(dockerarchive.ManifestFile)
	if err != nil {
		return ocispec.Index{}, err
	}
	media := oci.SniffMediaType(manifest)
	if media == "" {
		return ocispec.Index{}, fmt.Errorf("%w: %s of %d bytes is no image manifest, and there is no %s", archive.ErrFormat, it.name, it.size, ocispec.ImageIndexFile)
	}
	it.claimed = it.digest
	return oci.NewIndex([]ocispec.Descriptor{{MediaType: media, Digest: it.digest, Size: it.size}}), nil
}

func (in *intake) fromDocker(ctx context.Context) (ocispec.Index, contents, error) {
	converted, err := dockerarchive.Convert(ctx, in)
	if err != nil {
		return ocispec.Index{}, nil, err
	}
	found := contents{}
	for _, it := range in.items {
		switch {
		case it.packed != nil:
			found[it.packed.digest] = content{at: &it.packed.stored}
		case it.raw != nil:
			found[it.digest] = content{at: it.raw}
		}
	}
	pairs := in.pairs(found)
	var top []ocispec.Descriptor
	for _, c := range converted {
		found.hold(c.Manifest)
		found.hold(c.Config)
		desc, err := pairs.top(c.Descriptor)
		if err != nil {
			return ocispec.Index{}, nil, err
		}
		names := in.validNames(c.Names)
		if len(names) == 0 {
			top = append(top, desc)
		}
		for _, name := range names {
			top = append(top, oci.Named(desc, name))
		}
	}
	return oci.NewIndex(top), found, nil
}

// validNames gives those of the names by which an engine could pull.
func (in *intake) validNames(names []string) (valid []string) {
	for _, name := range names {
		if oci.ValidImageName(name) {
			valid = append(valid, name)
		} else {
			in.misnamed = append(in.misnamed, name)
		}
	}
	return valid
}

// files stores what is in memory yet and gives the published tree by path.
func (c contents) files(ctx context.Context, to adder, index ocispec.Index, needed *oci.Reachable) (map[string]stored, error) {
	indexJSON, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	files := map[string]stored{}
	small := map[string][]byte{
		ocispec.ImageLayoutFile: oci.LayoutFile,
		ocispec.ImageIndexFile:  indexJSON,
	}
	for _, desc := range needed.Blobs {
		name := oci.BlobPath(desc.Digest)
		if found := c[desc.Digest]; found.at != nil {
			files[name] = *found.at
		} else {
			small[name] = found.data
		}
	}
	for name, data := range small {
		if files[name], err = to.add(ctx, bytes.NewReader(data)); err != nil {
			return nil, err
		}
	}
	return files, nil
}
