package layer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// ErrIndex is matched by errors about an index that does not say what is in its
// layer.
var ErrIndex = errors.New("the index does not fit its layer")

// Bounds of what an index, and a member, may have to be compared.
const (
	maxIndexText = 1 << 30
	maxMember    = 64 << 20
)

// VerifyIndex compares the index of a layer of this size, of gzip as ours or any
// eStargz has it or of zstd:chunked, with the layer: whoever reads lazily sees the
// names, attributes and digests of the index, and the bytes where it points to.
// annotations are those of the layer in each manifest that has it; each index that they
// tell of, as [HasIndex] has it, is compared. Errors match [ErrIndex] where the layer
// is at fault.
func VerifyIndex(blob io.ReadSeeker, size int64, annotations ...map[string]string) error {
	head := make([]byte, skippableHeader)
	if size < int64(len(head)) {
		return fmt.Errorf("%w: it has %d bytes, less than a footer", ErrIndex, size)
	}
	if err := readAt(blob, 0, head); err != nil {
		return err
	}
	wanted := map[digest.Digest]bool{} // of eStargz
	for _, a := range annotations {
		for _, name := range digestAnnotations() {
			text, found := a[name]
			if !found {
				continue
			}
			if err := digest.Digest(text).Validate(); err != nil {
				return fmt.Errorf("%w: annotation %s is %q: %w", ErrIndex, name, text, err)
			}
			if name != AnnotationTOC && !isFrame(head) {
				return fmt.Errorf("%w: annotation %s tells of zstd:chunked, and the layer begins with no frame of zstd", ErrIndex, name)
			}
			wanted[digest.Digest(text)] = true
		}
	}
	if isFrame(head) {
		return verifyChunked(blob, size, annotations)
	}
	for want := range wanted {
		if err := verifyGzip(blob, size, want); err != nil {
			return err
		}
	}
	return nil
}

// readAt fills b from offset on.
func readAt(blob io.ReadSeeker, offset int64, b []byte) error {
	if _, err := blob.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err := io.ReadFull(blob, b)
	return err
}

func verifyGzip(blob io.ReadSeeker, size int64, want digest.Digest) error {
	offset, err := readFooter(blob, size)
	if err != nil {
		return err
	}
	told := newTold()
	told.tocAt = offset
	if err := told.readTOC(blob, offset, size-footerSize-offset, want); err != nil {
		return err
	}
	if _, err := blob.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return told.compare(&gzipMembers{in: &position{r: bufio.NewReaderSize(blob, 64<<10)}}, nil)
}

// readFooter gives the offset of the index.
func readFooter(blob io.ReadSeeker, size int64) (int64, error) {
	if size < footerSize {
		return 0, fmt.Errorf("%w: it has %d bytes, less than a footer", ErrIndex, size)
	}
	found := make([]byte, footerSize)
	if err := readAt(blob, size-footerSize, found); err != nil {
		return 0, err
	}
	offset, err := strconv.ParseInt(string(found[pieceHeader:pieceHeader+16]), 16, 64)
	if err != nil || offset < 0 || offset > size-footerSize || string(found[pieceHeader+16:][:len(footerMagic)]) != footerMagic {
		return 0, fmt.Errorf("%w: its last %d bytes are no footer of eStargz", ErrIndex, footerSize)
	}
	return offset, nil
}

// readTOC reads the n bytes of the index at offset.
func (t *told) readTOC(blob io.ReadSeeker, offset, n int64, want digest.Digest) error {
	if _, err := blob.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	z, err := gzip.NewReader(io.LimitReader(blob, n))
	if err != nil {
		return fmt.Errorf("%w: no gzip stream at %d: %w", ErrIndex, offset, err)
	}
	z.Multistream(false)
	files := tar.NewReader(z)
	h, err := files.Next()
	if err != nil || h.Name != tocName || h.Size > maxIndexText {
		return fmt.Errorf("%w: no %s of at most %d MiB at %d", ErrIndex, tocName, maxIndexText>>20, offset)
	}
	verifier := digest.Canonical.Digester()
	text := io.TeeReader(files, verifier.Hash())
	if err := t.decode(text); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrIndex, tocName, jsontext.Fault(err))
	}
	if _, err := io.Copy(io.Discard, text); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrIndex, tocName, err)
	}
	if got := verifier.Digest(); got != want {
		return fmt.Errorf("%w: its digest is %s, its layer's descriptor says %s", ErrIndex, got, want)
	}
	return nil
}

// gzipMembers gives the members of a gzip layer.
type gzipMembers struct {
	in     *position
	z      gzip.Reader
	member bytes.Buffer
}

func (g *gzipMembers) ends() [2]int64 { return [2]int64{g.in.n, g.in.n} }

func (g *gzipMembers) next() (offset int64, data []byte, err error) {
	offset = g.in.n
	if err := g.z.Reset(g.in); err == io.EOF {
		return offset, nil, err
	} else if err != nil {
		return offset, nil, fmt.Errorf("%w: member at %d: %w", ErrIndex, offset, err)
	}
	g.z.Multistream(false)
	g.member.Reset()
	if _, err := io.Copy(&g.member, io.LimitReader(&g.z, maxMember+1)); err != nil {
		return offset, nil, fmt.Errorf("%w: member at %d: %w", ErrIndex, offset, err)
	}
	if g.member.Len() > maxMember {
		return offset, nil, fmt.Errorf("%w: the member at %d has more than %d MiB", ErrIndex, offset, maxMember>>20)
	}
	return offset, g.member.Bytes(), nil
}

// position counts what is read, byte by byte where gzip asks so.
type position struct {
	r *bufio.Reader
	n int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err
}

func (p *position) ReadByte() (byte, error) {
	b, err := p.r.ReadByte()
	if err == nil {
		p.n++
	}
	return b, err
}
