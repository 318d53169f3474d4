package packstore

import (
	"bufio"
	"bytes"
	"errors"
	"hash/crc32"
	"io"
)

// newReader buffers sequential reads of files.
func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 256<<10) }

// cursor goes through the entries of a segment in order.
type cursor struct {
	seg  *segment
	r    *bufio.Reader
	left int64
	crc  uint32
	cur  entry
}

func newCursor(s *segment) (*cursor, error) {
	c := &cursor{seg: s, r: newReader(io.NewSectionReader(s.r, 0, s.n*entrySize)), left: s.n}
	return c, c.next()
}

// next moves to the next entry; io.EOF behind the last. The checksum is
// checked there.
func (c *cursor) next() error {
	if c.left == 0 {
		if c.crc != c.seg.crc {
			return c.seg.damaged("checksum of the entries")
		}
		return io.EOF
	}
	var b [entrySize]byte
	if _, err := io.ReadFull(c.r, b[:]); err != nil {
		return err
	}
	c.left--
	c.crc = crc32.Update(c.crc, crcTable, b[:])
	e, err := c.seg.decode(b[:])
	if err == nil && c.left < c.seg.n-1 && bytes.Compare(c.cur.key[:], e.key[:]) >= 0 {
		err = c.seg.damaged("entries out of order")
	}
	c.cur = e
	return err
}

// merge writes one segment with the entries of all segments for which keep is
// true. Of several entries with one key the first that is kept stays.
func merge(w io.Writer, segs []*segment, keep func(entry) bool) (n uint64, err error) {
	var cursors []*cursor
	for _, s := range segs {
		c, err := newCursor(s)
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			return 0, err
		}
		cursors = append(cursors, c)
	}
	out := newSegmentWriter(w)
	var last key
	for len(cursors) > 0 {
		least := 0
		for i, c := range cursors {
			if bytes.Compare(c.cur.key[:], cursors[least].cur.key[:]) < 0 {
				least = i
			}
		}
		c := cursors[least]
		if e := c.cur; (out.n == 0 || e.key != last) && keep(e) {
			last = e.key
			if err := out.add(e); err != nil {
				return 0, err
			}
		}
		if err := c.next(); errors.Is(err, io.EOF) {
			cursors = append(cursors[:least], cursors[least+1:]...)
		} else if err != nil {
			return 0, err
		}
	}
	return out.n, out.finish()
}
