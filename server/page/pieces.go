package page

import (
	"iter"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What a document has of a root is bounded, whatever is in the root: it is divided into
// pieces, and each document has as many of them as have so many rows.
const (
	maxRows    = 400 // of one document: commands, names, layers and referrers
	pieceNames = 10  // names of one image in a piece, and lines by which it is pulled
	pieceRows  = 100 // layers of a manifest in a piece, and what refers to it
	headRows   = 4   // that a piece takes beside these
)

// span is a part of a list.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// part is the n-th part of this size of a list of so many, empty behind its end.
func part(n, size, length int) span {
	return span{min(n*size, length), min((n+1)*size, length)}
}

// parts is how many parts there are of the longest of some lists.
func parts(size int, lengths ...int) (n int) {
	for _, length := range lengths {
		n = max(n, (length+size-1)/size)
	}
	return n
}

// piece is a part of an image that stands on one document: names, or a manifest.
type piece struct {
	image, manifest      int // manifest is -1 for names
	names, pulls, absent span
	layers, referrers    span
}

func (p piece) rows() int {
	return headRows + p.names.len() + engines*p.pulls.len() + p.absent.len() + p.layers.len() + p.referrers.len()
}

// pieces are those of all images.
func (i *inspected) pieces() iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for at := range i.images {
			if !i.images[at].pieces(at, yield) {
				return
			}
		}
	}
}

func (i *image) pieces(at int, yield func(piece) bool) bool {
	names, pulls, absent := len(i.names), len(i.pulls), len(i.absent)
	for n := range max(parts(pieceNames, names, pulls, absent), 1) {
		if !yield(piece{image: at, manifest: -1, names: part(n, pieceNames, names), pulls: part(n, pieceNames, pulls), absent: part(n, pieceNames, absent)}) {
			return false
		}
	}
	for m := range i.manifests {
		layers, referrers := len(i.manifests[m].layers), len(i.manifests[m].referrers)
		for n := range max(parts(pieceRows, layers, referrers), 1) {
			if !yield(piece{image: at, manifest: m, layers: part(n, pieceRows, layers), referrers: part(n, pieceRows, referrers)}) {
				return false
			}
		}
	}
	return true
}

// page gives the pieces of a document, counted from 1, and how many documents there are.
func (i *inspected) page(n int) (found []piece, at, pages int) {
	pages, rows := 1, 0
	of := func(p piece) int {
		if rows += p.rows(); rows > maxRows && rows > p.rows() {
			pages, rows = pages+1, p.rows()
		}
		return pages
	}
	for p := range i.pieces() {
		of(p)
	}
	all := pages
	at = min(max(n, 1), all)
	pages, rows = 1, 0
	for p := range i.pieces() {
		switch page := of(p); {
		case page == at:
			found = append(found, p)
		case page > at:
			return found, at, all
		}
	}
	return found, at, all
}

// section is what a document has of an image.
type section struct {
	Digest    digest.Digest
	Kind      string // what it is where it is no image
	Names     []string
	First     int // the number of the first of Names, from 1
	Of        int // how many names the image has
	Lines     []line
	Absent    []string
	Manifests []manifestView
}

// manifestView is what a document has of a manifest.
type manifestView struct {
	Digest    digest.Digest
	Platform  string
	Size      int64 // what a pull moves at most, in bytes
	Layers    []layerRow
	Referrers []ocispec.Descriptor
	First     int // the number of the first of Layers, from 1
	Of        int // how many layers it has
}

// layerRow is a layer of a manifest.
type layerRow struct {
	layerOf
	Linked bool // its files can be shown
}

// sections are the images of some pieces.
func (i *inspected) sections(found []piece, host string, secure bool) (all []section) {
	last := -1
	for _, p := range found {
		image := &i.images[p.image]
		if p.image != last {
			last = p.image
			all = append(all, section{Digest: image.Digest, Kind: image.Kind, First: p.names.from + 1, Of: len(image.names)})
		}
		s := &all[len(all)-1]
		s.Names = append(s.Names, image.names[p.names.from:p.names.to]...)
		s.Absent = append(s.Absent, image.absent[p.absent.from:p.absent.to]...)
		for _, pull := range image.pulls[p.pulls.from:p.pulls.to] {
			pull.Host = host
			s.Lines = append(s.Lines, pullLines(pull, image.Kind != "", secure)...)
		}
		if p.manifest >= 0 {
			s.Manifests = append(s.Manifests, image.manifests[p.manifest].view(p))
		}
	}
	return all
}

func (m manifest) view(p piece) manifestView {
	v := manifestView{Digest: m.Digest, Platform: m.Platform, Size: m.Size(), Referrers: m.referrers[p.referrers.from:p.referrers.to], First: p.layers.from + 1, Of: len(m.layers)}
	for _, l := range m.layers[p.layers.from:p.layers.to] {
		v.Layers = append(v.Layers, layerRow{l, !l.Absent && browsable(l.MediaType)})
	}
	return v
}
