package packstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"os"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
)

// The file checked says which packs were read whole and found right, or written
// here, when, and how the file was then. A publication relies on blocks of such
// packs without reading them again. The file is replaced as a whole; when it is
// damaged it counts as empty: losing it costs time only. Integers are
// little-endian.
//
//	record  pack 16 | its size 8 | modified 8 | status changed 8 | read 8 (nanoseconds since 1970)
//	footer  magic 8 | CRC-32C of records and magic 4

const (
	checkSize  = 48
	checkMagic = "i2i-chk1"
	// trustFor is how long a pack that has not changed needs no reading: what disks
	// lose by themselves changes no time of a file.
	trustFor = 30 * 24 * time.Hour
)

// check is a pack that was read whole.
type check struct {
	state packState // when it was read
	at    int64     // in nanoseconds since 1970
}

// packState is what changes when somebody writes to a pack. Times are in
// nanoseconds since 1970.
type packState struct{ size, modified, changed int64 }

func stateOf(info os.FileInfo) packState {
	return packState{info.Size(), info.ModTime().UnixNano(), statusChanged(info)}
}

// packState gives that of a pack; the error matches [os.ErrNotExist] when it is gone.
func (d dir) packState(id packID) (packState, error) {
	info, err := os.Stat(d.pack(id))
	if err != nil {
		return packState{}, err
	}
	return stateOf(info), nil
}

// holds tells whether a pack that is in this state now needs no reading.
func (c check) holds(now packState, at time.Time) bool {
	age := at.UnixNano() - c.at
	return c.state == now && age >= 0 && age < int64(trustFor)
}

// checks are those of all packs.
type checks map[packID]check

// readChecks gives an empty map for a file that is damaged or not there.
func (d dir) readChecks() checks {
	found := checks{}
	data, err := os.ReadFile(d.checked())
	n := len(data) - len(checkMagic) - 4
	if err != nil || n < 0 || n%checkSize != 0 || !bytes.HasSuffix(data[:n+len(checkMagic)], []byte(checkMagic)) ||
		crc32.Checksum(data[:n+len(checkMagic)], crcTable) != binary.LittleEndian.Uint32(data[n+len(checkMagic):]) {
		return found
	}
	for b := data[:n]; len(b) > 0; b = b[checkSize:] {
		number := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[16+8*i:])) }
		found[packID(b)] = check{packState{number(0), number(1), number(2)}, number(3)}
	}
	return found
}

// noteChecks adds to the file, and takes those of packs that are gone out when
// prune says so. The caller holds the commit lock.
func (d dir) noteChecks(fresh checks, prune bool) error {
	if len(fresh) == 0 && !prune {
		return nil
	}
	all := d.readChecks()
	maps.Copy(all, fresh)
	data := make([]byte, 0, len(all)*checkSize+len(checkMagic)+4)
	for id, c := range all {
		if prune {
			if _, err := os.Stat(d.pack(id)); err != nil {
				continue
			}
		}
		data = append(data, id[:]...)
		for _, n := range []int64{c.state.size, c.state.modified, c.state.changed, c.at} {
			data = binary.LittleEndian.AppendUint64(data, uint64(n))
		}
	}
	data = append(data, checkMagic...)
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, crcTable))
	return d.replaceFile(d.checked(), data)
}

// note takes the commit lock for noteChecks.
func (s *Store) note(ctx context.Context, fresh checks, prune bool) error {
	unlock, err := lockExclusive(ctx, s.dir.commitLock(), nil)
	if err != nil {
		return err
	}
	return errors.Join(s.dir.noteChecks(fresh, prune), unlock())
}

// errFault ends the reading of a pack at the first fault.
var errFault = errors.New("fault")

// readPack reads a pack whole and hashes each block; read is told of the bytes of
// each. whole is false when one is not right, or the file is no pack to its end.
// The error is that of ctx or of read, or matches [os.ErrNotExist].
func (s *Store) readPack(ctx context.Context, id packID, read func(n int) error) (c check, whole bool, err error) {
	before, err := s.dir.packState(id)
	if err != nil {
		return check{}, false, err
	}
	at := time.Now()
	end := int64(headerSize)
	_, err = scanPack(s.dir, id, func(c cid.Cid, data []byte, loc location) error {
		if err := errors.Join(ctx.Err(), read(int(loc.size))); err != nil {
			return err
		}
		if ipfs.VerifyBlock(c, data) != nil {
			return errFault
		}
		end = loc.off + int64(loc.size)
		return nil
	})
	switch after, serr := s.dir.packState(id); {
	case ctx.Err() != nil:
		return check{}, false, ctx.Err()
	case errors.Is(err, errFault), errors.Is(err, ipfs.ErrCorrupt):
		return check{}, false, nil
	case err != nil:
		return check{}, false, err
	case serr != nil || after != before || end != before.size: // it was written to meanwhile, or ends in between
		return check{}, false, serr
	}
	return check{before, at.UnixNano()}, true, nil
}
