package packstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/diskspace"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

var _ ipfs.Recorder = (*Store)(nil)

// recordDir has the records of a kind in a space. They are called by hashes: names
// may have any length, and letters that file systems take for one another. Which
// they are is in the records.
func (d dir) recordDir(kind, space string) string { return d.join("records", kind, hashed(space)) }

// recordDirs are those of all kinds and spaces. The store's own path is no pattern:
// it may hold any character.
func (d dir) recordDirs() (all []string, err error) {
	kinds, err := subdirs(d.join("records"))
	for _, kind := range kinds {
		if filepath.Base(kind) == "lock" {
			continue
		}
		spaces, err := subdirs(kind)
		if err != nil {
			return nil, err
		}
		all = append(all, spaces...)
	}
	return all, err
}

// subdirs are the directories in one, or behind links there; none when it is not
// there.
func subdirs(path string) (dirs []string, err error) {
	files, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		dir := filepath.Join(path, f.Name())
		if diskspace.IsOfVolume(f.Name()) {
			continue
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs, err
}

func (d dir) recordFile(k ipfs.Key) string {
	return filepath.Join(d.recordDir(k.Kind, k.Space), hashed(k.Name)+rootExt)
}

func (d dir) spaceLock(space string) string { return d.join("records", "lock", hashed(space)) }

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Record implements [ipfs.Recorder].
func (s *Store) Record(_ context.Context, k ipfs.Key) (ipfs.Record, error) {
	r, err := loadRecord(s.dir.recordFile(k))
	if errors.Is(err, os.ErrNotExist) || err == nil && isOver(r) {
		return ipfs.Record{}, fmt.Errorf("%w: no %s %q of %q in %s", ipfs.ErrNotFound, k.Kind, k.Name, k.Space, s)
	}
	return r, s.dir.permitted(err)
}

func isOver(r ipfs.Record) bool { return !r.Until.IsZero() && r.Until.Before(time.Now()) }

// loadRecord reads a record; the error matches [os.ErrNotExist] when there is none.
func loadRecord(path string) (r ipfs.Record, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err = jsontext.Unmarshal(data, &r); err == nil && !r.CID.Defined() {
		err = errors.New("it has no CID")
	}
	if err != nil {
		return r, fmt.Errorf("%w: record %s: %v; remove the file and push again what is missing then", ipfs.ErrCorrupt, path, err)
	}
	return r, nil
}

// Records implements [ipfs.Recorder].
func (s *Store) Records(ctx context.Context, kind, space string) ([]ipfs.Record, error) {
	var all []ipfs.Record
	err := eachRecord(ctx, s.dir.recordDir(kind, space), func(_ string, r ipfs.Record) error {
		if !isOver(r) {
			all = append(all, r)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b ipfs.Record) int { return cmp.Compare(a.Name, b.Name) })
	return all, s.dir.permitted(err)
}

// isRecord tells whether an entry of a directory of records is one, and nothing that
// another program left there.
func isRecord(f os.DirEntry) bool {
	name, ok := strings.CutSuffix(f.Name(), rootExt)
	sum, err := hex.DecodeString(name)
	return ok && err == nil && len(sum) == sha256.Size && f.Type().IsRegular()
}

// eachRecord calls fn for the records in a directory, until one fails.
func eachRecord(ctx context.Context, dir string, fn func(path string, r ipfs.Record) error) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		if err = ctx.Err(); err != nil {
			return err
		}
		if !isRecord(f) {
			continue
		}
		path := filepath.Join(dir, f.Name())
		r, err := loadRecord(path)
		if errors.Is(err, os.ErrNotExist) { // forgotten meanwhile
			continue
		}
		if err == nil {
			err = fn(path, r)
		}
		if err != nil {
			return err
		}
	}
	return err
}

// Spaces implements [ipfs.Recorder].
func (s *Store) Spaces(ctx context.Context, kind string) ([]string, error) {
	dirs, err := subdirs(s.dir.join("records", kind))
	if err != nil {
		return nil, err
	}
	found := errors.New("found")
	var spaces []string
	for _, d := range dirs {
		err := eachRecord(ctx, d, func(_ string, r ipfs.Record) error {
			if isOver(r) {
				return nil
			}
			spaces = append(spaces, r.Space)
			return found
		})
		if err != nil && !errors.Is(err, found) {
			return nil, err
		}
	}
	slices.Sort(spaces)
	return spaces, nil
}

// Forget implements [ipfs.Recorder].
func (s *Store) Forget(ctx context.Context, keys ...ipfs.Key) error {
	return s.forget(ctx, keys, func(string) bool { return true })
}

// forgetOver is Forget of records whose time is over, unless they were made anew since
// the caller has read them.
func (s *Store) forgetOver(ctx context.Context, keys []ipfs.Key) error {
	return s.forget(ctx, keys, func(path string) bool {
		r, err := loadRecord(path)
		return err == nil && isOver(r)
	})
}

// Revise implements [ipfs.Recorder].
func (s *Store) Revise(ctx context.Context, keys []ipfs.Key, fn func(ipfs.Record) (ipfs.Record, bool)) error {
	unlock, err := lockExclusive(ctx, s.dir.commitLock(), nil)
	if err != nil {
		return err
	}
	var stay []ipfs.Record
	var gone []ipfs.Key
	for _, k := range keys {
		was, err := loadRecord(s.dir.recordFile(k))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		is, stays := was, false
		if err == nil && !isOver(was) {
			is, stays = fn(was)
		}
		if is.Key, is.CID = k, was.CID; stays {
			stay = append(stay, is)
		} else {
			gone = append(gone, k)
		}
	}
	err = s.dir.show(nil, stay)
	if err == nil {
		err = s.dir.forget(gone, func(string) bool { return true })
	}
	return errors.Join(err, unlock())
}

// forget removes the records of keys that are to go.
func (s *Store) forget(ctx context.Context, keys []ipfs.Key, goes func(path string) bool) error {
	unlock, err := lockExclusive(ctx, s.dir.commitLock(), nil)
	if err != nil {
		return err
	}
	return errors.Join(s.dir.forget(keys, goes), unlock())
}

// forget is that of a store. The caller holds the commit lock.
func (d dir) forget(keys []ipfs.Key, goes func(path string) bool) error {
	changed := map[string]bool{}
	for _, k := range keys {
		path := d.recordFile(k)
		if !goes(path) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing record %s %q of %q: %w", k.Kind, k.Name, k.Space, err)
		} else if err == nil {
			changed[filepath.Dir(path)] = true
		}
	}
	var errs []error
	for dir := range changed {
		errs = append(errs, syncDir(dir))
	}
	return errors.Join(errs...)
}

// LockSpace implements [ipfs.Recorder].
func (s *Store) LockSpace(ctx context.Context, space string) (unlock func() error, err error) {
	path := s.dir.spaceLock(space)
	if err := s.dir.makeDurably(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return lockExclusive(ctx, path, nil)
}

// BeginRecords implements [ipfs.Recorder].
func (s *Store) BeginRecords(ctx context.Context) (ipfs.RecordTx, error) { return s.begin(ctx) }

// CommitRecords implements [ipfs.RecordTx].
func (t *tx) CommitRecords(ctx context.Context, roots []ipfs.Root, records ...ipfs.Record) (ipfs.Stats, error) {
	return t.commit(ctx, roots, records)
}

// CommitRevised implements [ipfs.RecordTx].
func (t *tx) CommitRevised(ctx context.Context, revise func(is, was ipfs.Record) ipfs.Record, roots []ipfs.Root, records ...ipfs.Record) (ipfs.Stats, error) {
	t.mu.Lock()
	t.revise = revise
	t.mu.Unlock()
	return t.commit(ctx, roots, records)
}

// revised are records as they are to be kept beside what is there. The caller holds the
// commit lock.
func (t *tx) revised(records []ipfs.Record) []ipfs.Record {
	if t.revise == nil {
		return records
	}
	records = slices.Clone(records)
	for i, is := range records {
		was, err := loadRecord(t.s.dir.recordFile(is.Key))
		if errors.Is(err, os.ErrNotExist) || err == nil && isOver(was) {
			continue
		}
		if err != nil {
			was = ipfs.Record{Key: is.Key}
		}
		records[i] = t.revise(is, was)
		records[i].Key, records[i].CID = is.Key, is.CID
	}
	return records
}

// writeRecords keeps records; those of one kind and space that follow each other
// share the flush of their directory. The caller holds the commit lock.
func (d dir) writeRecords(records []ipfs.Record) error {
	for i, r := range records {
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		path := d.recordFile(r.Key)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
			if err := syncDir(filepath.Dir(path)); err != nil { // its writer may not have done so yet
				return err
			}
			continue
		}
		if err := d.makeDurably(filepath.Dir(path)); err != nil {
			return err
		}
		if err := d.placeFile(path, data); err != nil {
			return err
		}
		if last := i+1 == len(records); last || filepath.Dir(d.recordFile(records[i+1].Key)) != filepath.Dir(path) {
			if err := syncDir(filepath.Dir(path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lasting has the directories whose names this process has flushed: who made one may
// have been killed before it did so.
var lasting sync.Map

// makeDurably makes a directory below the store's, whose name lasts.
func (d dir) makeDurably(path string) error {
	if path == string(d) {
		return nil
	}
	if _, err := os.Stat(path); err == nil {
		if _, ok := lasting.Load(path); ok {
			return nil
		}
	}
	if err := d.makeDurably(filepath.Dir(path)); err != nil {
		return err
	}
	if err := owned.Mkdir(path); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	lasting.Store(path, true)
	return nil
}
