package packstore

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/owned"
)

// A transaction that relies on a block of the store claims its pack: it locks the file
// for as long as it lives. gc takes no pack away that it cannot lock alone, and no pack
// in tmp/, which its writer locks in the same way. A claim spares a publication from
// failing; that nothing is lost does not depend on it, but on what Commit looks at
// (docs/store.md).

// claims are those of a process, each pack opened once for all its transactions.
type claims struct {
	mu   sync.Mutex
	held map[packID]*claim
}

type claim struct {
	file    *os.File
	holders int
}

// take claims a pack; the error matches [os.ErrNotExist] when it is gone.
func (c *claims) take(ctx context.Context, d dir, id packID) error {
	if c.share(id, nil) {
		return nil
	}
	f, err := os.Open(d.pack(id))
	if err != nil {
		return err
	}
	if err := lockPack(ctx, f, d.pack(id)); err != nil {
		return errors.Join(err, f.Close())
	}
	if c.share(id, f) {
		return nil
	}
	return f.Close() // another transaction was quicker
}

// share claims a pack that is claimed already, or that f has locked; taken tells that it
// was, and that f, if there is one, is in use now.
func (c *claims) share(id packID, f *os.File) (taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.held[id]; known != nil {
		known.holders++
		return f == nil
	}
	if f == nil {
		return false
	}
	if c.held == nil {
		c.held = map[packID]*claim{}
	}
	c.held[id] = &claim{f, 1}
	return true
}

// release ends a claim.
func (c *claims) release(id packID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.held[id]
	if known.holders--; known.holders > 0 {
		return nil
	}
	delete(c.held, id)
	return known.file.Close()
}

// claimPoll is how often is looked whether gc, which has a pack for a moment, has let go
// of it or taken it away.
const claimPoll = 2 * time.Millisecond

// lockPack locks an open pack; the error matches [os.ErrNotExist] when it is no longer
// what lies at path.
func lockPack(ctx context.Context, f *os.File, path string) error {
	for {
		ok, err := shareFile(f)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		if err := pause(ctx, claimPoll); err != nil {
			return err
		}
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(path)
	if err == nil && !os.SameFile(opened, now) {
		err = os.ErrNotExist
	}
	return err
}

// createPack makes the file of a pack in tmp/, which gc leaves alone for as long as it is
// open.
func createPack(path string) (*os.File, error) {
	for {
		f, err := owned.Create(path)
		if err != nil {
			return nil, err
		}
		if err = lockPack(context.Background(), f, path); err == nil {
			return f, nil
		}
		if err := errors.Join(f.Close()); err != nil {
			return nil, err
		}
		if !errors.Is(err, os.ErrNotExist) { // else gc came between making and locking it
			return nil, errors.Join(err, os.Remove(path))
		}
	}
}

// The file collected holds a random number that changes whenever gc takes something
// away. A transaction that ends at another number than it began at looks whether all that
// it keeps is there. Transactions make it, since gc has to do its work on a full disk.

const eraSize = 16

func (d dir) eraFile() string { return d.join("collected") }

// era reads the number; it is empty when there is none.
func (d dir) era() (string, error) {
	data, err := os.ReadFile(d.eraFile())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return string(data), err
}

// beginEra is era that makes a number when there is none. The caller shares the store's
// lock.
func (d dir) beginEra() (string, error) {
	now, err := d.era()
	if err != nil || now != "" {
		return now, err
	}
	fresh := make([]byte, eraSize)
	rand.Read(fresh) // never fails, see crypto/rand
	return string(fresh), d.replaceFile(d.eraFile(), fresh)
}

// nextEra changes the number. The caller has the store's lock alone.
func (d dir) nextEra() error {
	f, err := os.OpenFile(d.eraFile(), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) { // no transaction has begun since somebody removed it
		return nil
	}
	if err != nil {
		return err
	}
	fresh := make([]byte, eraSize)
	rand.Read(fresh)
	_, err = f.WriteAt(fresh, 0)
	if err = errors.Join(err, f.Close()); isDiskFull(err) { // where files are never written in place
		err = os.Remove(d.eraFile())
	}
	return err
}
