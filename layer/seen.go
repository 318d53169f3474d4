package layer

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// members gives what was compressed apart, with its offset in the blob, until
// io.EOF.
type members interface {
	next() (offset int64, data []byte, err error)
	// ends are where the member ends: by itself, and behind what follows it that holds
	// nothing.
	ends() [2]int64
}

// compare reads the layer's tar member by member and compares it with what the
// index says, both ways. also, unless nil, is given the tar, too.
func (t *told) compare(from members, also io.Writer) error {
	s := &seen{told: t, scanner: newScanner(), entries: map[nameKey]bool{}}
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
		if err := s.member(data, offset, from.ends()); err != nil {
			return err
		}
	}
}

// seen is what a layer turned out to have.
type seen struct {
	told    *told
	scanner *scanner
	entries map[nameKey]bool // whether the index says the same of the last of the name
	parts   int
}

// member compares what lies between two offsets.
func (s *seen) member(data []byte, offset int64, ends [2]int64) error {
	for _, p := range s.scanner.segment(data) {
		name := cleanName(p.Name)
		if s.told.tocAt > 0 && offset >= s.told.tocAt && name == tocName { // eStargz's index itself
			continue
		}
		if _, known := s.told.entries[key(name)]; !known {
			return fmt.Errorf("%w: it does not tell of %q, which the layer has", ErrIndex, p.Name)
		}
		p.sum(data)
		whole := p.whole
		if whole == "" {
			whole = p.digest
		}
		if p.Type != typeReg || p.offset+int64(p.n) == p.Size {
			e := *p.tocEntry
			e.Digest = whole
			s.entries[key(name)] = s.same(e, offset, ends)
		}
		if p.n == 0 {
			continue
		}
		s.parts++
		if !s.samePart(p, data, offset) {
			return fmt.Errorf("%w: it says other of the %d bytes at %d of %q, which lie at %d of the member at %d and have digest %s", ErrIndex, p.n, p.offset, name, p.at, offset, p.digest)
		}
	}
	return nil
}

// same tells whether the index says this of an entry that is in the member between two
// offsets, its data's last if it has any. It may leave out where that is.
func (s *seen) same(e tocEntry, offset int64, ends [2]int64) bool {
	told := s.told.entries[key(cleanName(e.Name))]
	for _, e.ModTime = range s.modTimes(e.ModTime) {
		for _, at := range [][2]int64{{}, {offset, ends[0]}, {offset, ends[1]}} {
			e.Offset, e.EndOffset = at[0], at[1]
			if s.told.statement(e) == told {
				return true
			}
		}
	}
	return false
}

// modTimes are the forms in which an index may tell a time: as it is, and, unless all is
// told, by the second, to which estargz rounds and before that cut it.
func (s *seen) modTimes(text string) []string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Nanosecond() == 0 || s.told.full {
		return []string{text}
	}
	return []string{text, at.Round(time.Second).Format(time.RFC3339), at.Add(-time.Duration(at.Nanosecond())).Format(time.RFC3339)}
}

// samePart tells whether the index says where a part is, and what it is.
func (s *seen) samePart(p part, data []byte, offset int64) bool {
	if s.told.podman && p.at > 0 { // which podman reads from a frame's beginning on
		return false
	}
	at := tocEntry{Offset: offset, InnerOffset: int64(p.at), ChunkOffset: p.offset, ChunkSize: int64(p.n), ChunkDigest: p.digest}
	if s.told.parts[partStatement(p.Name, at)] {
		return true
	}
	if len(bytes.Trim(data[p.at:p.at+p.n], "\x00")) > 0 {
		return false
	}
	at.ChunkType = typeZeros
	if s.told.parts[partStatement(p.Name, at)] {
		return true
	}
	at.ChunkDigest = ""
	return s.told.parts[partStatement(p.Name, at)]
}

func (s *seen) end() error {
	if err := s.scanner.end(); err != nil {
		return fmt.Errorf("%w: it can tell no index of this tar: %w", ErrIndex, err)
	}
	differ := 0
	for _, same := range s.entries {
		if !same {
			differ++
		}
	}
	if more := len(s.told.entries) - len(s.entries); differ > 0 || more > 0 {
		return fmt.Errorf("%w: of %d names %d have other attributes or contents, %d more are told", ErrIndex, len(s.entries), differ, more)
	}
	if s.parts != len(s.told.parts) {
		return fmt.Errorf("%w: it tells of %d parts of files, there are %d", ErrIndex, len(s.told.parts), s.parts)
	}
	return nil
}
