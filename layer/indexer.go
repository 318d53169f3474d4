package layer

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// AnnotationTOC is the annotation of a layer's descriptor by which lazy readers
// know that there is an index: the digest of its JSON (stargz-snapshotter,
// docs/estargz.md, "Verification").
const AnnotationTOC = "containerd.io/snapshot/stargz/toc.digest"

// Annotations by which podman knows the index of a zstd:chunked layer: the digest
// of its compressed JSON, and where that and the tar-split lie. It refuses a layer
// that has AnnotationTOC as well (go.podman.io/storage,
// docs/containers-storage-zstd-chunked.md).
const (
	chunkedPrefix             = "io.github.containers.zstd-chunked."
	chunkedTOC                = "manifest-checksum"
	chunkedAt                 = "manifest-position"
	chunkedTarSplit           = "tarsplit-position"
	AnnotationChunkedTOC      = chunkedPrefix + chunkedTOC
	annotationChunkedAt       = chunkedPrefix + chunkedAt
	annotationChunkedTarSplit = chunkedPrefix + chunkedTarSplit
)

// chunkedPrefixes are those that podman reads: that of today, and that of 4.3 and before.
var chunkedPrefixes = []string{chunkedPrefix, "io.containers.zstd-chunked."}

// indexAnnotations begin all annotations that say something of an index.
var indexAnnotations = append([]string{"containerd.io/snapshot/", "io.containers.estargz."}, chunkedPrefixes...)

// digestAnnotations give, each to one reader, the digest of an index that is then read.
func digestAnnotations() []string {
	names := []string{AnnotationTOC}
	for _, prefix := range chunkedPrefixes {
		names = append(names, prefix+chunkedTOC)
	}
	return names
}

// HasIndex tells whether annotations of a layer have a reader look for an index in it,
// as readers do, whatever the layer's media type and first bytes are.
func HasIndex(annotations map[string]string) bool {
	for _, name := range digestAnnotations() {
		if _, found := annotations[name]; found {
			return true
		}
	}
	return false
}

// IsIndexAnnotation tells whether an annotation of a layer is about its index.
func IsIndexAnnotation(name string) bool {
	for _, prefix := range indexAnnotations {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Index is what there is to say of the index of a layer; the zero Index is none.
type Index struct {
	Missing  error         // why a layer has none that was to have one
	toc      digest.Digest // of the JSON
	checksum digest.Digest // of the compressed JSON, in a zstd:chunked layer
	at       positions
}

// Annotations are those of the layer's descriptor for stargz-snapshotter; nil
// without an index.
func (i Index) Annotations() map[string]string {
	if i.toc == "" {
		return nil
	}
	return map[string]string{AnnotationTOC: i.toc.String()}
}

// Chunked are the annotations of the layer's descriptor for podman; nil without
// the index of zstd:chunked.
func (i Index) Chunked() map[string]string {
	if i.checksum == "" {
		return nil
	}
	return map[string]string{
		AnnotationChunkedTOC:      i.checksum.String(),
		annotationChunkedAt:       fmt.Sprintf("%d:%d:%d:%d", i.at.toc, i.at.tocSize, i.at.tocRaw, chunkedType),
		annotationChunkedTarSplit: fmt.Sprintf("%d:%d:%d", i.at.split(), i.at.splitSize, i.at.splitRaw),
	}
}

// Digests are what an index is made again of, by [Options.RecallIndex]: at most
// two, none without an index.
func (i Index) Digests() []digest.Digest {
	switch {
	case i.toc == "":
		return nil
	case i.checksum == "":
		return []digest.Digest{i.toc}
	}
	return []digest.Digest{i.toc, i.checksum}
}

// Numbers are what an index is made again of besides its Digests.
func (i Index) Numbers() [5]uint64 {
	return [5]uint64{i.at.toc, i.at.tocSize, i.at.tocRaw, i.at.splitSize, i.at.splitRaw}
}

// RecallIndex makes an Index of what one has said before; ok is false where these
// are not the digests of one.
func (o Options) RecallIndex(digests []digest.Digest, n [5]uint64) (i Index, ok bool) {
	switch {
	case o.Compression == Chunked && len(digests) == 2:
		return Index{toc: digests[0], checksum: digests[1], at: positions{n[0], n[1], n[2], n[3], n[4]}}, true
	case o.Compression != Chunked && len(digests) == 1:
		return Index{toc: digests[0]}, true
	}
	return i, false
}

// indexer makes the index of a layer while it is compressed. A nil one does
// nothing.
type indexer struct {
	scanner *scanner
	toc     tocWriter
	form    indexForm
	ends    bool  // the index tells where frames end
	offset  int64 // of the next member
	err     error
	result  Index
}

// indexForm is what an index becomes in a blob.
type indexForm interface {
	// segment is told of the tar as it comes, scanned that there is no more.
	segment(seg []byte)
	scanned()
	// abandon is called, in their place, when there can be no index any more.
	abandon()
	// add takes a piece of the JSON.
	add(text []byte) error
	// end gives what follows the members, which end at offset.
	end(toc *tocWriter, headers headerHash, offset int64) ([]byte, Index, error)
	// release gives back memory; called once, after all else.
	release()
}

func newIndexer(o Options) (*indexer, error) {
	if !o.Lazy {
		return nil, nil
	}
	x := &indexer{scanner: newScanner()}
	x.scanner.own = true
	var err error
	if o.Compression == Chunked {
		x.ends = true
		x.scanner.chunked()
		x.form, err = newChunkedIndex()
	} else {
		x.form, err = newPieces()
	}
	if err != nil {
		return nil, err
	}
	x.toc = tocWriter{add: x.form.add}
	return x, nil
}

// scan gives the parts of the segment that follows; called in their order, by
// another goroutine than member and end.
func (x *indexer) scan(seg []byte) []part {
	if x == nil {
		return nil
	}
	if x.scanner.err != nil {
		return nil
	}
	x.form.segment(seg)
	parts := x.scanner.segment(seg)
	if x.scanner.err != nil {
		x.form.abandon()
	}
	return parts
}

// scanned is called behind the last segment.
func (x *indexer) scanned() {
	if x != nil && x.scanner.err == nil {
		x.form.scanned()
	}
}

// sum hashes a part of a segment.
func (p *part) sum(seg []byte) {
	if p.Type == typeReg {
		p.digest = digest.FromBytes(seg[p.at : p.at+p.n])
	}
}

// member notes where the parts of a segment have come to lie.
func (x *indexer) member(parts []part, size int) {
	if x == nil {
		return
	}
	var end int64
	if x.ends {
		end = x.offset + int64(size)
	}
	if x.err == nil {
		x.err = x.toc.member(parts, x.offset, end)
	}
	x.offset += int64(size)
}

// end gives what follows the members; nothing where there can be no index.
func (x *indexer) end() []byte {
	if x == nil {
		return nil
	}
	err := x.scanner.end()
	if err == nil {
		err = x.err
	}
	if err == nil {
		var trailer []byte
		if trailer, x.result, err = x.form.end(&x.toc, x.scanner.all, x.offset); err == nil {
			return trailer
		}
	}
	x.result = Index{Missing: err}
	return nil
}

// close gives back memory; afterwards only the result is there.
func (x *indexer) close() {
	if x != nil && x.form != nil {
		x.form.release()
		x.form = nil
	}
}

func (p *pieces) segment([]byte) {}
func (p *pieces) scanned()       {}
func (p *pieces) abandon()       {}

// end gives the pieces and the footer.
func (p *pieces) end(toc *tocWriter, _ headerHash, offset int64) ([]byte, Index, error) {
	text, err := toc.end("")
	if err != nil {
		return nil, Index{}, err
	}
	members, sum, err := p.finish(text)
	if err != nil {
		return nil, Index{}, err
	}
	members = append(members, footer(offset+pieceHeader))
	return bytes.Join(members, nil), Index{toc: sum}, nil
}
