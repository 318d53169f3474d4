// Setups that run at the same time, and what one that was killed has left.

package setup

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

// claimWait is far more than a setup takes to write and ask an engine.
const claimWait = 2 * askTimeout

// claim makes the directories that a plan writes into, locks them against other setups
// and removes temporary files of one that was killed. Release unlocks them and removes
// those of which nothing came.
func (p *Plan) claim(ctx context.Context) (release func(), err error) {
	var made []string
	var held []*flock.Flock
	release = func() {
		for _, lock := range held {
			_ = lock.Unlock()
		}
		for _, dir := range slices.Backward(made) {
			_ = os.Remove(dir) // fails when something is in it
		}
	}
	dirs, err := p.directories()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		some, err := makeDirs(dir)
		made = append(made, some...)
		if err != nil {
			release()
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, claimWait, errClaimed)
	defer cancel()
	for _, dir := range dirs {
		lock := flock.New(dir, flock.SetFlag(os.O_RDONLY))
		locked, errLock := lock.TryLockContext(ctx, 20*time.Millisecond)
		if cause := context.Cause(ctx); cause != nil {
			release()
			return nil, fmt.Errorf("%s: %w", dir, cause)
		}
		if locked && errLock == nil { // else this file system has no locks, or Windows none of directories
			held = append(held, lock)
			sweep(dir)
		}
	}
	return release, nil
}

// errClaimed is about another setup that does not end.
var errClaimed = fmt.Errorf("%w: another setup is writing there; run setup again when it has ended", ErrConfig)

// directories are those of all files that a plan writes, in an order that is the same for
// all setups.
func (p *Plan) directories() ([]string, error) {
	dirs := map[string]bool{}
	for _, c := range p.Changes {
		for _, path := range []string{c.Path, c.Backup} {
			if path == "" {
				continue
			}
			real, err := p.place.real(path)
			if err != nil {
				return nil, err
			}
			dirs[filepath.Dir(real)] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs)), nil
}

// temporaryName is the pattern by which temporary files are named.
const temporaryName = ".image2ipfs-*"

var leftover = regexp.MustCompile(`^\.image2ipfs-[0-9]+$`)

// sweep removes temporary files from a directory in which no other setup works.
func sweep(dir string) {
	entries, _ := os.ReadDir(dir) // what may not be listed stays
	for _, e := range entries {
		if e.Type().IsRegular() && leftover.MatchString(e.Name()) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
