// Package car reads and writes streams of blocks as CARv1
// (https://ipld.io/specs/transport/car/carv1/).
package car

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// MediaType is that of a CAR (trustless gateway specification).
const MediaType = "application/vnd.ipld.car"

// MaxSection is the length of the longest section that [Read] takes, in bytes:
// bitswap's limit for a block, and a little.
const MaxSection = 2<<20 + 64<<10

// Writer writes a CAR. It does not buffer.
type Writer struct{ w io.Writer }

const (
	// maxRoot is the length of the longest CID of a root, in bytes: that of a hash
	// has less than 80.
	maxRoot = 254
	// maxRoots is how many have a count of one byte together with its type.
	maxRoots = 23
)

// NewWriter writes the header of a CAR with up to 23 roots, of up to 254 bytes
// each, to w, and makes a Writer for its blocks.
func NewWriter(w io.Writer, roots ...cid.Cid) (*Writer, error) {
	if len(roots) > maxRoots {
		return nil, fmt.Errorf("CAR: %d roots, at most %d are allowed", len(roots), maxRoots)
	}
	// The DAG-CBOR of {roots: [c…], version: 1}.
	b := append([]byte("\xa2\x65roots"), 0x80|byte(len(roots))) // map(2), "roots", array of that length
	for _, c := range roots {
		if c.ByteLen() > maxRoot {
			return nil, fmt.Errorf("CAR: the CID of its root has %d bytes, at most %d are allowed", c.ByteLen(), maxRoot)
		}
		b = append(b, 0xd8, 0x2a, 0x58, byte(c.ByteLen()+1), 0) // tag 42, bytes of 1-byte length; a CID in DAG-CBOR begins with a zero
		b = append(b, c.Bytes()...)
	}
	b = append(b, "\x67version\x01"...)
	car := &Writer{w}
	return car, car.section(b)
}

// Block writes one block.
func (w *Writer) Block(c cid.Cid, data []byte) error { return w.section(c.Bytes(), data) }

// section writes parts behind their length.
func (w *Writer) section(parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if _, err := w.w.Write(binary.AppendUvarint(nil, uint64(n))); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := w.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Read calls yield for each block of a CAR, checked against its CID, and keeps
// none of them. The header is of no interest: what is wanted is known. It ends
// with yield's error, or one that matches [ipfs.ErrUnavailable] for a CAR that
// breaks off or [ipfs.ErrIntegrity] for what is no CAR or holds a false block.
func Read(r *bufio.Reader, yield func(c cid.Cid, data []byte) error) error {
	header, err := section(r)
	if err != nil {
		return err
	}
	if header == nil {
		return fmt.Errorf("%w: the CAR is empty", ipfs.ErrUnavailable)
	}
	for {
		data, err := section(r)
		if err != nil || data == nil {
			return err
		}
		n, c, err := cid.CidFromBytes(data)
		if err != nil {
			return fmt.Errorf("%w: no CID: %v", ipfs.ErrIntegrity, err)
		}
		if err := ipfs.VerifyBlock(c, data[n:]); err != nil {
			if !errors.Is(err, ipfs.ErrIntegrity) { // no such hash function
				err = fmt.Errorf("%w: %w", ipfs.ErrIntegrity, err)
			}
			return err
		}
		if err := yield(c, data[n:]); err != nil {
			return err
		}
	}
}

// section reads one part behind its length; nil at the end.
func section(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err == io.EOF {
		return nil, nil
	}
	if err == nil && (n == 0 || n > MaxSection) {
		return nil, fmt.Errorf("%w: a section of %d bytes, at most %d are allowed", ipfs.ErrIntegrity, n, MaxSection)
	}
	var data []byte
	if err == nil {
		data = make([]byte, n)
		_, err = io.ReadFull(r, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the CAR breaks off: %w", ipfs.ErrUnavailable, err)
	}
	return data, nil
}
