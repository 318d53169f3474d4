package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

// maxHeaders bounds what may describe one entry: extended headers and its own.
const maxHeaders = 64 << 10

// part is what a segment has of an entry: the data of a file or a piece of it,
// or the place of an entry that has no data.
type part struct {
	*tocEntry
	at, n  int   // in the segment
	offset int64 // in the file
	digest digest.Digest
	whole  digest.Digest // of the file, with the last of several parts
}

// scanner follows the entries of a tar through its segments. Headers are read
// by archive/tar, by which engines read them, so that an index says what they
// see. It ends with an error at what no index can tell.
type scanner struct {
	names   map[nameKey]named // of this layer
	text    int               // bytes of them
	headers []byte            // of the entry that begins
	body    int64             // bytes to come of an extended header
	skip    int64             // bytes to come of what no one reads
	file    *tocEntry
	seen    int64     // of its data
	whole   hash.Hash // of it, when it lies in several segments
	zeros   int       // empty blocks, two of which end a tar
	err     error     // why there is no index
	own     bool      // an index is to be written: whatever two readers take otherwise has none
	apart   bool      // the data of each file has to have segments of its own
	times   bool      // entries tell when they were accessed and changed
	all     headerHash
}

type nameKey [16]byte

// whiteoutPrefix begins the name of what removes a file of a lower layer
// (image-spec, layer.md, "Whiteouts").
const whiteoutPrefix = ".wh."

func newScanner() *scanner {
	return &scanner{names: map[nameKey]named{}}
}

// chunked makes it a scanner for zstd:chunked, whose readers know less: every file
// lies in frames of its own, and tar-split has to agree.
func (s *scanner) chunked() {
	s.apart, s.times, s.all = true, true, newHeaderHash()
}

// segment gives the parts of the segment that follows.
func (s *scanner) segment(seg []byte) []part {
	var parts []part
	for pos := 0; pos < len(seg) && s.err == nil && s.zeros < 2; {
		rest := seg[pos:]
		switch {
		case s.file != nil:
			p := s.data(rest)
			p.at = pos
			if s.apart && p.n != len(seg) {
				s.err = errOwnFrame
			}
			parts = append(parts, p)
			pos += p.n
		case s.skip > 0:
			n := min(s.skip, int64(len(rest)))
			s.skip -= n
			pos += int(n)
		case s.body > 0:
			n := min(s.body, int64(len(rest)))
			s.headers = append(s.headers, rest[:n]...)
			s.body -= n
			pos += int(n)
		case len(rest) < blockSize:
			s.err = errors.New("the tar is cut off, or none")
		default:
			pos += blockSize
			if e := s.header((*[blockSize]byte)(rest)); e != nil && s.file == nil {
				parts = append(parts, part{tocEntry: e, at: pos})
			}
		}
	}
	return parts
}

// end tells why the tar that was scanned gets no index, if so.
func (s *scanner) end() error {
	if s.err == nil && (s.file != nil || s.body > 0 || len(s.headers) > 0) {
		s.err = errors.New("the tar is cut off")
	}
	return s.err
}

// data takes what rest has of the current file's data.
func (s *scanner) data(rest []byte) part {
	size := s.file.Size
	n := min(size-s.seen, int64(len(rest)))
	p := part{tocEntry: s.file, n: int(n), offset: s.seen}
	if s.seen == 0 && n < size {
		s.whole = sha256.New()
	}
	if s.whole != nil {
		s.whole.Write(rest[:n])
	}
	if s.seen += n; s.seen == size {
		s.file = nil
		s.skip = (blockSize - size%blockSize) % blockSize
		if s.whole != nil {
			p.whole = digest.NewDigest(digest.SHA256, s.whole)
			s.whole = nil
		}
	}
	return p
}

// header reads a block that begins or continues an entry's headers, and gives
// the entry when they are complete.
func (s *scanner) header(h *[blockSize]byte) *tocEntry {
	if *h == [blockSize]byte{} {
		s.zeros++
		return nil
	}
	kind := h[156]
	switch {
	case s.zeros > 0:
		s.err = errors.New("the tar has one empty block between entries")
		return nil
	case isChained(kind):
		s.extended(h)
		return nil
	}
	s.headers = append(s.headers, h[:]...)
	header, err := tar.NewReader(bytes.NewReader(s.headers)).Next()
	isSparse := bytes.Contains(s.headers, []byte(sparseRecords+"major=1")) // where the holes are is in the data
	s.headers = s.headers[:0]
	if err != nil && isSparse {
		s.err = errSparse
		return nil
	}
	if err != nil {
		s.err = fmt.Errorf("archive/tar does not read its header: %w", err)
		return nil
	}
	e, err := newTOCEntry(header, s.times)
	if err == nil && s.apart && header.Typeflag != tar.TypeReg && header.Size != 0 {
		err = fmt.Errorf("%d bytes of an entry that has no data", header.Size)
	}
	if err == nil && s.apart && header.Size != 0 && strings.HasPrefix(path.Base(header.Name), whiteoutPrefix) {
		err = fmt.Errorf("a whiteout of %d bytes, which podman does not keep", header.Size)
	}
	if err == nil && s.apart {
		s.all.add(e)
	}
	if err == nil {
		err = s.register(e)
	}
	if err != nil {
		s.err = fmt.Errorf("entry %q: %w", header.Name, err)
		return nil
	}
	if e.Type == typeReg && e.Size > 0 {
		s.file, s.seen = &e, 0
	}
	return &e
}

// extended begins an extended header; a global one describes no entry.
func (s *scanner) extended(h *[blockSize]byte) {
	size := entrySize(h)
	padded := (size + blockSize - 1) / blockSize * blockSize
	switch {
	case !validHeader(h) || size < 0 || padded < size:
		s.err = errors.New("an extended header is damaged")
	case h[156] == 'g' && s.apart:
		s.err = errors.New("a global header, which zstd:chunked does not know")
	case h[156] == 'g' && len(s.headers) > 0:
		s.err = errors.New("a global header stands between an entry's headers")
	case h[156] == 'g':
		s.skip = padded
	case int64(len(s.headers))+padded > maxHeaders:
		s.err = fmt.Errorf("an entry has more than %d KiB of headers", maxHeaders>>10)
	default:
		s.headers = append(s.headers, h[:]...)
		s.body = padded
	}
}

// cleanName is a name as readers of an index take it: relative to the root.
func cleanName(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

func key(name string) nameKey {
	sum := sha256.Sum256([]byte(name))
	return nameKey(sum[:])
}

// errSparse is why a layer with a sparse file has no index: no index can tell of
// holes, and tar-split does not know them.
var errSparse = errors.New("a sparse file")

// sparseRecords begin the pax records of a sparse file (GNU tar manual, "PAX
// Format").
const sparseRecords = "GNU.sparse."

// types are the entries of a tar that an index knows.
var types = map[byte]string{
	tar.TypeReg: typeReg, tar.TypeLink: typeLink, tar.TypeSymlink: "symlink", tar.TypeDir: typeDir,
	tar.TypeChar: "char", tar.TypeBlock: "block", tar.TypeFifo: "fifo",
}

// xattrPrefix is that of extended attributes among pax records.
const xattrPrefix = "SCHILY.xattr."

// newTOCEntry makes an index's entry of a tar's, with all times or one.
func newTOCEntry(h *tar.Header, times bool) (tocEntry, error) {
	e := tocEntry{
		Name: h.Name, Type: types[h.Typeflag], LinkName: h.Linkname, Mode: h.Mode, UID: h.Uid, GID: h.Gid,
		ModTime: h.ModTime.UTC().Format(time.RFC3339Nano), DevMajor: h.Devmajor, DevMinor: h.Devminor,
	}
	switch e.Type {
	case "":
		return e, fmt.Errorf("no index has entries of type %q", h.Typeflag)
	case typeReg:
		e.Size = h.Size
	}
	if !utf8.ValidString(e.Name) || !utf8.ValidString(e.LinkName) {
		return e, errors.New("a name is not UTF-8, as JSON has to be")
	}
	if year := h.ModTime.UTC().Year(); year < 0 || year > 9999 {
		return e, fmt.Errorf("modified in the year %d, which RFC 3339 cannot write", year)
	}
	if times {
		if err := e.setTimes(h); err != nil {
			return e, err
		}
	}
	for record, value := range h.PAXRecords {
		if strings.HasPrefix(record, sparseRecords) {
			return e, errSparse
		}
		name, ok := strings.CutPrefix(record, xattrPrefix)
		if !ok {
			continue
		}
		if !utf8.ValidString(name) {
			return e, errors.New("the name of an extended attribute is not UTF-8, as JSON has to be")
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return e, nil
}

// setTimes adds the times that zstd:chunked has besides.
func (e *tocEntry) setTimes(h *tar.Header) error {
	for _, at := range []struct {
		time time.Time
		to   *string
	}{{h.AccessTime, &e.AccessTime}, {h.ChangeTime, &e.ChangeTime}} {
		switch year := at.time.UTC().Year(); {
		case at.time.IsZero():
		case year < 0 || year > 9999:
			return fmt.Errorf("accessed or changed in the year %d, which RFC 3339 cannot write", year)
		default:
			*at.to = at.time.UTC().Format(time.RFC3339Nano)
		}
	}
	return nil
}
