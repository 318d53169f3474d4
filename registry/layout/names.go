package layout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry"
)

// Contents is what questions about names read of a layout.
type Contents interface {
	// Small reads a blob of at most [oci.MaxManifestSize] bytes, checked against
	// its digest. Errors match [oci.ErrManifestUnknown] for a larger one,
	// [oci.ErrNotFound] when it is not there, [ipfs.ErrUnavailable] when it cannot
	// be had at the moment.
	Small(ctx context.Context, d digest.Digest) ([]byte, error)
}

// Names answers which manifest of a layout a name means. It is safe for
// concurrent use. A question by a name that one entry of index.json has takes
// the same time for any number of entries.
type Names struct {
	root     cid.Cid
	contents Contents
	entries  []*entry // one for each digest, in the order of index.json
	byDigest map[digest.Digest]*entry
	byName   map[oci.ImageName][]*entry // repository without "library/"
	byTag    map[string][]*entry        // under any repository
	tags     map[string][]string        // of each repository

	read   stated // what descriptors in indices say that were read
	sorted once[[]*entry]
	table  once[referrers]
}

// entry is what index.json says of one digest.
type entry struct {
	registry.Image
	listed []ocispec.Descriptor // what index.json says of it, in its order
	kind   string               // annotation of `cosign save`
	at     int                  // place among the entries
}

// NewNames reads the entries of an index.json; contents is asked when a question
// needs more.
func NewNames(root cid.Cid, index ocispec.Index, contents Contents) *Names {
	n := &Names{
		root: root, contents: contents,
		byDigest: map[digest.Digest]*entry{}, byName: map[oci.ImageName][]*entry{},
		byTag: map[string][]*entry{}, tags: map[string][]string{},
		sorted: newOnce[[]*entry](), table: newOnce[referrers](),
	}
	for _, desc := range index.Manifests {
		e := n.byDigest[desc.Digest]
		if e == nil {
			e = &entry{Image: registry.Image{Descriptor: desc}, at: len(n.entries)}
			n.byDigest[desc.Digest] = e
			n.entries = append(n.entries, e)
		}
		e.listed = append(e.listed, desc)
		if e.kind == "" {
			e.kind = desc.Annotations[kindAnnotation]
		}
		for _, name := range oci.ImageNames(desc) {
			n.add(name, e)
		}
	}
	n.nameSignatures()
	return n
}

// String names the layout for humans.
func (n *Names) String() string {
	if !n.root.Defined() {
		return "the layout"
	}
	return ref.Ciq(n.root)
}

// Cost is roughly how many bytes of memory the names take.
func (n *Names) Cost() int64 {
	cost := int64(1024 * len(n.entries))
	for _, e := range n.entries {
		for _, desc := range e.listed {
			cost += oci.Weight(desc)
		}
	}
	if table, ok := n.table.known(); ok {
		cost += table.cost
	}
	return cost + n.read.cost()
}

func (n *Names) add(name oci.ImageName, e *entry) {
	if slices.Contains(e.Names, name) {
		return
	}
	e.Names = append(e.Names, name)
	n.find(name, e)
}

// find has an entry found by a name, whether that is told of or not.
func (n *Names) find(name oci.ImageName, e *entry) {
	name.Repository = plain(name.Repository)
	if n.byName[name] == nil && name.Tag != "" {
		n.tags[name.Repository] = append(n.tags[name.Repository], name.Tag)
	}
	n.byName[name] = addDistinct(n.byName[name], e)
	n.byTag[name.Tag] = addDistinct(n.byTag[name.Tag], e)
}

// maxSame is how many entries with one name are looked at.
const maxSame = 64

func addDistinct(entries []*entry, e *entry) []*entry {
	if len(entries) == maxSame || len(entries) > 0 && entries[len(entries)-1] == e || slices.Contains(entries, e) {
		return entries
	}
	return append(entries, e)
}

// plain makes repositories comparable: registry host and "library/" go.
func plain(repository string) string {
	return ref.TrimLibrary(ref.TrimHost(repository))
}

// What `cosign save` says of its entries, which have no names: an image or index,
// and what signs and attests it, which other tools look for by tags.
const (
	kindAnnotation = "kind"
	kindImage      = "dev.cosignproject.cosign/image"
	kindImageIndex = "dev.cosignproject.cosign/imageIndex"
	kindSignatures = "dev.cosignproject.cosign/sigs"
	kindAttests    = "dev.cosignproject.cosign/atts"
)

// signatureSuffixes are those of the tags by which cosign finds such entries.
var signatureSuffixes = map[string]string{kindSignatures: oci.SuffixSignature, kindAttests: oci.SuffixAttestation}

// nameSignatures has the signatures and attestations of `cosign save` found by
// cosign's tags of the image that comes before them.
func (n *Names) nameSignatures() {
	var image digest.Digest
	for _, e := range n.entries {
		switch e.kind {
		case kindImage, kindImageIndex:
			image = e.Descriptor.Digest
		case kindSignatures, kindAttests:
			if image.Validate() == nil {
				n.find(oci.ImageName{Tag: oci.ReferrerTagOf(image, signatureSuffixes[e.kind])}, e)
			}
		}
	}
}

// Describe lists images for humans: their names, digests of unnamed ones.
func Describe(images []registry.Image) string {
	const most = 20 // names in an error message
	var out []string
	for _, image := range images {
		if len(image.Names) == 0 {
			out = append(out, "@"+image.Descriptor.Digest.String())
		}
		for _, name := range image.Names {
			out = append(out, name.String())
			if len(out) > most {
				break
			}
		}
		if len(out) > most {
			return fmt.Sprintf("%s and more (%d images)", strings.Join(out[:most], ", "), len(images))
		}
	}
	if len(out) == 0 {
		return "no image"
	}
	return strings.Join(out, ", ")
}
