package packstore

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sort"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// A segment is an immutable part of the index: entries sorted by key, then the
// table of the packs that they point to, then a footer. Integers are
// little-endian.
//
//	entry   key 32 | offset 8 | length 4 | pack 4 (position in the table)
//	table   pack id 16, ...
//	footer  magic 8 | entries 8 | packs 8 | CRC-32C of the entries 4 | CRC-32C of table and footer so far 4

const (
	entrySize    = 48
	footerSize   = 32
	segmentMagic = "i2i-idx1"
	inMemory     = 1 << 20 // bytes up to which a segment is kept in memory once it is used
	window       = 64      // entries read at once
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// key is what blocks are found by: the digest of a SHA-256 multihash, the
// SHA-256 of any other multihash.
type key [32]byte

func keyOf(c cid.Cid) key {
	mh := c.Hash()
	if len(mh) == 34 && mh[0] == multihash.SHA2_256 && mh[1] == 32 {
		return key(mh[2:])
	}
	return sha256.Sum256(mh)
}

// prefix is the key's beginning as a number; keys are spread evenly.
func (k key) prefix() uint64 { return binary.BigEndian.Uint64(k[:]) }

type entry struct {
	key key
	location
}

// segmentWriter writes a segment to w; entries are added in the order of their keys.
type segmentWriter struct {
	w     *bufio.Writer
	n     uint64
	crc   uint32
	packs map[packID]uint32
	table []byte
}

func newSegmentWriter(w io.Writer) *segmentWriter {
	return &segmentWriter{w: bufio.NewWriterSize(w, 128<<10), packs: map[packID]uint32{}}
}

func (s *segmentWriter) add(e entry) error {
	pack, ok := s.packs[e.pack]
	if !ok {
		pack = uint32(len(s.packs))
		s.packs[e.pack] = pack
		s.table = append(s.table, e.pack[:]...)
	}
	var b [entrySize]byte
	copy(b[:], e.key[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(e.off))
	binary.LittleEndian.PutUint32(b[40:], e.size)
	binary.LittleEndian.PutUint32(b[44:], pack)
	s.crc = crc32.Update(s.crc, crcTable, b[:])
	s.n++
	_, err := s.w.Write(b[:])
	return err
}

func (s *segmentWriter) finish() error {
	tail := slices.Concat(s.table, []byte(segmentMagic))
	tail = binary.LittleEndian.AppendUint64(tail, s.n)
	tail = binary.LittleEndian.AppendUint64(tail, uint64(len(s.packs)))
	tail = binary.LittleEndian.AppendUint32(tail, s.crc)
	tail = binary.LittleEndian.AppendUint32(tail, crc32.Checksum(tail, crcTable))
	if _, err := s.w.Write(tail); err != nil {
		return err
	}
	return s.w.Flush()
}

// writeEntries writes a segment of entries in any order; of those with one key
// any stays.
func writeEntries(w io.Writer, entries []entry) (n uint64, err error) {
	slices.SortFunc(entries, func(a, b entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	s := newSegmentWriter(w)
	for i, e := range entries {
		if i > 0 && e.key == entries[i-1].key {
			continue
		}
		if err := s.add(e); err != nil {
			return 0, err
		}
	}
	return s.n, s.finish()
}

// segment is an open segment; it is safe for concurrent use.
type segment struct {
	name  string
	file  *os.File // nil when mem holds everything
	mem   []byte
	r     io.ReaderAt
	n     int64 // entries
	packs []packID
	crc   uint32

	verified bool // mem is what was written
	checking sync.Once
	checked  error // what check found
}

// openSegment opens a file of the index. Errors match [ipfs.ErrCorrupt] when
// it is damaged. A large segment's entries are checked only when it is merged;
// their sections in the packs are checked whenever they are read.
func openSegment(path, name string) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.Size() > inMemory {
		s, err := newSegment(f, info.Size(), name)
		if err != nil {
			f.Close()
			return nil, err
		}
		s.file = f
		return s, nil
	}
	defer f.Close()
	mem, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	s, err := memorySegment(mem, name)
	if err != nil {
		return s, err
	}
	if s.verified = crc32.Checksum(s.mem[:s.n*entrySize], crcTable) == s.crc; !s.verified {
		return s, s.damaged("checksum of the entries")
	}
	return s, nil
}

func memorySegment(mem []byte, name string) (*segment, error) {
	s, err := newSegment(bytes.NewReader(mem), int64(len(mem)), name)
	if err == nil {
		s.mem = mem
	}
	return s, err
}

func newSegment(r io.ReaderAt, size int64, name string) (*segment, error) {
	s := &segment{name: name, r: r}
	if size < footerSize {
		return nil, s.damaged("%d bytes are too few", size)
	}
	footer := make([]byte, footerSize)
	if _, err := r.ReadAt(footer, size-footerSize); err != nil {
		return nil, err
	}
	if string(footer[:8]) != segmentMagic {
		return nil, s.damaged("it ends with %q", footer[:8])
	}
	n, packs := binary.LittleEndian.Uint64(footer[8:]), binary.LittleEndian.Uint64(footer[16:])
	if n > uint64(size) || packs > uint64(size) || n*entrySize+packs*16+footerSize != uint64(size) {
		return nil, s.damaged("%d entries and %d packs do not make %d bytes", n, packs, size)
	}
	tail := make([]byte, packs*16+footerSize)
	if _, err := r.ReadAt(tail, int64(n*entrySize)); err != nil {
		return nil, err
	}
	if crc32.Checksum(tail[:len(tail)-4], crcTable) != binary.LittleEndian.Uint32(tail[len(tail)-4:]) {
		return nil, s.damaged("checksum of the table")
	}
	s.n, s.crc = int64(n), binary.LittleEndian.Uint32(footer[24:])
	for i := range packs {
		s.packs = append(s.packs, packID(tail[i*16:]))
	}
	return s, nil
}

func (s *segment) damaged(what string, args ...any) error {
	return fmt.Errorf("%w: index segment %s is damaged (%s): run `image2ipfs gc`, which builds the index anew from the packs", ipfs.ErrCorrupt, s.name, fmt.Sprintf(what, args...))
}

// check compares the entries with their checksum, once.
func (s *segment) check() error {
	s.checking.Do(func() { s.checked = s.verify() })
	return s.checked
}

// verify compares the entries with their checksum. Those in memory were when they were
// read.
func (s *segment) verify() error {
	if s.verified {
		return nil
	}
	c, err := newCursor(s)
	for err == nil {
		err = c.next()
	}
	if err != io.EOF {
		return err
	}
	return nil
}

// entries gives the raw entries from to to-1, in buf if they have to be read.
func (s *segment) entries(buf []byte, from, to int64) ([]byte, error) {
	if s.mem != nil {
		return s.mem[from*entrySize : to*entrySize], nil
	}
	buf = buf[:(to-from)*entrySize]
	if _, err := s.r.ReadAt(buf, from*entrySize); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading index segment %s: %w", s.name, err)
	}
	return buf, nil
}

// decode reads a raw entry.
func (s *segment) decode(b []byte) (entry, error) {
	pack := binary.LittleEndian.Uint32(b[44:])
	e := entry{key: key(b[:32]), location: location{
		off:  int64(binary.LittleEndian.Uint64(b[32:])),
		size: binary.LittleEndian.Uint32(b[40:]),
	}}
	if int(pack) >= len(s.packs) || e.size > maxSection || e.off < 0 {
		return e, s.damaged("entry %x", b)
	}
	e.pack = s.packs[pack]
	return e, nil
}

// find looks k up and gives its position, -1 when it is not there. It goes
// where an even spread of keys would put k, and halves what is left when that
// fails four times.
func (s *segment) find(k key) (int64, entry, error) {
	var buf []byte
	if s.mem == nil {
		buf = make([]byte, window*entrySize)
	}
	lo, hi := int64(0), s.n
	first, last := uint64(0), ^uint64(0) // prefixes that bound what lies in [lo, hi)
	for round := 0; lo < hi; round++ {
		guess := lo + (hi-lo)/2
		if p := k.prefix(); round < 4 && first <= p && p < last {
			guess = lo + int64(float64(p-first)/float64(last-first)*float64(hi-lo))
		}
		from := max(lo, min(guess-window/2, hi-window))
		to := min(hi, from+window)
		w, err := s.entries(buf, from, to)
		if err != nil {
			return -1, entry{}, err
		}
		n := int(to - from)
		at := func(i int) []byte { return w[i*entrySize:][:32] }
		i := sort.Search(n, func(i int) bool { return bytes.Compare(at(i), k[:]) >= 0 })
		switch {
		case i < n && bytes.Equal(at(i), k[:]):
			e, err := s.decode(w[i*entrySize:][:entrySize])
			return from + int64(i), e, err
		case i == 0:
			hi, last = from, binary.BigEndian.Uint64(at(0))
		case i == n:
			lo, first = to, binary.BigEndian.Uint64(at(n-1))
		default:
			return -1, entry{}, nil
		}
	}
	return -1, entry{}, nil
}
