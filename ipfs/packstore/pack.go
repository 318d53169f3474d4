package packstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// A pack is a CARv1 file (https://ipld.io/specs/transport/car/carv1/): a header
// that names one root, then sections of varint, CID and data.

const (
	maxBlock      = 8 << 20 // bytes; bitswap carries 2 MiB
	maxSection    = maxBlock + 256
	flushAt       = 256 << 10 // a pack's buffer is written when it is this full
	writebackStep = 32 << 20  // bytes between hints to begin writing to disk
)

// location is where the section of a block lies.
type location struct {
	pack packID
	off  int64
	size uint32
}

// unknownRoot holds the root's place in the header until it is known: CIDv1,
// dag-pb, SHA-256.
var unknownRoot = cid.NewCidV1(cid.DagProtobuf, append([]byte{multihash.SHA2_256, 32}, make([]byte, 32)...))

// headerSize is the length of every pack's header.
const headerSize = 59

// packWriter writes one pack in tmp/. The file is made when the buffer is full
// for the first time.
type packWriter struct {
	dir    dir
	id     packID
	file   *os.File
	buf    []byte
	size   int64 // bytes appended, those in buf included
	hinted int64 // bytes that are on their way to disk
}

func newPackWriter(d dir) (*packWriter, error) {
	header, err := car.Header(unknownRoot)
	if err != nil {
		return nil, err
	}
	return &packWriter{dir: d, id: newPackID(), buf: header, size: int64(len(header))}, nil
}

// open makes the file.
func (w *packWriter) open() (err error) {
	if w.file == nil {
		w.file, err = createPack(w.dir.tempPack(w.id))
	}
	return err
}

func (w *packWriter) append(c cid.Cid, data []byte) (location, error) {
	start := len(w.buf)
	w.buf = car.AppendHead(w.buf, c, len(data))
	loc := location{pack: w.id, off: w.size, size: uint32(len(w.buf) - start + len(data))}
	w.size += int64(loc.size)
	if len(w.buf)+len(data) < flushAt {
		w.buf = append(w.buf, data...)
		return loc, nil
	}
	if err := w.flush(); err != nil {
		return loc, err
	}
	_, err := w.file.Write(data)
	return loc, err
}

func (w *packWriter) flush() error {
	if err := w.open(); err != nil {
		return err
	}
	if _, err := w.file.Write(w.buf); err != nil {
		return err
	}
	w.buf = w.buf[:0]
	if w.size-w.hinted >= writebackStep {
		startWriteback(w.file, w.hinted, w.size-w.hinted)
		w.hinted = w.size
	}
	return nil
}

// absorb appends all sections of o and tells by how much their offsets change.
func (w *packWriter) absorb(o *packWriter) (shift int64, err error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	shift = w.size - headerSize
	if o.file == nil {
		_, err = w.file.Write(o.buf[headerSize:])
	} else if err = o.flush(); err == nil {
		_, err = io.Copy(w.file, io.NewSectionReader(o.file, headerSize, o.size-headerSize))
	}
	w.size += o.size - headerSize
	return shift, err
}

// seal makes the pack durable where it is.
func (w *packWriter) seal(root cid.Cid) error {
	header, err := car.Header(root)
	if err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if len(header) == headerSize {
		if _, err := w.file.WriteAt(header, 0); err != nil {
			return err
		}
	}
	return syncFile(w.file)
}

// place puts the pack under its final name; the directory is left to the caller to
// sync. From then on it is gc's to remove: gc may know of it, and rely on it. Its file
// stays open, and so locked, until discard, but on Windows, which renames no open file.
func (w *packWriter) place() error {
	if runtime.GOOS == "windows" {
		if err := w.file.Close(); err != nil {
			return err
		}
	}
	return os.Rename(w.dir.tempPack(w.id), w.dir.pack(w.id))
}

// discard lets go of the file, and removes it unless it was placed.
func (w *packWriter) discard() error {
	if w.file == nil {
		return nil
	}
	w.file.Close() // for the second time after place on Windows, which is harmless
	w.buf = nil
	_, err := removeFile(w.dir.tempPack(w.id))
	return err
}

// sectionData checks that section is that of block c and gives its data. The
// data itself is not hashed.
func sectionData(section []byte, c cid.Cid) ([]byte, error) {
	start, err := dataStart(section, len(section), c)
	if err != nil {
		return nil, err
	}
	return section[start:], nil
}

// dataStart does the same of a section of size bytes that begins with head, and
// tells where its data begins.
func dataStart(head []byte, size int, c cid.Cid) (int, error) {
	n, k := binary.Uvarint(head)
	if k <= 0 || n != uint64(size-k) {
		return 0, fmt.Errorf("%w: its length field says %d, the index %d", ipfs.ErrCorrupt, n, size-max(k, 0))
	}
	length, found, err := cid.CidFromBytes(head[k:])
	if err != nil {
		return 0, fmt.Errorf("%w: %v", ipfs.ErrCorrupt, err)
	}
	if !bytes.Equal(found.Hash(), c.Hash()) {
		return 0, fmt.Errorf("%w: it holds block %s", ipfs.ErrCorrupt, found)
	}
	return k + length, nil
}

// packError says where reading a section has failed. A pack that ends before the
// section does is damaged.
func packError(name string, loc location, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = fmt.Errorf("%w: the file ends within the %d bytes there", ipfs.ErrCorrupt, loc.size)
	}
	return fmt.Errorf("reading pack %s at offset %d: %w", name, loc.off, err)
}

const maxSectionHeader = 256 // bytes of length and CID

// openSection opens the pack in which block c lies, for one reader alone, where
// its size bytes of data begin.
func (d dir) openSection(c cid.Cid, loc location) (f *os.File, size int64, err error) {
	f, err = os.Open(d.pack(loc.pack))
	if err != nil {
		return nil, 0, err
	}
	head := make([]byte, min(maxSectionHeader, int(loc.size)))
	var start int
	if _, err = f.ReadAt(head, loc.off); err == nil {
		start, err = dataStart(head, int(loc.size), c)
	}
	if err != nil {
		err = packError(f.Name(), loc, err)
	} else {
		_, err = f.Seek(loc.off+int64(start), io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, int64(loc.size) - int64(start), nil
}

// scanPack calls fn for every section of a pack in order. It hashes nothing.
func scanPack(d dir, id packID, fn func(c cid.Cid, data []byte, loc location) error) (root cid.Cid, err error) {
	f, err := os.Open(d.pack(id))
	if err != nil {
		return cid.Undef, err
	}
	defer f.Close()
	r, err := car.NewReader(newReader(f), maxSection)
	var roots []cid.Cid
	if err == nil {
		roots, err = r.Roots()
	}
	if err != nil || len(roots) != 1 {
		return cid.Undef, fmt.Errorf("%w: pack %s: header with %d roots: %v", ipfs.ErrCorrupt, f.Name(), len(roots), err)
	}
	for {
		off := r.Offset()
		c, data, err := r.Next()
		if err == io.EOF {
			return roots[0], nil
		}
		if err != nil {
			return cid.Undef, fmt.Errorf("%w: pack %s after offset %d: %v", ipfs.ErrCorrupt, f.Name(), off, err)
		}
		if err := fn(c, data, location{pack: id, off: off, size: uint32(r.Offset() - off)}); err != nil {
			return cid.Undef, err
		}
	}
}
