package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/car"
)

// Healing puts blocks right that were found damaged or missing. What it mended
// over old bytes, the only thing that is ever written in place, is durable at
// once; what was missing is there when Close has returned. It is not safe for
// concurrent use.
type Healing struct {
	s      *Store
	unlock func() error
	fresh  *packWriter // of blocks that were missing, nil before the first
	blocks map[key]location
}

// Heal begins to heal what is under a root that the store keeps; garbage is not
// collected until it is closed. The error matches [ipfs.ErrNotFound] when the store
// does not keep root.
func (s *Store) Heal(ctx context.Context, root cid.Cid) (*Healing, error) {
	if !s.Keeps(ctx, root) {
		return nil, fmt.Errorf("healing %s: %w: it does not keep %s", s, ipfs.ErrNotFound, root)
	}
	unlock, err := lockShared(ctx, s.dir.collectLock())
	if err != nil {
		return nil, fmt.Errorf("healing %s: %w", s, err)
	}
	return &Healing{s: s, unlock: unlock, blocks: map[key]location{}}, nil
}

// Put takes a block as it should be. The error matches [ipfs.ErrCorrupt] when
// data is not what c says, or the index is damaged.
func (h *Healing) Put(_ context.Context, c cid.Cid, data []byte) error {
	if err := ipfs.VerifyBlock(c, data); err != nil {
		return err
	}
	if err := h.put(c, data); err != nil {
		return fmt.Errorf("healing block %s in %s: %w", c, h.s, err)
	}
	return nil
}

func (h *Healing) put(c cid.Cid, data []byte) (err error) {
	k := keyOf(c)
	if _, ok := h.blocks[k]; ok {
		return nil
	}
	v, err := h.s.index.refresh()
	if err != nil {
		return err
	}
	healed := false
	for _, seg := range v.segs { // every copy, since any may be read
		pos, e, err := seg.find(k)
		if err != nil || pos < 0 {
			continue
		}
		if err := seg.check(); err != nil { // a wrong place is another block's
			return err
		}
		healed = h.s.dir.overwrite(e.location, c, data) == nil || healed
	}
	if healed {
		return nil
	}
	if h.fresh == nil {
		if h.fresh, err = newPackWriter(h.s.dir); err != nil {
			return err
		}
	}
	h.blocks[k], err = h.fresh.append(c, data)
	return err
}

// Close ends the healing and makes it durable.
func (h *Healing) Close() error {
	err := h.finish()
	if err != nil {
		err = fmt.Errorf("healing %s: %w", h.s, err)
	}
	return errors.Join(err, h.unlock())
}

func (h *Healing) finish() error {
	if h.fresh == nil {
		return nil
	}
	err := h.fresh.seal(unknownRoot)
	if err == nil {
		err = h.place()
	}
	return errors.Join(err, h.fresh.discard())
}

func (h *Healing) place() (err error) {
	unlock, err := h.s.dir.share(context.Background())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	var entries []entry
	for k, loc := range h.blocks {
		entries = append(entries, entry{k, loc})
	}
	made, err := h.s.dir.makeSegment(func(f *os.File) (uint64, error) { return writeEntries(f, entries) })
	if err != nil {
		return err
	}
	if err = h.fresh.place(); err == nil {
		err = syncDir(h.s.dir.packs())
	}
	if err != nil {
		return errors.Join(err, made.discard())
	}
	return made.place()
}

// overwrite writes the section of a block at loc; it fails when the section
// there has another length.
func (d dir) overwrite(loc location, c cid.Cid, data []byte) error {
	f, err := os.OpenFile(d.pack(loc.pack), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = overwriteAt(f, loc, c, data)
	return errors.Join(err, syncAndClose(f))
}

// overwriteAt writes the section of a block at loc into its pack. The error matches
// [ipfs.ErrCorrupt] when the section there has another length.
func overwriteAt(f *os.File, loc location, c cid.Cid, data []byte) error {
	head := car.AppendHead(nil, c, len(data))
	if len(head)+len(data) != int(loc.size) { // it may have been put under the CID's other version
		head = car.AppendHead(nil, otherVersion(c), len(data))
	}
	if len(head)+len(data) != int(loc.size) {
		return fmt.Errorf("%w: the index says %d bytes", ipfs.ErrCorrupt, loc.size)
	}
	_, err := f.WriteAt(append(head, data...), loc.off)
	return err
}

// otherVersion is a CID of another version for the same block, where there is one.
func otherVersion(c cid.Cid) cid.Cid {
	p := c.Prefix()
	if p.Version == 1 && p.Codec == cid.DagProtobuf && p.MhType == multihash.SHA2_256 && p.MhLength == 32 {
		return cid.NewCidV0(c.Hash())
	}
	return cid.NewCidV1(p.Codec, c.Hash())
}
