package publish

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/layer"
	"github.com/image2ipfs/image2ipfs/oci"
)

// item is what became of one entry of the archive.
type item struct {
	name    string
	size    int64         // bytes of the content as found
	claimed digest.Digest // digest that the entry's name states; may be empty
	digest  digest.Digest // of the content as found, when that was hashed
	sha256  digest.Digest // the same, where digest is by another algorithm
	sha512  digest.Digest // the same, where a link that is yet to come may ask for it
	data    []byte        // small JSON content; not in the sink yet
	head    []byte        // first bytes, for messages
	blank   []byte        // the content less white space, if that is nothing or null; else nil
	fault   error         // why it cannot be a layer, though it looks like one
	raw     *stored       // the content as found
	aside   bool          // raw is of use to a layout alone
	packed  *packed       // the content compressed by us
	diffID  digest.Digest // of the uncompressed content, when that is known
	media   string        // media type of raw, when it is a layer
}

// asFound tells whether the content is there as it was found.
func (it *item) asFound() bool { return it.raw != nil || it.data != nil }

type packed struct {
	stored
	digest digest.Digest
	media  string
	index  layer.Index
}

// descriptor is that of the layer in a manifest, the one for stargz-snapshotter
// where there are two.
func (p *packed) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: p.media, Digest: p.digest, Size: p.Size, Annotations: p.index.Annotations()}
}

// intake stores the entries of one archive in a sink as they come, in the form
// or forms in which the publication may need them.
type intake struct {
	sink    sink
	options layer.Options
	kind    kind // unknown while reading a pipe
	items   map[string]*item
	linked  *linked
	held    int64 // bytes of JSON in memory

	recompress bool            // layers that arrive compressed as well
	dropped    []string        // what could not outlive that
	fetched    []digest.Digest // manifests, indices and configs that another place gave
	misnamed   []string        // names that are none

	layoutSeen bool             // an entry belongs to a layout
	refused    map[string]error // entries that nobody may read, and why
	names      []string         // of the entries, when all were read
	repeats    []repeat
	conflicts  map[string]error // of names that mean two things

	expected map[string]digest.Digest // diffIDs of layers by entry, where known beforehand
	told     map[digest.Digest]bool   // diffIDs by the word of an engine; nil without it

	rawSide, packedSide branch // of contents stored both ways

	input *archive.Archive // for advice; nil for what is no archive
}

// Bounds of the JSON that is kept in memory.
const (
	largeHeld = 32 << 20 // what comes later is kept only when it is small, as manifests and configs are
	smallJSON = 64 << 10
	maxHeld   = 64 << 20 // an archive with more is refused
)

func (in *intake) entry(ctx context.Context, e archive.Entry) error {
	switch {
	case e.Again:
		return in.repeated(e)
	case e.Refused != nil: // whoever needs it is told
		in.refused[e.Name] = e.Refused
		in.layoutSeen = in.layoutSeen || isOfLayout(e.Name)
		return nil
	case e.Link != "":
		in.linked.add(archive.Links{e.Name: e.Link})
		in.layoutSeen = in.layoutSeen || isOfLayout(e.Name)
		return nil
	}
	it := &item{name: e.Name, size: e.Size, claimed: in.linked.claim(e.Name)}
	in.items[e.Name] = it
	content := bufio.NewReaderSize(e.Content, 4<<10)
	head, err := content.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}
	in.layoutSeen = in.layoutSeen || isOfLayout(e.Name)
	it.head = bytes.Clone(head[:min(len(head), 16)])
	if text := bytes.TrimSpace(head); e.Size <= int64(len(head)) && (len(text) == 0 || string(text) == "null") {
		it.blank = append([]byte{}, text...)
	}
	if in.holdable(head, e.Size) {
		if in.held += e.Size; in.held > maxHeld {
			return fmt.Errorf("%w: entry %s: manifests, configs and other small JSON files have more than %d MiB together", archive.ErrFormat, e.Name, maxHeld>>20)
		}
		e.Content = content
		if it.data, err = archive.ReadSmall(e, oci.MaxManifestSize); err != nil {
			return err
		}
		it.digest = algorithm(it.claimed).FromBytes(it.data)
		return nil
	}
	if err := in.store(ctx, it, head, content); err != nil {
		return fmt.Errorf("entry %s: %w", e.Name, err)
	}
	return nil
}

func (in *intake) holdable(head []byte, size int64) bool {
	if !looksJSON(head) {
		return false
	}
	return size <= smallJSON || size <= oci.MaxManifestSize && in.held < largeHeld
}

// store decides in which forms a content may be needed and stores it so.
func (in *intake) store(ctx context.Context, it *item, head []byte, r io.Reader) error {
	it.media = layerType(head, it.size)
	isTar, isCompressed := it.media == ocispec.MediaTypeImageLayer, it.media != "" && it.media != ocispec.MediaTypeImageLayer
	// In a pipe a link that is yet to come may make anything a blob, but what is called as
	// layers of docker archives are.
	inLayout := it.claimed != "" && in.kind != dockerArchive || in.kind == unknown && (in.layoutSeen || !isDockerLayer(it.name))
	inDocker := in.kind != ociLayout
	pack := inDocker && isTar && in.options.Compression != layer.None
	if pack || !in.recompress {
		if done, err := in.recognise(ctx, it, pack, r); done {
			return err
		}
	}
	switch {
	case in.recompress && (isTar || isCompressed):
		return in.storeConverted(ctx, it, r)
	case inLayout && pack:
		return in.storeBothWays(ctx, it, r)
	case inLayout && it.claimed == "" && it.media == "": // a link may make it a blob
		if err := in.openSides(); err != nil {
			return err
		}
		it.aside = true
		return in.keep(ctx, it, in.rawSide, r)
	case inLayout && it.claimed == "" && isCompressed: // the same
		return in.storeRaw(ctx, it, r, diffIDOf(it))
	case inLayout:
		return in.storeRaw(ctx, it, r)
	case pack:
		return fanOut(r, in.packer(ctx, it, in.sink))
	case inDocker && isTar:
		return in.storeRaw(ctx, it, r)
	case inDocker && isCompressed:
		return in.storeRaw(ctx, it, r, diffIDOf(it))
	}
	hash, note := in.hasher(it) // of no use to anyone, such as VERSION, unless the name comes again
	defer note()
	return hash(r)
}

func (in *intake) storeRaw(ctx context.Context, it *item, r io.Reader, more ...func(io.Reader) error) error {
	return in.keep(ctx, it, in.sink, r, more...)
}

// keep stores a content as it is. Digest and blocks are hashed at the same time.
func (in *intake) keep(ctx context.Context, it *item, to adder, r io.Reader, more ...func(io.Reader) error) error {
	hash, note := in.hasher(it)
	keeper := func(r io.Reader) error {
		s, err := to.add(ctx, r)
		it.raw = &s
		return err
	}
	err := fanOut(r, append(more, hash, keeper)...)
	note()
	return err
}

// hasher gives what hashes a content as found, by each algorithm that may be asked for,
// and what notes the digests when all was read.
func (in *intake) hasher(it *item) (hash func(io.Reader) error, note func()) {
	own, canonical, long := algorithm(it.claimed).Digester(), digest.Canonical.Digester(), digest.SHA512.Digester()
	to := []io.Writer{own.Hash()}
	isOther, mayBeLong := algorithm(it.claimed) != digest.Canonical, it.claimed == "" && in.kind == unknown
	if isOther {
		to = append(to, canonical.Hash())
	}
	if mayBeLong {
		to = append(to, long.Hash())
	}
	hash = func(r io.Reader) error {
		_, err := io.Copy(io.MultiWriter(to...), r)
		return err
	}
	return hash, func() {
		in.identify(it, own.Digest())
		if isOther {
			it.sha256 = canonical.Digest()
		}
		if mayBeLong {
			it.sha512 = long.Digest()
		}
	}
}

// openSides makes the branches of which one is dropped.
func (in *intake) openSides() (err error) {
	if in.rawSide != nil {
		return nil
	}
	if in.rawSide, err = in.sink.branch(); err == nil {
		in.packedSide, err = in.sink.branch()
	}
	return err
}

// storeBothWays stores a tar of which a pipe has not told yet whether it is a
// blob of the image's own or a layer that docker save wrote uncompressed.
func (in *intake) storeBothWays(ctx context.Context, it *item, r io.Reader) error {
	if err := in.openSides(); err != nil {
		return err
	}
	return in.keep(ctx, it, in.rawSide, r, in.packer(ctx, it, in.packedSide))
}

// settle drops the forms that the archive turned out not to need.
func (in *intake) settle(k kind) error {
	in.kind = k
	in.checkRepeats()
	if in.rawSide == nil {
		return nil
	}
	for _, it := range in.items {
		switch {
		case it.aside && k == dockerArchive:
			it.raw = nil
		case it.raw == nil || it.packed == nil:
		case k == dockerArchive:
			it.raw = nil
		default:
			it.packed = nil
		}
	}
	if k == dockerArchive {
		return in.rawSide.drop()
	}
	return in.packedSide.drop()
}

// unindexed tells which layers were to have an index and have none.
func (in *intake) unindexed() []string {
	var why []string
	for _, it := range in.items {
		if it.packed != nil && it.packed.index.Missing != nil {
			why = append(why, fmt.Sprintf("%s: %v", it.packed.digest, it.packed.index.Missing))
		}
	}
	slices.Sort(why)
	return slices.Compact(why)
}

type adder interface {
	add(ctx context.Context, r io.Reader) (stored, error)
}

// packer stores a layer compressed.
func (in *intake) packer(ctx context.Context, it *item, to adder) func(io.Reader) error {
	return func(r io.Reader) error {
		c, err := layer.NewCompressor(ctx, r, in.options)
		if err != nil {
			return err
		}
		defer c.Close()
		hash := digest.Canonical.Digester()
		s, err := to.add(ctx, io.TeeReader(c, hash.Hash()))
		if err != nil {
			return err
		}
		it.packed = &packed{stored: s, digest: hash.Digest(), media: in.options.Compression.MediaType(), index: c.Index()}
		it.diffID = c.DiffID()
		return nil
	}
}

// claimedDigest reads the digest in the name of a blob: blobs/<algorithm>/<hex>
// of layouts, plain <hex> and <hex>.manifest.json of skopeo's dir:.
func claimedDigest(name string) digest.Digest {
	dir, base := path.Split(name)
	var d digest.Digest
	switch {
	case dir == "":
		d = digest.NewDigestFromEncoded(digest.SHA256, strings.TrimSuffix(base, ".manifest.json"))
	case path.Dir(path.Clean(dir)) == ocispec.ImageBlobsDir:
		d = digest.NewDigestFromEncoded(digest.Algorithm(path.Base(dir)), base)
	}
	if d.Validate() != nil {
		return ""
	}
	return d
}

func algorithm(d digest.Digest) digest.Algorithm {
	if d == "" {
		return digest.Canonical
	}
	return d.Algorithm()
}
