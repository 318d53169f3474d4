package layer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Bounds of what is read of a layer to look into it.
const (
	maxListed  = 50_000  // files of one layer
	maxBrowsed = 2 << 30 // bytes of a tar that has no index
)

// ErrNoFile is matched by errors about a file that a layer does not have, or that has no
// content of its own.
var ErrNoFile = errors.New("no such file in the layer")

// File is a file of a layer, as its index or its tar tells of it.
type File struct {
	Name string // below the image's root, without slashes at its ends; "" for that itself
	Kind string // reg, dir, symlink, hardlink, char, block or fifo
	Link string // where a link leads, as it says
	Mode int64  // permissions
	Size int64  // of its content, in bytes

	parts []tocEntry // where the index says its content is
}

// Listing are the files of a layer.
type Listing struct {
	Files   []File // in their order in the layer
	Indexed bool   // the index inside the layer tells of them; else the layer was read
	Cut     bool   // there are more than are listed
}

// List lists the files of a layer of this size: from the index inside it where annotations
// or its last bytes tell of one (eStargz, zstd:chunked), else by reading it, plain or
// compressed by gzip or zstd. Of very large ones the first files are listed. Names are what
// the layer says and may be anything but a way out of the image. The error tells of bytes
// that are no such layer.
func List(blob io.ReadSeeker, size int64, annotations map[string]string) (*Listing, error) {
	if l, err := listIndex(blob, size, annotations); err == nil {
		return l, nil
	}
	l := &Listing{}
	err := eachMember(blob, func(h *tar.Header, _ io.Reader) (more bool, err error) {
		if len(l.Files) >= maxListed {
			l.Cut = true
			return false, nil
		}
		l.Files = append(l.Files, fileOf(h))
		return true, nil
	})
	if errors.Is(err, errTooMuch) {
		l.Cut, err = true, nil
	}
	return l, err
}

// listIndex reads the index inside a layer.
func listIndex(blob io.ReadSeeker, size int64, annotations map[string]string) (*Listing, error) {
	head := make([]byte, skippableHeader)
	if size < int64(len(head)) {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrIndex, size)
	}
	if err := readAt(blob, 0, head); err != nil {
		return nil, err
	}
	l := &Listing{Indexed: true}
	if isFrame(head) {
		s, err := statedBy(blob, size, annotations)
		if err == nil && s.positions.toc == 0 {
			s.positions, err = readChunkedFooter(blob, size)
		}
		if err != nil {
			return nil, err
		}
		if s.positions.toc > uint64(size) || s.tocSize > uint64(size)-s.positions.toc || s.tocSize > maxIndex {
			return nil, fmt.Errorf("%w: its index is not in the layer", ErrIndex)
		}
		text, err := inflated(blob, s.positions.toc, s.tocSize, s.checksum)
		if err != nil {
			return nil, err
		}
		defer text.Close()
		return l, l.decode(text)
	}
	offset, err := readFooter(blob, size)
	if err != nil {
		return nil, err
	}
	if _, err := blob.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(io.LimitReader(blob, size-footerSize-offset))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIndex, err)
	}
	z.Multistream(false)
	files := tar.NewReader(z)
	if h, err := files.Next(); err != nil || h.Name != tocName {
		return nil, fmt.Errorf("%w: no %s at %d", ErrIndex, tocName, offset)
	}
	return l, l.decode(files)
}

// decode reads the JSON of an index, of which only the entries matter.
func (l *Listing) decode(text io.Reader) error {
	d := json.NewDecoder(io.LimitReader(text, maxIndexText))
	for token := json.Token(nil); token != "entries"; {
		var err error
		if token, err = d.Token(); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the bracket
		return err
	}
	for d.More() {
		var e tocEntry
		if err := d.Decode(&e); err != nil {
			return err
		}
		switch {
		case e.Type == typeChunk && len(l.Files) > 0:
			last := &l.Files[len(l.Files)-1]
			last.parts = append(last.parts, e)
			continue
		case len(l.Files) >= maxListed:
			l.Cut = true
			return nil
		}
		f := File{Name: cleanName(e.Name), Kind: e.Type, Link: e.LinkName, Mode: e.Mode & 0o7777, Size: e.Size}
		if e.Type == typeReg && e.Size > 0 {
			f.parts = []tocEntry{e}
		}
		l.Files = append(l.Files, f)
	}
	return nil
}

// Content reads at most n bytes of a file's content from the layer that the listing is
// of. The error matches [ErrNoFile] for what is no file.
func (l *Listing) Content(blob io.ReadSeeker, name string, n int64) ([]byte, error) {
	for _, f := range l.Files {
		if f.Name == name && f.Kind == typeReg && l.Indexed {
			return f.read(blob, n)
		}
	}
	if l.Indexed {
		return nil, fmt.Errorf("%w: %q", ErrNoFile, name)
	}
	var data []byte
	err := eachMember(blob, func(h *tar.Header, r io.Reader) (more bool, err error) {
		if h.Typeflag != tar.TypeReg || cleanName(h.Name) != name {
			return true, nil
		}
		data, err = io.ReadAll(io.LimitReader(r, n))
		if data == nil {
			data = []byte{}
		}
		return false, err
	})
	if err == nil && data == nil {
		err = fmt.Errorf("%w: %q", ErrNoFile, name)
	}
	return data, err
}

// read reads a file where the index says that it is.
func (f File) read(blob io.ReadSeeker, n int64) ([]byte, error) {
	data := []byte{}
	for _, p := range f.parts {
		size := p.ChunkSize
		if size == 0 {
			size = f.Size - p.ChunkOffset
		}
		size = min(size, n-int64(len(data)))
		if size <= 0 {
			break
		}
		if p.ChunkType == "zeros" {
			data = append(data, make([]byte, size)...)
			continue
		}
		if p.InnerOffset < 0 || p.InnerOffset > maxMember {
			return nil, fmt.Errorf("%w: %q is %d bytes inside the member at %d", ErrIndex, f.Name, p.InnerOffset, p.Offset)
		}
		if _, err := blob.Seek(p.Offset, io.SeekStart); err != nil {
			return nil, err
		}
		r, err := inflate(blob)
		if err != nil {
			return nil, err
		}
		if _, err = io.CopyN(io.Discard, r, p.InnerOffset); err == nil {
			part := make([]byte, size)
			if _, err = io.ReadFull(r, part); err == nil {
				data = append(data, part...)
			}
		}
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("%w: %q at %d: %w", ErrIndex, f.Name, p.Offset, err)
		}
	}
	return data, nil
}

// inflate reads what begins here, compressed or not.
func inflate(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, skippableHeader)
	start, _ := in.Peek(4) // less is no compressed stream
	copy(head, start)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case isFrame(head):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMember))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

// errTooMuch is why a tar is not read to its end.
var errTooMuch = fmt.Errorf("it has more than %d MiB", maxBrowsed>>20)

// eachMember calls fn for the entries of a layer's tar, until it says that no more are
// wanted.
func eachMember(blob io.ReadSeeker, fn func(h *tar.Header, r io.Reader) (more bool, err error)) error {
	if _, err := blob.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in, err := inflate(blob)
	if err != nil {
		return err
	}
	defer in.Close() // nothing is written
	files := tar.NewReader(&bounded{in, maxBrowsed})
	for {
		h, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the layer's tar: %w", err)
		}
		if more, err := fn(h, files); err != nil || !more {
			return err
		}
	}
}

// bounded gives an error where too much is read.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func fileOf(h *tar.Header) File {
	kinds := map[byte]string{tar.TypeReg: typeReg, tar.TypeDir: typeDir, tar.TypeSymlink: "symlink", tar.TypeLink: typeLink, tar.TypeChar: "char", tar.TypeBlock: "block", tar.TypeFifo: "fifo"}
	f := File{Name: cleanName(h.Name), Kind: kinds[h.Typeflag], Link: h.Linkname, Mode: h.Mode & 0o7777, Size: h.Size}
	if f.Kind == "" {
		f.Kind = typeReg
	}
	return f
}
