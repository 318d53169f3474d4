package layer

import (
	"bytes"

	"github.com/opencontainers/go-digest"
)

// AnnotationTOC is the annotation of a layer's descriptor by which lazy readers
// know that there is an index: the digest of its JSON (stargz-snapshotter,
// docs/estargz.md, "Verification").
const AnnotationTOC = "containerd.io/snapshot/stargz/toc.digest"

// Index is what there is to say of the index of a layer.
type Index struct {
	Annotations map[string]string // for the layer's descriptor; nil without an index
	Missing     error             // why a layer has none that was to have one
}

// IndexOf is what there is to say of an index with this digest.
func IndexOf(toc digest.Digest) Index {
	return Index{Annotations: map[string]string{AnnotationTOC: toc.String()}}
}

// TOC is the digest of an index; empty without one.
func (i Index) TOC() digest.Digest { return digest.Digest(i.Annotations[AnnotationTOC]) }

// indexer makes the index of a layer while it is compressed. A nil one does
// nothing.
type indexer struct {
	scanner *scanner
	toc     tocWriter
	pieces  *pieces
	offset  int64 // of the next member
	err     error
	result  Index
}

func newIndexer(o Options) (*indexer, error) {
	if !o.Lazy {
		return nil, nil
	}
	p, err := newPieces()
	if err != nil {
		return nil, err
	}
	return &indexer{scanner: newScanner(), pieces: p, toc: tocWriter{add: p.add}}, nil
}

// scan gives the parts of the segment that follows; called in their order, by
// another goroutine than member and end.
func (x *indexer) scan(seg []byte) []part {
	if x == nil {
		return nil
	}
	return x.scanner.segment(seg)
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
	if x.err == nil {
		x.err = x.toc.member(parts, x.offset, 0)
	}
	x.offset += int64(size)
}

// end gives what follows the members; nothing where there can be no index.
func (x *indexer) end() []byte {
	if x == nil {
		return nil
	}
	trailer, toc, err := x.trailer()
	if err != nil {
		x.result.Missing = err
		return nil
	}
	x.result = IndexOf(toc)
	return trailer
}

func (x *indexer) trailer() ([]byte, digest.Digest, error) {
	if err := x.scanner.end(); err != nil {
		return nil, "", err
	}
	if x.err != nil {
		return nil, "", x.err
	}
	text, err := x.toc.end("")
	if err != nil {
		return nil, "", err
	}
	members, toc, err := x.pieces.end(text)
	if err != nil {
		return nil, "", err
	}
	members = append(members, footer(x.offset+pieceHeader))
	return bytes.Join(members, nil), toc, nil
}
