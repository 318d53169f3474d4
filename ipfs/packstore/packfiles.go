package packstore

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
)

const (
	maxOpenPacks = 128
	packIdle     = 10 * time.Second // then its file is closed, so that the space of a removed pack comes back
)

var errClosed = errors.New("store is closed")

// packFiles keeps the packs open that are being read.
type packFiles struct {
	dir    dir
	mu     sync.Mutex
	open   map[packID]*packFile
	timer  *time.Timer
	closed bool
}

type packFile struct {
	*os.File
	used    atomic.Bool // since the last sweep
	holders int         // who must be able to go on reading; guarded by packFiles.mu
	dropped bool        // it is closed when the last of them is done
}

// section reads the block c at loc into memory from alloc. Errors match
// os.ErrNotExist when the pack is gone, [ipfs.ErrCorrupt] when another or no
// block is there.
func (p *packFiles) section(c cid.Cid, loc location, alloc func(n int) []byte) (data []byte, err error) {
	err = p.read(loc, alloc(int(loc.size)), func(section []byte) (err error) {
		data, err = sectionData(section, c)
		return err
	})
	return data, err
}

// dataSize tells how long the block c at loc is, by its header.
func (p *packFiles) dataSize(c cid.Cid, loc location) (size int64, err error) {
	err = p.read(loc, make([]byte, min(maxSectionHeader, int(loc.size))), func(head []byte) error {
		start, err := dataStart(head, int(loc.size), c)
		size = int64(loc.size) - int64(start)
		return err
	})
	return size, err
}

// read fills buf from loc on and has it checked.
func (p *packFiles) read(loc location, buf []byte, check func([]byte) error) error {
	for {
		f, err := p.get(loc.pack)
		if err != nil {
			return err
		}
		_, err = f.ReadAt(buf, loc.off)
		if errors.Is(err, os.ErrClosed) { // by sweep, a moment ago
			continue
		}
		if err == nil {
			err = check(buf)
		}
		if err != nil {
			return packError(f.Name(), loc, err)
		}
		return nil
	}
}

func (p *packFiles) get(id packID) (*packFile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened(id)
}

// opened is get of who holds p.mu.
func (p *packFiles) opened(id packID) (*packFile, error) {
	if p.closed {
		return nil, errClosed
	}
	f := p.open[id]
	if f == nil {
		file, err := os.Open(p.dir.pack(id))
		if err != nil {
			return nil, err
		}
		for other, of := range p.open {
			if len(p.open) < maxOpenPacks {
				break
			}
			if of.holders == 0 {
				p.drop(other, of)
			}
		}
		f = &packFile{File: file}
		if p.open == nil {
			p.open = map[packID]*packFile{}
		}
		p.open[id] = f
	}
	if !f.used.Swap(true) && p.timer == nil {
		p.timer = time.AfterFunc(packIdle, p.sweep)
	}
	return f, nil
}

// sweep closes what was not used since the last one.
func (p *packFiles) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	for id, f := range p.open {
		if !f.used.Swap(false) && f.holders == 0 {
			p.drop(id, f)
		}
	}
	if len(p.open) > 0 && !p.closed {
		p.timer = time.AfterFunc(packIdle, p.sweep)
	}
}

// forget closes a pack that has been removed.
func (p *packFiles) forget(id packID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.open[id]; f != nil {
		p.drop(id, f)
	}
}

// drop closes a file, now or when nobody holds it any more. The caller holds p.mu.
func (p *packFiles) drop(id packID, f *packFile) {
	delete(p.open, id)
	if f.dropped = true; f.holders == 0 {
		f.Close()
	}
}

// hold is get of a file that stays open until it is released.
func (p *packFiles) hold(id packID) (*packFile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := p.opened(id)
	if err == nil {
		f.holders++
	}
	return f, err
}

func (p *packFiles) release(f *packFile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.holders--; f.holders == 0 && f.dropped {
		f.Close()
	}
}

func (p *packFiles) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for id, f := range p.open {
		f.Close()
		delete(p.open, id)
	}
}
