package layer

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/jsontext"
)

// Bounds of what is read of a layer to look into it: its bytes are somebody else's, and an
// index of 17 bytes for each entry, or a name of 1 MiB for each file, costs who forges it
// nothing.
const (
	maxListed      = 50_000    // files of one layer
	maxListedParts = 500_000   // parts of files that an index tells of
	maxListedText  = 16 << 20  // bytes of names and links
	maxListedName  = 4 << 10   // bytes of one, as of a path on Linux
	maxBrowsed     = 2 << 30   // bytes of a tar that has no index
	maxBrowsedText = 64 << 20  // bytes of an index's JSON
	maxEntryRead   = 1 << 20   // bytes read of it for one entry
	maxInflated    = 256 << 20 // bytes inflated for the content of one file
	readAhead      = 64 << 10  // bytes that are read where a part begins, at once
)

// ErrNoFile is matched by errors about a file that a layer does not have, or that has no
// content of its own.
var ErrNoFile = errors.New("no such file in the layer")

// ErrMalformed is matched by errors about bytes that are not those of a layer.
var ErrMalformed = errors.New("malformed layer")

// File is a file of a layer, as its index or its tar tells of it.
type File struct {
	Name string // below the image's root, without slashes at its ends; "" for that itself
	Kind string // reg, dir, symlink, hardlink, char, block or fifo
	Link string // where a link leads, as it says
	Mode int64  // permissions
	Size int64  // of its content, in bytes

	parts  []place // where the index says its content is
	member int     // its number in a tar without an index
}

// place is where a part of a file's content is.
type place struct {
	offset, inner int64 // of the member or frame, and of the data in it
	at, size      int64 // in the file; size 0: to its end
	zeros         bool  // it is nowhere, and zeros
}

// listedEntry is what a [tocEntry] says that matters to who looks into a layer.
type listedEntry struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	LinkName    string `json:"linkName"`
	Mode        int64  `json:"mode"`
	Size        int64  `json:"size"`
	Offset      int64  `json:"offset"`
	InnerOffset int64  `json:"innerOffset"`
	ChunkOffset int64  `json:"chunkOffset"`
	ChunkSize   int64  `json:"chunkSize"`
	ChunkType   string `json:"chunkType"`
}

func (e *listedEntry) place() place {
	return place{e.Offset, e.InnerOffset, e.ChunkOffset, e.ChunkSize, e.ChunkType == "zeros"}
}

// Listing are the files of a layer.
type Listing struct {
	Files   []File // in their order in the layer
	Indexed bool   // the index inside the layer tells of them; else the layer was read
	Cut     bool   // there are more than are listed

	text int // bytes of names and links
}

// List lists the files of a layer of this size: from the index inside it where annotations
// or its last bytes tell of one (eStargz, zstd:chunked), else by reading it, plain or
// compressed by gzip or zstd. Of very large ones the first files are listed, and of files
// with very long names none. Names are what the layer says and may be anything but a way
// out of the image. The error matches [ErrMalformed] for bytes that are no such layer, or
// is that of reading, or of ctx.
func List(ctx context.Context, blob io.ReadSeeker, size int64, annotations map[string]string) (*Listing, error) {
	in := &source{ReadSeeker: blob, ctx: ctx}
	l, err := listIndex(in, size, annotations)
	if err == nil || in.broken() != nil {
		return l, in.cause(err)
	}
	l = &Listing{}
	member := 0
	err = eachMember(in, func(h *tar.Header, _ io.Reader) (more bool, err error) {
		f := fileOf(h)
		f.member = member
		member++
		l.add(f)
		return !l.full(), nil
	})
	if errors.Is(err, errTooMuch) {
		l.Cut, err = true, nil
	}
	return l, in.cause(err)
}

// add lists a file, or tells that it is not listed.
func (l *Listing) add(f File) bool {
	text := len(f.Name) + len(f.Link) + len(f.Kind)
	if len(l.Files) >= maxListed || max(len(f.Name), len(f.Link), len(f.Kind)) > maxListedName || l.text+text > maxListedText {
		l.Cut = true
		return false
	}
	f.Name, f.Link, f.Kind = strings.Clone(f.Name), strings.Clone(f.Link), strings.Clone(f.Kind) // archive/tar's are parts of a whole header
	l.text += text
	l.Files = append(l.Files, f)
	return true
}

// full tells whether no more files are looked for, which is so after one too many.
func (l *Listing) full() bool {
	return l.Cut && (len(l.Files) >= maxListed || l.text > maxListedText-maxListedName)
}

// Find finds a file by its name; the last of that name counts, as for who unpacks the layer.
func (l *Listing) Find(name string) (File, bool) {
	for _, f := range slices.Backward(l.Files) {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}

// listIndex reads the index inside a layer.
func listIndex(blob *source, size int64, annotations map[string]string) (*Listing, error) {
	head := make([]byte, skippableHeader)
	if size < int64(len(head)) {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrIndex, size)
	}
	if err := readAt(blob, 0, head); err != nil {
		return nil, err
	}
	l := &Listing{Indexed: true}
	if isFrame(head) {
		all, err := statedBy(blob, size, annotations)
		if err == nil && len(all) == 0 {
			all, err = statedBy(blob, size, map[string]string{AnnotationTOC: ""}) // perhaps its last bytes tell of one
		}
		if err != nil {
			return nil, err
		}
		s := all[0]
		text, err := inflated(blob, s.positions.toc, s.tocSize, s.checksum)
		if err != nil {
			return nil, err
		}
		defer text.Close()
		return l, jsontext.Fault(l.decode(blob.ctx, text))
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
	files := tar.NewReader(&bounded{z, blob.ctx, maxIndexText})
	if h, err := files.Next(); err != nil || h.Name != tocName {
		return nil, fmt.Errorf("%w: no %s at %d", ErrIndex, tocName, offset)
	}
	return l, jsontext.Fault(l.decode(blob.ctx, files))
}

// errListed ends reading an index of which no more is listed.
var errListed = errors.New("no more files are listed")

// decode reads the JSON of an index, of which only the entries matter.
func (l *Listing) decode(ctx context.Context, text io.Reader) error {
	parts, listed := 0, false // whether the parts that come are those of the last file
	begun := false
	_, err := readIndex(ctx, text, func(raw []byte, end int64) error {
		begun = true
		var e listedEntry
		if end > maxBrowsedText {
			l.Cut = true
			return errListed
		}
		if err := jsontext.Unmarshal(raw, &e); err != nil {
			return err
		}
		if e.Type == typeChunk {
			if parts++; parts > maxListedParts {
				l.Cut = true
				return errListed
			}
			if listed {
				last := &l.Files[len(l.Files)-1]
				last.parts = append(last.parts, e.place())
			}
			return nil
		}
		f := File{Name: cleanName(e.Name), Kind: e.Type, Link: e.LinkName, Mode: e.Mode & 0o7777, Size: e.Size}
		if e.Type == typeReg && e.Size > 0 {
			f.parts = []place{e.place()}
		}
		if listed = l.add(f); l.full() {
			return errListed
		}
		return nil
	})
	switch {
	case errors.Is(err, errListed):
		return nil
	case begun && errors.Is(err, errTooMuch): // one entry that is too long to be read
		l.Cut = true
		return nil
	}
	return err
}

// Content reads at most n bytes of the content of the file that [Listing.Find] finds, from
// the layer that the listing is of. The error matches [ErrNoFile] for what is no file, or is
// as that of [List].
func (l *Listing) Content(ctx context.Context, blob io.ReadSeeker, name string, n int64) (data []byte, err error) {
	f, ok := l.Find(name)
	if !ok || f.Kind != typeReg {
		return nil, fmt.Errorf("%w: %q", ErrNoFile, name)
	}
	in := &source{ReadSeeker: blob, ctx: ctx}
	if l.Indexed {
		data, err = f.read(in, n)
		return data, in.cause(err)
	}
	member := -1
	err = eachMember(in, func(_ *tar.Header, r io.Reader) (more bool, err error) {
		if member++; member < f.member {
			return true, nil
		}
		data, err = io.ReadAll(io.LimitReader(r, n))
		return false, err
	})
	if err == nil && member < f.member {
		err = fmt.Errorf("%q was in it, and is not any more", name)
	}
	return data, in.cause(err)
}

// read reads a file where the index says that it is.
func (f File) read(blob *source, n int64) ([]byte, error) {
	data := []byte{}
	left := int64(maxInflated)
	for _, p := range f.parts {
		size := p.size
		if size == 0 {
			size = f.Size - p.at
		}
		size = min(size, n-int64(len(data)))
		if size <= 0 {
			break
		}
		if err := blob.ctx.Err(); err != nil {
			return nil, err
		}
		if p.zeros {
			data = append(data, make([]byte, size)...)
			continue
		}
		if p.inner < 0 || p.inner > maxMember {
			return nil, fmt.Errorf("%w: %q is %d bytes inside the member at %d", ErrIndex, f.Name, p.inner, p.offset)
		}
		if left -= p.inner + size + readAhead; left < 0 {
			return nil, fmt.Errorf("%w: %q takes inflating more than %d MiB", ErrIndex, f.Name, maxInflated>>20)
		}
		part, err := p.read(blob, size)
		if err != nil {
			return nil, fmt.Errorf("%w: %q at %d: %w", ErrIndex, f.Name, p.offset, err)
		}
		data = append(data, part...)
	}
	return data, nil
}

// read reads the first bytes of a part.
func (p place) read(blob *source, size int64) (part []byte, err error) {
	if _, err := blob.Seek(p.offset, io.SeekStart); err != nil {
		return nil, err
	}
	r, err := inflate(blob)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	in := &bounded{r, blob.ctx, p.inner + size}
	if _, err := io.CopyN(io.Discard, in, p.inner); err != nil {
		return nil, err
	}
	part = make([]byte, size)
	_, err = io.ReadFull(in, part)
	return part, err
}
