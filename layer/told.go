package layer

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
)

// told is what an index says, each statement as a hash: of the entries by name,
// of which the last counts, and of the parts of files.
type told struct {
	entries map[nameKey]nameKey
	parts   map[nameKey]bool
	times   bool          // it tells when files were accessed and changed
	split   digest.Digest // of the tar-split that belongs to it
}

func newTold() *told {
	return &told{entries: map[nameKey]nameKey{}, parts: map[nameKey]bool{}}
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
	if _, err := d.Token(); err != nil { // the bracket
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
			t.times = t.times || e.AccessTime != "" || e.ChangeTime != ""
			t.entries[key(cleanName(e.Name))] = statement(e, e.Digest)
		}
		if e.Type == typeChunk || e.Type == typeReg && e.Size > 0 {
			if e.ChunkSize == 0 {
				e.ChunkSize = file.Size - e.ChunkOffset
			}
			if err := e.setChunkDigest(); err != nil {
				return err
			}
			t.parts[partStatement(file.Name, e)] = true
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return err
		}
		if text, ok := value.(string); ok && name == "tarSplitDigest" {
			t.split = digest.Digest(text)
		}
	}
	return nil
}

// setChunkDigest gives a part its digest where that follows from others. Of zeros
// podman writes none.
func (e *tocEntry) setChunkDigest() error {
	switch {
	case e.ChunkDigest != "":
	case e.ChunkType == "zeros":
		if e.ChunkSize < 0 || e.ChunkSize > maxMember {
			return fmt.Errorf("%d zeros in one part", e.ChunkSize)
		}
		e.ChunkDigest = digest.FromBytes(make([]byte, e.ChunkSize))
	default:
		e.ChunkDigest = e.Digest
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
	e.ModTime, e.AccessTime, e.ChangeTime = second(e.ModTime), second(e.AccessTime), second(e.ChangeTime)
	if len(e.Xattrs) == 0 {
		e.Xattrs = nil
	}
	e.Offset, e.EndOffset, e.InnerOffset, e.ChunkOffset, e.ChunkSize, e.ChunkDigest, e.ChunkType = 0, 0, 0, 0, 0, "", ""
	return hashOf(e)
}

// second is a time in seconds; none is 1970, as eStargz writes that.
func second(text string) string {
	if at, err := time.Parse(time.RFC3339, text); err == nil && !at.IsZero() {
		return strconv.FormatInt(at.Unix(), 10)
	}
	return "0"
}

func partStatement(name string, e tocEntry) nameKey {
	return hashOf(tocEntry{Name: cleanName(name), Offset: e.Offset, InnerOffset: e.InnerOffset, ChunkOffset: e.ChunkOffset, ChunkSize: e.ChunkSize, ChunkDigest: e.ChunkDigest})
}

func hashOf(e tocEntry) nameKey {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(e) // of strings and numbers, which json always can write, to a hash
	return nameKey(h.Sum(nil))
}

// members gives what was compressed apart, with its offset in the blob, until
// io.EOF.
type members interface {
	next() (offset int64, data []byte, err error)
}

// compare reads the layer's tar member by member and compares it with what the
// index says, both ways. also, unless nil, is given the tar, too.
func (t *told) compare(from members, also io.Writer) error {
	s := &seen{told: t, scanner: newScanner(), entries: map[nameKey]nameKey{}}
	s.scanner.times = t.times
	for {
		offset, data, err := from.next()
		if err == io.EOF {
			return s.end()
		}
		if err != nil {
			return err
		}
		if also != nil {
			if _, err := also.Write(data); err != nil {
				return err
			}
		}
		if err := s.member(data, offset); err != nil {
			return err
		}
	}
}

// seen is what a layer turned out to have.
type seen struct {
	told    *told
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
