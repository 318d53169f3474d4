package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Heal puts a block right that was found damaged or missing: over its old
// bytes, the only thing ever written in place, or into a new pack. The error
// matches [ipfs.ErrIntegrity] when data is not what c says.
func (s *Store) Heal(ctx context.Context, c cid.Cid, data []byte) error {
	if err := ipfs.VerifyBlock(c, data); err != nil {
		return err
	}
	unlock, err := lockShared(ctx, s.dir.gcLock())
	if err != nil {
		return err
	}
	v, err := s.index.refresh()
	if err == nil {
		healed := false
		_ = v.find(keyOf(c), func(loc location) error { // every copy, since any may be read
			healed = s.dir.overwrite(loc, c, data) == nil || healed
			return ipfs.ErrNotFound
		})
		if !healed {
			err = s.dir.addPack(c, data)
		}
	}
	if err != nil {
		err = fmt.Errorf("healing block %s in %s: %w", c, s, err)
	}
	return errors.Join(err, unlock())
}

// overwrite writes the section of a block at loc; it fails when the section
// there has another length.
func (d dir) overwrite(loc location, c cid.Cid, data []byte) error {
	forms := []cid.Cid{c, cid.NewCidV1(c.Type(), c.Hash())}
	if p := c.Prefix(); p.Codec == cid.DagProtobuf && p.MhType == multihash.SHA2_256 {
		forms = append(forms, cid.NewCidV0(c.Hash()))
	}
	var section []byte
	for _, form := range forms {
		section = binary.AppendUvarint(nil, uint64(form.ByteLen()+len(data)))
		section = append(append(section, form.Bytes()...), data...)
		if len(section) == int(loc.size) {
			break
		}
	}
	if len(section) != int(loc.size) {
		return fmt.Errorf("%w: the index says %d bytes", ipfs.ErrIntegrity, loc.size)
	}
	f, err := os.OpenFile(d.pack(loc.pack), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(section, loc.off)
	return errors.Join(err, syncAndClose(f))
}

// addPack adds a pack with one block.
func (d dir) addPack(c cid.Cid, data []byte) error {
	w, err := newPackWriter(d)
	if err != nil {
		return err
	}
	loc, err := w.append(c, data)
	if err == nil {
		err = w.finish(c)
	}
	if err == nil {
		err = syncDir(d.packs())
	}
	if err != nil {
		return errors.Join(err, w.discard())
	}
	_, err = d.addSegment([]entry{{keyOf(c), loc}})
	return err
}
