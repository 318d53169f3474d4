package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"strconv"
)

// The numbers that decide where members begin. They decide digests and CIDs of
// every layer that is compressed here: changing one renames all images.
const (
	// minFile is the size from which a file gets members of its own.
	minFile = 24 << 10
	// maxSegment is the most that goes into one member, so little below 1 MiB
	// that the member fits a 1 MiB block even when it cannot be compressed.
	maxSegment = 1<<20 - 4<<10
	// A pool of small files is closed between two files when it has minPool
	// bytes and the name of the next one falls on one in poolOdds: an inserted
	// file then moves the cuts up to the next such name only.
	minPool  = 64 << 10
	poolOdds = 8
	// codeHeader is what Python's compiled code begins with: version, flags, and
	// time and size of its source (PEP 552). Whoever installs a package again gives
	// the source another time and so all its code another beginning, so that is cut
	// off what a file has in members of its own.
	codeHeader = 16
	codeSuffix = ".pyc"
)

const blockSize = 512 // of a tar archive (POSIX.1-2017, pax, "ustar Interchange Format")

// segmenter cuts a tar stream into segments at the files inside. What is no
// well-formed tar is passed on in segments of maxSegment bytes.
type segmenter struct {
	r       io.Reader
	apart   bool // every file that has data gets segments of its own, without padding
	pool    []byte
	data    int64 // bytes left of the file that is being cut
	lead    int64 // of them, bytes that begin it and are cut off
	padding int64 // bytes that follow it up to the next header
	paxSize int64 // size that a pax header gives for the next entry, or -1
	chained bool  // the entry before was a header for the next one
	opaque  bool
	err     error
	head    [blockSize]byte // of an entry
	body    [minFile]byte   // of a small entry
}

func newSegmenter(r io.Reader, apart bool) *segmenter {
	return &segmenter{r: r, apart: apart, paxSize: -1}
}

// next gives the next segment, which the caller releases, or io.EOF.
func (s *segmenter) next() ([]byte, error) {
	for s.err == nil && s.data == 0 && !s.opaque {
		if full := s.entry(); full != nil {
			return full, nil
		}
	}
	if len(s.pool) > 0 && (s.data > 0 || s.err != nil) {
		return s.flush(), nil
	}
	if s.err != nil {
		return nil, s.err
	}
	return s.piece()
}

func (s *segmenter) flush() []byte {
	full := s.pool
	s.pool = nil
	return full
}

// piece gives the next segment of a large file, or of what is no tar.
func (s *segmenter) piece() ([]byte, error) {
	want := int64(maxSegment)
	if !s.opaque {
		want = min(want, s.data)
		if s.lead > 0 {
			want, s.lead = s.lead, 0
		}
		s.data -= want
	}
	seg := s.flush()
	start := len(seg)
	seg = room(seg, max(0, int(want)-start))
	n, err := io.ReadFull(s.r, seg[start:max(start, int(want))])
	s.fail(err)
	if seg = seg[:start+n]; len(seg) == 0 {
		release(seg)
		return nil, s.err
	}
	return seg, nil
}

// entry reads one header into the pool, and with it the data of a small entry.
// It gives the pool when that is to be closed before the entry.
func (s *segmenter) entry() (full []byte) {
	if s.padding > 0 {
		n, err := io.ReadFull(s.r, s.body[:s.padding])
		s.padding = 0
		s.fail(err)
		return s.add(s.body[:n])
	}
	h := &s.head
	n, err := io.ReadFull(s.r, h[:])
	s.fail(err)
	if n < blockSize || !validHeader(h) {
		if s.err == nil && *h != [blockSize]byte{} {
			s.opaque = true
		}
		return s.add(h[:n])
	}
	if !s.chained && len(s.pool) >= minPool && nameHash(h)%poolOdds == 0 {
		full = s.flush()
	}
	size, kind := entrySize(h), h[156]
	if s.paxSize >= 0 && !isChained(kind) {
		size = s.paxSize
	}
	if !isChained(kind) {
		s.paxSize = -1
	}
	s.chained = isChained(kind)
	padded := (size + blockSize - 1) / blockSize * blockSize
	if size < 0 || padded < size {
		s.opaque = true
		padded = 0
	}
	if s.apart && size > 0 && !isChained(kind) {
		s.padding = padded - size
		s.data = size
	} else if padded >= minFile {
		s.data = padded
	}
	if s.data > 0 {
		s.append(h[:])
		s.begin(h)
		return full
	}
	body := s.body[:padded]
	n, err = io.ReadFull(s.r, body)
	s.fail(err)
	if kind == 'x' && size >= 0 {
		s.paxSize = paxSize(body[:min(n, int(size))])
	}
	if more := s.add(h[:], body[:n]); more != nil {
		if full != nil { // cannot be: a pool just closed has room for one entry
			return append(full, more...)
		}
		return more
	}
	return full
}

// begin cuts off what a file of compiled code begins with: as a segment of its own
// where files have those, else into the pool.
func (s *segmenter) begin(h *[blockSize]byte) {
	name := bytes.TrimRight(h[:100], "\x00")
	switch s.lead = 0; {
	case s.data <= codeHeader || !bytes.HasSuffix(name, []byte(codeSuffix)):
	case s.apart:
		s.lead = codeHeader
	default:
		n, err := io.ReadFull(s.r, s.body[:codeHeader])
		s.data -= int64(n)
		s.append(s.body[:n])
		s.fail(err)
	}
}

// add appends to the pool, closing it before when it would grow too large.
func (s *segmenter) add(parts ...[]byte) (full []byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if len(s.pool)+n > maxSegment {
		full = s.flush()
	}
	for _, p := range parts {
		s.append(p)
	}
	return full
}

func (s *segmenter) append(p []byte) {
	s.pool = append(room(s.pool, len(p)), p...)
}

func (s *segmenter) fail(err error) {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	if err != nil {
		s.err, s.data, s.opaque = err, 0, false
	}
}

// isChained tells whether an entry of this type describes the entry behind it.
func isChained(kind byte) bool {
	return kind == 'x' || kind == 'g' || kind == 'L' || kind == 'K'
}

func validHeader(h *[blockSize]byte) bool {
	want, ok := octal(h[148:156])
	if !ok {
		return false
	}
	sum := int64(0)
	for i, b := range h {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int64(b)
	}
	return sum == want
}

// entrySize reads the size of an entry's data; -1 when it is malformed. Types
// that have no data (links, devices, directories) may still state a size.
func entrySize(h *[blockSize]byte) int64 {
	switch h[156] {
	case '1', '2', '3', '4', '5', '6':
		return 0
	}
	field := h[124:136]
	if field[0]&0x80 != 0 { // GNU base-256
		if field[0] != 0x80 || binary.BigEndian.Uint32(field[:4])&0x00ffffff != 0 || field[4]&0x80 != 0 {
			return -1
		}
		return int64(binary.BigEndian.Uint64(field[4:]))
	}
	n, ok := octal(field)
	if !ok {
		return -1
	}
	return n
}

func octal(field []byte) (int64, bool) {
	text := string(bytes.Trim(field, " \x00"))
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(text, 8, 64)
	return n, err == nil && n >= 0
}

// paxSize finds the size record of a pax extended header; -1 without one.
func paxSize(body []byte) int64 {
	for len(body) > 0 {
		length, rest, ok := bytes.Cut(body, []byte(" "))
		n, err := strconv.Atoi(string(length))
		if !ok || err != nil || n <= len(length)+1 || n > len(body) {
			return -1
		}
		record := rest[:n-len(length)-1]
		if value, found := bytes.CutPrefix(record, []byte("size=")); found {
			size, err := strconv.ParseInt(string(bytes.TrimSuffix(value, []byte("\n"))), 10, 64)
			if err != nil || size < 0 {
				return -1
			}
			return size
		}
		body = body[n:]
	}
	return -1
}

func nameHash(h *[blockSize]byte) uint32 {
	f := fnv.New32a()
	f.Write(h[:100])
	return f.Sum32() >> 8
}
