package layer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
)

// ErrIndex is matched by errors about an index that does not say what is in its
// layer.
var ErrIndex = errors.New("the index does not fit its layer")

// Bounds of what an index, and a member, may have to be compared.
const (
	maxIndexText = 1 << 30
	maxMember    = 64 << 20
)

// VerifyIndex compares the index of a gzip layer of this size, ours or any
// eStargz, with the layer: whoever reads lazily sees the names, attributes and
// digests of the index, and the bytes where it points to. want is the digest
// that the layer's descriptor states. Errors match [ErrIndex] where the layer is
// at fault.
func VerifyIndex(blob io.ReadSeeker, size int64, want digest.Digest) error {
	offset, err := readFooter(blob, size)
	if err != nil {
		return err
	}
	told := newTold()
	if err := told.readTOC(blob, offset, size-footerSize-offset, want); err != nil {
		return err
	}
	if _, err := blob.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return told.compare(blob)
}

// readFooter gives the offset of the index.
func readFooter(blob io.ReadSeeker, size int64) (int64, error) {
	if size < footerSize {
		return 0, fmt.Errorf("%w: it has %d bytes, less than a footer", ErrIndex, size)
	}
	if _, err := blob.Seek(size-footerSize, io.SeekStart); err != nil {
		return 0, err
	}
	found := make([]byte, footerSize)
	if _, err := io.ReadFull(blob, found); err != nil {
		return 0, err
	}
	offset, err := strconv.ParseInt(string(found[pieceHeader:pieceHeader+16]), 16, 64)
	if err != nil || offset < 0 || offset > size-footerSize || string(found[pieceHeader+16:][:len(footerMagic)]) != footerMagic {
		return 0, fmt.Errorf("%w: its last %d bytes are no footer of eStargz", ErrIndex, footerSize)
	}
	return offset, nil
}

// told is what an index says, each statement as a hash: of the entries by name,
// of which the last counts, and of the parts of files.
type told struct {
	entries map[nameKey]nameKey
	parts   map[nameKey]bool
}

func newTold() *told {
	return &told{entries: map[nameKey]nameKey{}, parts: map[nameKey]bool{}}
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
	if err := t.decode(json.NewDecoder(text)); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrIndex, tocName, err)
	}
	if _, err := io.Copy(io.Discard, text); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrIndex, tocName, err)
	}
	if got := verifier.Digest(); got != want {
		return fmt.Errorf("%w: its digest is %s, its layer's descriptor says %s", ErrIndex, got, want)
	}
	return nil
}

// decode reads the JSON entry by entry.
func (t *told) decode(d *json.Decoder) error {
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		if token == "entries" {
			break
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	var file tocEntry
	for d.More() {
		var e tocEntry
		if err := d.Decode(&e); err != nil {
			return err
		}
		if e.Type != typeChunk {
			file = e
			t.entries[key(cleanName(e.Name))] = statement(e, e.Digest)
		}
		if e.Type == typeChunk || e.Type == typeReg && e.Size > 0 {
			if e.ChunkSize == 0 {
				e.ChunkSize = file.Size - e.ChunkOffset
			}
			if e.ChunkDigest == "" {
				e.ChunkDigest = e.Digest
			}
			t.parts[partStatement(file.Name, e)] = true
		}
	}
	return nil
}

// statement is what an index says of an entry, a file's contents included. Times
// are compared by the second, as eStargz has them.
func statement(e tocEntry, contents digest.Digest) nameKey {
	e.Name, e.Digest = cleanName(e.Name), ""
	if e.Type == typeReg && e.Size > 0 {
		e.Digest = contents
	}
	if e.Type == typeLink { // the target has the attributes
		e = tocEntry{Name: e.Name, Type: e.Type, LinkName: cleanName(e.LinkName)}
	}
	if at, err := time.Parse(time.RFC3339, e.ModTime); err == nil {
		e.ModTime = strconv.FormatInt(at.Unix(), 10)
	} else if e.ModTime == "" { // how eStargz writes 1970
		e.ModTime = "0"
	}
	if len(e.Xattrs) == 0 {
		e.Xattrs = nil
	}
	e.Offset, e.EndOffset, e.InnerOffset, e.ChunkOffset, e.ChunkSize, e.ChunkDigest = 0, 0, 0, 0, 0, ""
	return hashOf(e)
}

func partStatement(name string, e tocEntry) nameKey {
	return hashOf(tocEntry{Name: cleanName(name), Offset: e.Offset, InnerOffset: e.InnerOffset, ChunkOffset: e.ChunkOffset, ChunkSize: e.ChunkSize, ChunkDigest: e.ChunkDigest})
}

func hashOf(e tocEntry) nameKey {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(e) // of strings and numbers, which json always can write, to a hash
	return nameKey(h.Sum(nil))
}

// compare reads the layer's tar member by member and compares it with what the
// index says, both ways.
func (t *told) compare(blob io.Reader) error {
	in := &position{r: bufio.NewReaderSize(blob, 64<<10)}
	seen := &seen{told: t, scanner: newScanner(), entries: map[nameKey]nameKey{}}
	var z gzip.Reader
	var member bytes.Buffer
	for {
		offset := in.n
		err := z.Reset(in)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: member at %d: %w", ErrIndex, offset, err)
		}
		z.Multistream(false)
		member.Reset()
		if _, err := io.Copy(&member, io.LimitReader(&z, maxMember+1)); err != nil {
			return fmt.Errorf("%w: member at %d: %w", ErrIndex, offset, err)
		}
		if member.Len() > maxMember {
			return fmt.Errorf("%w: the member at %d has more than %d MiB", ErrIndex, offset, maxMember>>20)
		}
		if err := seen.member(member.Bytes(), offset); err != nil {
			return err
		}
	}
	return seen.end()
}

// seen is what a layer turned out to have.
type seen struct {
	*told
	scanner *scanner
	entries map[nameKey]nameKey
	parts   int
}

func (s *seen) member(data []byte, offset int64) error {
	for _, p := range s.scanner.segment(data) {
		name := cleanName(p.Name)
		if name == tocName {
			continue
		}
		p.sum(data)
		whole := p.whole
		if whole == "" {
			whole = p.digest
		}
		if p.Type != typeReg || p.offset+int64(p.n) == p.Size {
			s.entries[key(name)] = statement(*p.tocEntry, whole)
		}
		if p.n == 0 {
			continue
		}
		s.parts++
		at := tocEntry{Offset: offset, InnerOffset: int64(p.at), ChunkOffset: p.offset, ChunkSize: int64(p.n), ChunkDigest: p.digest}
		if !s.told.parts[partStatement(name, at)] {
			return fmt.Errorf("%w: it says other of the %d bytes at %d of %q, which lie at %d of the member at %d and have digest %s", ErrIndex, p.n, p.offset, name, p.at, offset, p.digest)
		}
	}
	return nil
}

func (s *seen) end() error {
	if err := s.scanner.end(); err != nil {
		return fmt.Errorf("%w: it can tell no index of this tar: %w", ErrIndex, err)
	}
	differ := 0
	for name, statement := range s.entries {
		if s.told.entries[name] != statement {
			differ++
		}
	}
	if extra := len(s.told.entries) - len(s.entries); differ > 0 || extra > 0 {
		return fmt.Errorf("%w: of %d names %d are missing or have other attributes or contents, %d more are told", ErrIndex, len(s.entries), differ, max(0, extra))
	}
	if s.parts != len(s.told.parts) {
		return fmt.Errorf("%w: it tells of %d parts of files, there are %d", ErrIndex, len(s.told.parts), s.parts)
	}
	return nil
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
