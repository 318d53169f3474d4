// Package car reads and writes streams of blocks as CARv1
// (https://ipld.io/specs/transport/car/carv1/).
package car

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// MediaType is that of a CAR (trustless gateway specification).
const MediaType = "application/vnd.ipld.car"

// Writer writes a CAR. It does not buffer.
type Writer struct{ w io.Writer }

const (
	// maxRoot is the length of the longest CID of a root, in bytes: that of a hash
	// has less than 80.
	maxRoot = 254
	// maxRoots is how many have a count of one byte together with its type.
	maxRoots = 23
)

// NewWriter writes the header of a CAR, as [Header] makes it, to w, and makes a
// Writer for its blocks.
func NewWriter(w io.Writer, roots ...cid.Cid) (*Writer, error) {
	header, err := Header(roots...)
	if err == nil {
		_, err = w.Write(header)
	}
	return &Writer{w}, err
}

// Header gives the first section of a CAR with up to 23 roots, of up to 254 bytes
// each.
func Header(roots ...cid.Cid) ([]byte, error) {
	if len(roots) > maxRoots {
		return nil, fmt.Errorf("CAR: %d roots, at most %d are allowed", len(roots), maxRoots)
	}
	// The DAG-CBOR of {roots: [c…], version: 1}, of which there is one alone.
	b := append([]byte(rootsKey), 0x80|byte(len(roots))) // array of that length
	for _, c := range roots {
		if c.ByteLen() > maxRoot {
			return nil, fmt.Errorf("CAR: the CID of its root has %d bytes, at most %d are allowed", c.ByteLen(), maxRoot)
		}
		b = append(b, linkTag...)
		b = append(b, byte(c.ByteLen()+1), 0) // a CID in DAG-CBOR begins with a zero
		b = append(b, c.Bytes()...)
	}
	b = append(b, versionOne...)
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...), nil
}

const (
	rootsKey   = "\xa2\x65roots"   // map of 2, text of 5
	linkTag    = "\xd8\x2a\x58"    // tag 42, bytes whose length follows in one byte
	versionOne = "\x67version\x01" // text of 7, 1
)

// Block writes one block.
func (w *Writer) Block(c cid.Cid, data []byte) error {
	if _, err := w.w.Write(AppendHead(nil, c, len(data))); err != nil {
		return err
	}
	_, err := w.w.Write(data)
	return err
}

// AppendHead appends to b what precedes the size bytes of block c in its section:
// the section's length and the CID.
func AppendHead(b []byte, c cid.Cid, size int) []byte {
	b = binary.AppendUvarint(b, uint64(c.ByteLen()+size))
	return append(b, c.KeyString()...)
}
