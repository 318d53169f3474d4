package packstore

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/diskspace"
	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// format is the number of the layout on disk, which the package comment describes.
const format = "1"

const (
	packExt    = ".car"
	segmentExt = ".idx"
	rootExt    = ".json"
)

// dir is the directory of a store.
type dir string

func (d dir) join(name ...string) string {
	return filepath.Join(append([]string{string(d)}, name...)...)
}

func (d dir) packs() string              { return d.join("packs") }
func (d dir) pack(id packID) string      { return d.join("packs", id.String()+packExt) }
func (d dir) index() string              { return d.join("index") }
func (d dir) segment(name string) string { return d.join("index", name) }
func (d dir) roots() string              { return d.join("roots") }
func (d dir) tmp() string                { return d.join("tmp") }
func (d dir) tempPack(id packID) string  { return d.join("tmp", id.String()+packExt) }
func (d dir) memory() string             { return d.join("known") }
func (d dir) checked() string            { return d.join("checked") }
func (d dir) collectLock() string        { return d.join("gc") }     // exclusive for gc as long as it works, shared by who merges segments or heals
func (d dir) gateLock() string           { return d.join("gate") }   // on the way to the next
func (d dir) gcLock() string             { return d.join("lock") }   // shared by who ends a publication, exclusive while gc takes something away
func (d dir) commitLock() string         { return d.join("commit") } // held while records are changed and segments merged

// packID names a pack; it is random, so that processes need not agree.
type packID [16]byte

func newPackID() packID {
	var id packID
	rand.Read(id[:]) // never fails, see crypto/rand
	return id
}

func (id packID) String() string { return hex.EncodeToString(id[:]) }

// parsePackID reads a file name in packs/; ok is false for foreign files.
func parsePackID(name string) (id packID, ok bool) {
	b, err := hex.DecodeString(strings.TrimSuffix(name, packExt))
	if err != nil || len(b) != len(id) || !strings.HasSuffix(name, packExt) {
		return id, false
	}
	return packID(b), true
}

// DefaultPath is where the store lies when nothing else is said:
// $IMAGE2IPFS_PATH, else image2ipfs in the user's data directory, which is
// $XDG_DATA_HOME or ~/.local/share (XDG Base Directory Specification), on macOS
// ~/Library/Application Support and on Windows %LocalAppData%.
func DefaultPath() (string, error) {
	if p := os.Getenv("IMAGE2IPFS_PATH"); p != "" {
		return p, nil
	}
	if p := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(p) {
		return filepath.Join(p, "image2ipfs"), nil
	}
	if p := os.Getenv("LocalAppData"); p != "" && runtime.GOOS == "windows" {
		return filepath.Join(p, "image2ipfs"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no directory for the store: %w; set IMAGE2IPFS_PATH", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "image2ipfs"), nil
	}
	return filepath.Join(home, ".local", "share", "image2ipfs"), nil
}

// prepare checks that d holds a store of this format and makes one if there is
// nothing at all.
func (d dir) prepare() error {
	err := d.checkVersion()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.create(); err != nil {
		return fmt.Errorf("creating store %s: %w", d, d.advised(err))
	}
	return d.checkVersion()
}

func (d dir) checkVersion() error {
	got, err := os.ReadFile(d.join("version"))
	if to, linked := d.dangling(); err != nil && linked {
		return fmt.Errorf("%w: store %s is a link to %s, which is not there: mount that or mend the link, or choose another directory through IMAGE2IPFS_PATH", ipfs.ErrUnavailable, d, to)
	}
	if err != nil {
		return fmt.Errorf("opening store %s: %w", d, d.advised(err))
	}
	if v := strings.TrimSpace(string(got)); v != format {
		return fmt.Errorf("store %s has format %.20q, this image2ipfs knows format %s: use the image2ipfs that made it, or another directory through IMAGE2IPFS_PATH, and publish again", d, v, format)
	}
	return nil
}

// dangling tells where a store's directory should be that is a link to nothing.
func (d dir) dangling() (to string, linked bool) {
	to, err := os.Readlink(string(d))
	if err != nil {
		return "", false
	}
	_, err = os.Stat(string(d))
	return to, errors.Is(err, fs.ErrNotExist)
}

// create makes an empty store. Several processes may do so at once, and one
// that was interrupted is completed: the version file comes last.
func (d dir) create() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	ours := map[string]bool{"packs": true, "index": true, "roots": true, "tmp": true}
	for _, e := range entries {
		if e.Name() == "version" { // another process has just been as far
			return nil
		}
	}
	for _, e := range entries {
		if !ours[e.Name()] && !diskspace.IsOfVolume(e.Name()) {
			return fmt.Errorf("it is not empty (%s is there) and no image2ipfs store: choose an empty or a new directory through IMAGE2IPFS_PATH", e.Name())
		}
	}
	for _, sub := range []string{d.packs(), d.index(), d.roots(), d.tmp()} {
		if err := owned.Mkdir(sub); err != nil {
			return err
		}
	}
	if err := d.writeFile(d.join("version"), []byte(format+"\n")); err != nil {
		return err
	}
	for p := filepath.Dir(string(d)); ; p = filepath.Dir(p) { // MkdirAll may have made any of them
		if err := syncDir(p); err != nil || p == filepath.Dir(p) {
			return nil // not readable, so not made here
		}
	}
}

// packIDs lists the packs.
func (d dir) packIDs() ([]packID, error) {
	files, err := os.ReadDir(d.packs())
	if err != nil {
		return nil, err
	}
	var ids []packID
	for _, f := range files {
		if id, ok := parsePackID(f.Name()); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
