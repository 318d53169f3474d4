package car

import (
	"fmt"
	"strconv"
	"strings"
)

// Range is a part of a file, in bytes (trustless gateway specification,
// entity-bytes): from and to are counted from the file's end where they are
// negative, and the byte at to belongs to the range.
type Range struct {
	from, to int64
	toEnd    bool // to is "*"
}

// ParseRange reads from:to, where to may be "*". A range that ends before it begins,
// whatever the file's size, is an error, as it is in HTTP (RFC 9110, 14.1.1).
func ParseRange(text string) (Range, error) {
	first, last, ok := strings.Cut(text, ":")
	from, err := strconv.ParseInt(first, 10, 64)
	if !ok || err != nil {
		return Range{}, fmt.Errorf("%q is no range, expected from:to in bytes", text)
	}
	if last == "*" {
		return Range{from: from, toEnd: true}, nil
	}
	to, err := strconv.ParseInt(last, 10, 64)
	if err != nil {
		return Range{}, fmt.Errorf("%q is no range, expected from:to in bytes", text)
	}
	if (from < 0) == (to < 0) && from > to {
		return Range{}, fmt.Errorf("the range %q ends before it begins", text)
	}
	return Range{from: from, to: to}, nil
}

// String spells the range in the one way that [ParseRange] reads it.
func (r Range) String() string {
	if r.toEnd {
		return fmt.Sprintf("%d:*", r.from)
	}
	return fmt.Sprintf("%d:%d", r.from, r.to)
}

// ends are the range's first byte and the one behind its last, which may lie before the
// file.
func (r Range) ends(size int64) (first, end int64) {
	first, end = r.from, size // the end of the file, and what is behind it
	if first < 0 {
		first += size
	}
	if !r.toEnd {
		last := r.to
		if last < 0 {
			last += size
		}
		if last < size {
			end = last + 1
		}
	}
	return first, end
}

// Outside tells whether no byte of the range is in a file of size bytes, though it
// asks for some. An empty file has nothing to be outside of.
func (r Range) Outside(size int64) bool {
	first, end := r.ends(size)
	return size > 0 && (first >= size || end <= 0)
}

// within is the range cut to a file of size bytes: first and the byte behind the
// last. It is empty where end is not above first.
func (r Range) within(size int64) (first, end int64) {
	first, end = r.ends(size)
	return max(first, 0), min(end, size)
}
