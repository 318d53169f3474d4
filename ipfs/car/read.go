package car

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// MaxSection is the length of the longest section that [Read] takes, in bytes:
// bitswap's limit for a block, and a little.
const MaxSection = 2<<20 + 64<<10

// Read calls yield for each block of a CAR, checked against its CID, and keeps
// none of them. The header is of no interest: what is wanted is known. It ends
// with yield's error, or one that matches [ipfs.ErrUnavailable] for a CAR that
// breaks off or [ipfs.ErrCorrupt] for what is no CAR or holds a false block.
func Read(r *bufio.Reader, yield func(c cid.Cid, data []byte) error) error {
	blocks, err := NewReader(r, MaxSection)
	if err != nil {
		return err
	}
	for {
		c, data, err := blocks.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ipfs.VerifyBlock(c, data); err != nil {
			if !errors.Is(err, ipfs.ErrCorrupt) { // no such hash function
				err = fmt.Errorf("%w: %w", ipfs.ErrCorrupt, err)
			}
			return err
		}
		if err := yield(c, data); err != nil {
			return err
		}
	}
}

// Reader reads a CAR and checks no block.
type Reader struct {
	r      *bufio.Reader
	max    uint64
	header []byte
	offset int64
}

// NewReader reads the header of a CAR whose sections have up to maxSection bytes.
// Errors match [ipfs.ErrUnavailable] when the CAR breaks off, [ipfs.ErrCorrupt]
// when it is none.
func NewReader(r *bufio.Reader, maxSection int) (*Reader, error) {
	reader := &Reader{r: r, max: uint64(maxSection)}
	header, err := reader.section()
	if err == io.EOF {
		return nil, fmt.Errorf("%w: the CAR is empty", ipfs.ErrUnavailable)
	}
	reader.header = header
	return reader, err
}

// Offset is where the next section begins, in bytes.
func (r *Reader) Offset() int64 { return r.offset }

// Roots reads the header. The error matches [ipfs.ErrCorrupt]: one that a
// [Writer] has not written, or whose DAG-CBOR is not strict, may do so as well.
func (r *Reader) Roots() ([]cid.Cid, error) {
	bad := fmt.Errorf("%w: the CAR has no header of version 1", ipfs.ErrCorrupt)
	rest, ok := strings.CutPrefix(string(r.header), rootsKey)
	if !ok || rest == "" || rest[0]&^maxCount != 0x80 {
		return nil, bad
	}
	roots := make([]cid.Cid, rest[0]&maxCount)
	rest = rest[1:]
	for i := range roots {
		if rest, ok = strings.CutPrefix(rest, linkTag); !ok || len(rest) < 2 || len(rest) <= int(rest[0]) || rest[0] == 0 {
			return nil, bad
		}
		link := rest[1 : 1+int(rest[0])]
		c, err := cid.Cast([]byte(link[1:]))
		if err != nil || link[0] != 0 {
			return nil, bad
		}
		roots[i], rest = c, rest[1+len(link):]
	}
	if rest != versionOne {
		return nil, bad
	}
	return roots, nil
}

// maxCount are the bits of an array's head that count, up to 23.
const maxCount = 0x1f

// Next reads the next block, which is not checked; [io.EOF] follows the last.
// Errors match [ipfs.ErrUnavailable] when the CAR breaks off, [ipfs.ErrCorrupt]
// for what is no section.
func (r *Reader) Next() (c cid.Cid, data []byte, err error) {
	section, err := r.section()
	if err != nil {
		return cid.Undef, nil, err
	}
	n, c, err := cid.CidFromBytes(section)
	if err != nil {
		return cid.Undef, nil, fmt.Errorf("%w: no CID: %v", ipfs.ErrCorrupt, err)
	}
	return c, section[n:], nil
}

// section reads one part behind its length; [io.EOF] at the end.
func (r *Reader) section() ([]byte, error) {
	n, err := binary.ReadUvarint(r.r)
	if err == io.EOF {
		return nil, err
	}
	if err == nil && (n == 0 || n > r.max) {
		return nil, fmt.Errorf("%w: a section of %d bytes, at most %d are allowed", ipfs.ErrCorrupt, n, r.max)
	}
	var data []byte
	if err == nil {
		data = make([]byte, n)
		_, err = io.ReadFull(r.r, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the CAR breaks off: %w", ipfs.ErrUnavailable, noEOF(err))
	}
	r.offset += int64(len(binary.AppendUvarint(nil, n))) + int64(n)
	return data, nil
}

// noEOF makes an end in the middle one that is no end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
