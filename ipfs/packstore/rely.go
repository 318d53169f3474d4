package packstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// A publication relies on blocks that the store has already. It says success only
// if they are right: those in packs that were read whole since they were last
// written to are, others are hashed, and what is damaged is written anew from what
// is being published.

// reliance is what a transaction knows of packs and has done to them.
type reliance struct {
	known  checks
	read   bool // known has been read
	packs  map[packID]packTrust
	sizes  map[packID]int64 // of whole packs, in bytes, in which nothing was put right
	segs   map[*segment]*segTrust
	fresh  checks              // for Commit to remember
	opened map[packID]*os.File // packs in which blocks were put right
	healed int                 // blocks

	claimed []packID         // that stay until the publication has ended
	found   map[key]location // blocks on which it relies, in claimed packs
}

// on notes that the publication relies on a block.
func (r *reliance) on(k key, found copies) {
	if r.found == nil {
		r.found = map[key]location{}
	}
	r.found[k] = found.at
}

// packTrust says what blocks of a pack need before they are relied on.
type packTrust int

const (
	packGone    packTrust = iota // it is not there
	packWhole                    // nothing
	packSuspect                  // hashing each
)

// trust claims a pack and finds out about it, by reading it where nobody has.
func (t *tx) trust(ctx context.Context, id packID) (packTrust, error) {
	r := &t.relies
	if known, ok := r.packs[id]; ok {
		return known, nil
	}
	if !r.read {
		r.read, r.known, r.packs, r.fresh = true, t.s.dir.readChecks(), map[packID]packTrust{}, checks{}
		r.sizes, r.segs = map[packID]int64{}, map[*segment]*segTrust{}
	}
	err := t.s.claims.take(ctx, t.s.dir, id)
	if errors.Is(err, os.ErrNotExist) {
		r.packs[id] = packGone
		return packGone, nil
	}
	if err != nil {
		return packGone, err
	}
	r.claimed = append(r.claimed, id)
	now, err := t.s.dir.packState(id)
	if err != nil {
		return packGone, err
	}
	if c, ok := r.known[id]; ok && c.holds(now, time.Now()) {
		r.packs[id], r.sizes[id] = packWhole, now.size
		return packWhole, nil
	}
	c, whole, err := t.s.readPack(ctx, id, func(int) error { return nil })
	switch {
	case errors.Is(err, os.ErrNotExist):
		r.packs[id] = packGone
	case ctx.Err() != nil:
		return packGone, ctx.Err()
	case whole:
		r.packs[id], r.sizes[id], r.fresh[id] = packWhole, c.state.size, c
	default: // also when the disk cannot read it: what is needed of it shows
		r.packs[id] = packSuspect
	}
	return r.packs[id], nil
}

// segTrust is what a publication knows of a segment.
type segTrust struct {
	looked int64 // blocks whose headers were read
	tried  bool  // its entries were compared with their checksum
	intact bool
}

// entriesPerHeader is about how many entries of the index are read, one after the other,
// in the time that the header of one block takes.
const entriesPerHeader = 100

// leads tells whether an entry of the index leads to its block in a whole pack. Blocks
// stay where they are, so an entry does that is what was written. Of a segment in memory
// each is; another is read whole when that costs no more than the headers that were read
// instead.
func (t *tx) leads(seg *segment, c cid.Cid, at location) bool {
	known := t.relies.segs[seg]
	if known == nil {
		known = &segTrust{}
		t.relies.segs[seg] = known
	}
	if !known.tried && (seg.verified || known.looked*entriesPerHeader >= seg.n) {
		known.tried, known.intact = true, seg.verify() == nil
	}
	if size, ok := t.relies.sizes[at.pack]; ok && known.intact {
		return at.off+int64(at.size) <= size // else the pack was cut between blocks
	}
	known.looked++
	_, err := t.s.packs.dataSize(c, at)
	return err == nil
}

// copies is what the index knows of a block in the store.
type copies struct {
	sound   bool
	at      location // of one that is sound, or was put right
	damaged []damagedCopy
	gone    bool // one was in a pack that is gone
}

type damagedCopy struct {
	location
	seg *segment
}

// look finds the copies of a block that readers might come upon. An entry alone
// is no proof: a crash may bring back segments that gc replaced, and a damaged
// segment leads astray. When gc has taken a pack away, the index tells what took its
// place.
func (t *tx) look(ctx context.Context, c cid.Cid) (found copies, err error) {
	for {
		found, err = t.lookIn(ctx, t.view, c)
		if err != nil || found.sound || !found.gone {
			return found, err
		}
		now, err := t.s.index.refresh()
		if err != nil || now == t.view {
			return found, err
		}
		t.view, t.moved = now, true
	}
}

func (t *tx) lookIn(ctx context.Context, v *view, c cid.Cid) (found copies, err error) {
	k := keyOf(c)
	for _, seg := range v.segs {
		pos, e, err := seg.find(k)
		if err != nil || pos < 0 { // readers pass it over as well
			continue
		}
		trust, err := t.trust(ctx, e.pack)
		if err != nil {
			return found, err
		}
		switch trust {
		case packWhole:
			if t.leads(seg, c, e.location) {
				found.sound, found.at = true, e.location
			} else { // the entry is wrong, or what it leads to is cut off
				found.damaged = append(found.damaged, damagedCopy{e.location, seg})
			}
		case packSuspect:
			data, err := t.s.packs.section(c, e.location, buffer(&t.section))
			if err == nil {
				err = ipfs.VerifyBlock(c, data)
			}
			if err != nil {
				found.damaged = append(found.damaged, damagedCopy{e.location, seg})
			} else {
				found.sound, found.at = true, e.location
			}
		case packGone:
			found.gone = true
		}
	}
	return found, nil
}

// stored tells whether a block is in the store and right, and relies on it then.
func (t *tx) stored(ctx context.Context, c cid.Cid) (bool, error) {
	found, err := t.look(ctx, c)
	if err != nil || !found.sound || len(found.damaged) > 0 {
		return false, err
	}
	t.relies.on(keyOf(c), found)
	return true, nil
}

// heal puts the damaged copies of a block right. left is false when readers would
// come upon none of them afterwards that is right, so that it is to be stored anew.
func (t *tx) heal(c cid.Cid, data []byte, found *copies) (left bool, err error) {
	if len(found.damaged) > 0 {
		if err := ipfs.VerifyBlock(c, data); err != nil {
			return false, err
		}
	}
	left = found.sound
	for _, bad := range found.damaged {
		_, misread := t.s.packs.dataSize(c, bad.location)
		if misread != nil && bad.seg.check() != nil { // a wrong place is another block's; readers see that it is
			continue
		}
		err := t.overwrite(bad.location, c, data)
		if errors.Is(err, ipfs.ErrCorrupt) { // of a wrong length, which readers see as well
			continue
		}
		if err != nil {
			return false, fmt.Errorf("block %s is damaged in pack %s and cannot be put right: %w", c, bad.pack, err)
		}
		left, found.at = true, bad.location
	}
	if len(found.damaged) > 0 {
		t.relies.healed++
	}
	return left, nil
}

func (t *tx) overwrite(loc location, c cid.Cid, data []byte) (err error) {
	f := t.relies.opened[loc.pack]
	if f == nil {
		if f, err = os.OpenFile(t.s.dir.pack(loc.pack), os.O_WRONLY, 0); err != nil {
			return err
		}
		if t.relies.opened == nil {
			t.relies.opened = map[packID]*os.File{}
		}
		t.relies.opened[loc.pack] = f
	}
	delete(t.relies.sizes, loc.pack) // which may be longer now, with gaps
	return overwriteAt(f, loc, c, data)
}

// syncHealed makes durable what was put right.
func (t *tx) syncHealed() (err error) {
	for _, f := range t.relies.opened {
		err = errors.Join(err, syncAndClose(f))
	}
	t.relies.opened = nil
	return err
}

// noteWritten has the packs of this transaction count as read.
func (t *tx) noteWritten() {
	now := time.Now().UnixNano()
	for _, p := range t.parts() {
		if len(p.blocks) == 0 {
			continue
		}
		if state, err := t.s.dir.packState(p.w.id); err == nil { // else the next publication reads it
			if t.relies.fresh == nil {
				t.relies.fresh = checks{}
			}
			t.relies.fresh[p.w.id] = check{state, now}
		}
	}
}
