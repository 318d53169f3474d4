package layer

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/opencontainers/go-digest"
)

// The index of a gzip layer is one gzip stream: a tar whose only file is the
// JSON, as eStargz has it. It lies in the extra fields of empty gzip members
// (RFC 1952, section 2.3.1.1) behind the layer's own, so that whoever inflates
// the layer gets the tar and nothing else. A reader of eStargz inflates from the
// first extra field on; what lies between the fields it takes for blanks.
const (
	pieceID1, pieceID2 = 'I', 'T'
	pieceHeader        = 16 // of an empty member, up to the payload
	// maxPiece is the payload of all pieces but the last. Less than 16 KiB, since
	// busybox takes no extra field that is longer.
	maxPiece   = 16_000
	maxIndex   = 64 << 20
	indexLevel = 9
	tocName    = "stargz.index.json"
)

const (
	storedHeader = 5
	gzipHeader   = 10
	// gzipStart begins the inner stream: its header, and a stored block for the
	// tar's, which is written when the text's size is known.
	gzipStart = gzipHeader + storedHeader + blockSize
	// maxEnd is what may follow the text: zeros that end the tar, compressed, and
	// the stream's checksum and size.
	maxEnd = 128
)

// pieceTrailer ends an empty member: an empty block, checksum and size.
var pieceTrailer = []byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// errLongIndex is why a layer of very many files has no index.
var errLongIndex = fmt.Errorf("the index would have more than %d MiB", maxIndex>>20)

// pieces collects the index of a gzip layer. All of it is held, compressed: it
// is about a hundredth of the layer.
type pieces struct {
	sections [][]byte // deflate that ends at a byte; each but the last fills a piece
	held     int      // bytes in them
	size     int      // of all text, glue included
	hash     hash.Hash
	begin    []byte // of a block of blanks
	lead     []byte // its text

	// the section that is being filled
	deflate *flate.Writer
	current bytes.Buffer // what it became
	text    bytes.Buffer
	flushed int   // bytes of current that hold the text up to marked
	marked  int   // bytes of text
	added   []int // where what was added since ends in text
	ratio   int   // 1024ths that text is expected to shrink to
}

func newPieces() (*pieces, error) {
	p := &pieces{hash: digest.Canonical.Hash(), ratio: surely}
	p.begin, p.lead = beginBlanks()
	if rested, ok := indexDeflates.Get().(*flate.Writer); ok {
		p.deflate = rested
		p.deflate.Reset(&p.current)
		return p, nil
	}
	var err error
	p.deflate, err = flate.NewWriter(&p.current, indexLevel)
	return p, err
}

// indexDeflates keeps what compresses indexes between two layers: about 1 MiB each.
var indexDeflates sync.Pool

// release gives back what others can use; nothing can be added then.
func (p *pieces) release() {
	p.deflate.Reset(nil)
	indexDeflates.Put(p.deflate)
	p.deflate = nil
}

// surely is a ratio that no text exceeds: what does not shrink is stored.
const surely = 1100

// room is what a section may have, so that the piece can be filled up to its end.
func (p *pieces) room() int {
	return maxPiece - p.before() - storedHeader - len(p.begin)
}

// before is what a piece has before its section.
func (p *pieces) before() int {
	if len(p.sections) == 0 {
		return gzipStart
	}
	return len(endBlanks())
}

// add appends text, of at most maxEntryText bytes, that may be followed by
// blanks. How much of it a piece holds shows only when it is compressed: so what
// is expected to fit is compressed together, and what was too much goes to the
// next piece.
func (p *pieces) add(text []byte) error {
	if p.expected(len(text)) > p.room() {
		if err := p.flush(); err != nil {
			return err
		}
		if max(p.expected(len(text)), p.flushed+p.room()/32) > p.room() {
			if err := p.close(); err != nil {
				return err
			}
		}
	}
	p.text.Write(text)
	p.added = append(p.added, p.text.Len())
	_, err := p.deflate.Write(text)
	return err
}

// expected is how long the section gets with n more bytes of text.
func (p *pieces) expected(n int) int {
	return p.flushed + (p.text.Len()-p.marked+n)*p.ratio>>10 + storedHeader
}

// flush compresses what was added; what the section has no room for begins the
// next, or is tried again in smaller portions.
func (p *pieces) flush() error {
	if len(p.added) == 0 {
		return nil
	}
	if err := p.deflate.Flush(); err != nil {
		return err
	}
	if p.current.Len() <= p.room() {
		p.flushed, p.marked, p.added = p.current.Len(), p.text.Len(), p.added[:0]
		return nil
	}
	again := bytes.Clone(p.text.Bytes()[p.marked:])
	ends, start := append([]int{}, p.added...), p.marked
	p.current.Truncate(p.flushed)
	p.text.Truncate(p.marked)
	p.added = p.added[:0]
	if p.marked > 0 {
		if err := p.close(); err != nil {
			return err
		}
	} else {
		p.ratio = min(2*p.ratio, surely)
		p.deflate.Reset(&p.current)
	}
	from := 0
	for _, end := range ends {
		if err := p.add(again[from : end-start]); err != nil {
			return err
		}
		from = end - start
	}
	return p.flush()
}

// close ends a section that another follows: a stored block of blanks makes it
// fill its piece.
func (p *pieces) close() error {
	if p.held += p.current.Len(); p.held > maxIndex {
		return errLongIndex
	}
	fill := bytes.Repeat([]byte{' '}, p.room()-p.current.Len())
	p.ratio = min(p.current.Len()<<10/max(1, p.text.Len())*33/32+1, surely)
	p.text.Write(fill)
	p.count(maxPiece)
	p.current.Write(stored(fill, false))
	p.sections = append(p.sections, bytes.Clone(p.current.Bytes()))
	p.current.Reset()
	p.text.Reset()
	p.deflate.Reset(&p.current)
	p.flushed, p.marked = 0, 0
	return nil
}

// count hashes the current section's text, and before it the glue to a piece
// with this much payload.
func (p *pieces) count(payload int) {
	if len(p.sections) > 0 {
		blanks, _ := blanksOf(glue(payload), p.lead)
		p.hash.Write(blanks)
		p.size += len(blanks)
	}
	p.hash.Write(p.text.Bytes())
	p.size += p.text.Len()
}

// glue is what lies between the payload of one piece and that of the next.
func glue(payload int) []byte {
	return append(bytes.Clone(pieceTrailer), pieceStart(payload)...)
}

// pieceStart begins an empty gzip member with payload in its extra field.
func pieceStart(payload int) []byte {
	b := []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(4+payload))
	b = append(b, pieceID1, pieceID2)
	return binary.LittleEndian.AppendUint16(b, uint16(payload))
}

// stored is a block without compression (RFC 1951, section 3.2.4), at a byte.
func stored(p []byte, last bool) []byte {
	b := []byte{0}
	if last {
		b[0] = 1
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(p)))
	b = binary.LittleEndian.AppendUint16(b, ^uint16(len(p)))
	return append(b, p...)
}

// finish gives the pieces, with the text that ends the JSON, and the JSON's digest.
func (p *pieces) finish(text []byte) (members [][]byte, toc digest.Digest, err error) {
	if err := p.flush(); err != nil {
		return nil, "", err
	}
	if p.flushed+len(text)+maxEnd > p.room() {
		if err := p.close(); err != nil {
			return nil, "", err
		}
	}
	p.ratio = surely
	if err := errors.Join(p.add(text), p.flush()); err != nil {
		return nil, "", err
	}
	if p.held += p.current.Len(); p.held > maxIndex {
		return nil, "", errLongIndex
	}
	last := p.before() + p.current.Len() + maxEnd
	for len(p.sections) > 0 && !isBlank(glue(last), p.lead) {
		last++
	}
	p.count(last)
	padding := (blockSize - p.size%blockSize) % blockSize
	if _, err := p.deflate.Write(make([]byte, padding+2*blockSize)); err != nil {
		return nil, "", err
	}
	if err := p.deflate.Close(); err != nil {
		return nil, "", err
	}
	p.sections = append(p.sections, p.current.Bytes())
	if members, err = p.members(last); err != nil {
		return nil, "", err
	}
	return members, digest.NewDigest(digest.Canonical, p.hash), nil
}

// members makes empty members of the sections, the last with this much payload.
func (p *pieces) members(last int) ([][]byte, error) {
	header, err := tocHeader(p.size)
	if err != nil {
		return nil, err
	}
	var members [][]byte
	for i, section := range p.sections {
		payload, isLast := maxPiece, i == len(p.sections)-1
		if isLast {
			payload = last
		}
		m := pieceStart(payload)
		if i == 0 {
			m = append(m, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff)
			m = append(m, stored(header, false)...)
		} else {
			m = append(m, endBlanks()...)
		}
		m = append(m, section...)
		if !isLast {
			m = append(m, p.begin...)
		}
		members = append(members, m)
	}
	sum, n, err := checksum(members)
	if err != nil {
		return nil, err
	}
	tail := &members[len(members)-1]
	*tail = binary.LittleEndian.AppendUint32(*tail, sum)
	*tail = binary.LittleEndian.AppendUint32(*tail, n)
	*tail = append(*tail, make([]byte, pieceHeader+last-len(*tail))...) // behind the stream's end
	for i := range members {
		members[i] = append(members[i], pieceTrailer...)
	}
	return members, nil
}

// checksum inflates the index as its readers do, since its header, which comes
// first, was written last.
func checksum(members [][]byte) (sum, size uint32, err error) {
	var parts []io.Reader
	for i, m := range members {
		if i == 0 {
			m = m[pieceHeader+gzipHeader:]
		}
		parts = append(parts, bytes.NewReader(m))
		if i < len(members)-1 {
			parts = append(parts, bytes.NewReader(pieceTrailer))
		}
	}
	h := crc32.NewIEEE()
	n, err := io.Copy(h, flate.NewReader(io.MultiReader(parts...)))
	if err != nil {
		return 0, 0, fmt.Errorf("the index cannot be inflated: %w", err)
	}
	return h.Sum32(), uint32(n), nil
}

// tocHeader is the tar header before the JSON.
func tocHeader(size int) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: tocName, Size: int64(size), Format: tar.FormatUSTAR})
	if err == nil && b.Len() != blockSize {
		err = errors.New("the header of the index is not one block")
	}
	return b.Bytes(), err
}

// The footer of eStargz: an empty gzip member whose extra field tells where the
// index begins (stargz-snapshotter, docs/estargz.md, "Footer").
const (
	footerID1, footerID2 = 'S', 'G'
	footerSize           = 51
	footerEnd            = storedHeader + 8 // behind the extra field: an empty block, checksum and size
	footerMagic          = "STARGZ"
)

// footer points to the index at offset.
func footer(offset int64) []byte {
	value := fmt.Sprintf("%016x%s", offset, footerMagic)
	b := []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff}
	b = binary.LittleEndian.AppendUint16(b, uint16(4+len(value)))
	b = append(b, footerID1, footerID2)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	b = append(b, stored(nil, true)...)
	return append(b, make([]byte, 8)...)
}
