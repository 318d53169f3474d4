package kubo

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/ipfs/go-cid"
)

// writeHeader begins a CARv1 (https://ipld.io/specs/transport/car/carv1/): the
// DAG-CBOR map {"roots": [CID…], "version": 1} behind its length. It may have
// no root at all, which Kubo takes as nothing to pin.
func writeHeader(w io.Writer, roots ...cid.Cid) error {
	if len(roots) > 23 {
		return errors.New("CAR header: more than 23 roots")
	}
	cbor := []byte{0xa2, 0x65, 'r', 'o', 'o', 't', 's', 0x80 | byte(len(roots))}
	for _, c := range roots {
		raw := c.Bytes()
		if len(raw) > 254 {
			return errors.New("CAR header: CID " + c.String() + " is longer than 254 bytes")
		}
		// tag 42, a byte string of the CID behind a zero (the "multibase identity")
		cbor = append(cbor, 0xd8, 42, 0x58, byte(1+len(raw)), 0)
		cbor = append(cbor, raw...)
	}
	cbor = append(cbor, 0x67, 'v', 'e', 'r', 's', 'i', 'o', 'n', 1)
	_, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(cbor))), cbor...))
	return err
}

// writeSection adds one block to a CARv1.
func writeSection(w io.Writer, c cid.Cid, data []byte) error {
	raw := c.Bytes()
	head := binary.AppendUvarint(make([]byte, 0, 10+len(raw)), uint64(len(raw)+len(data)))
	if _, err := w.Write(append(head, raw...)); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}
