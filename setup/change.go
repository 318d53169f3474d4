// Changes of files: how they are planned and shown.

package setup

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/diff"
)

const backupSuffix = ".image2ipfs-backup"

// Action is what happens to the file: "create", "change" or "remove".
func (c Change) Action() string {
	switch {
	case c.Before == nil:
		return "create"
	case c.After == nil:
		return "remove"
	}
	return "change"
}

// Diff shows the change as a unified diff, in which passwords, tokens and headers are
// masked.
func (c Change) Diff() string {
	before, after := c.Path, c.Path
	if c.Before == nil {
		before = os.DevNull
	}
	if c.After == nil {
		after = os.DevNull
	}
	text := diff.Diff(before, masked(c.Before), after, masked(c.After))
	if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
		return string(rest) // without the line "diff before after"
	}
	return ""
}

// change plans that a file gets other bytes; nil is no file. Had tells that the
// file holds additions of ours already, so that its backup is not replaced.
// Directories in prune go away when they are empty then.
func (p *Plan) change(path string, before, after []byte, had bool, prune ...string) error {
	if bytes.Equal(before, after) && (before == nil) == (after == nil) {
		return nil
	}
	target, err := p.place.real(path)
	if err != nil {
		return err
	}
	for _, c := range p.Changes {
		switch {
		case c.target != target:
		case bytes.Equal(c.After, after) && (c.After == nil) == (after == nil):
			return nil // by another path
		default:
			return fmt.Errorf("%w: %s and %s are one file, which would get two contents: remove one of the links to %s", ErrConfig, c.Path, path, target)
		}
	}
	c := Change{Path: path, Before: before, After: after, target: target, prune: prune}
	if p.Undo {
		err = p.dropBackup(&c)
	} else if before != nil && !had {
		c.Backup, err = p.freeBackup(path, before)
	}
	if err != nil {
		return err
	}
	p.Changes = append(p.Changes, c)
	return nil
}

// backups are the names of what keeps a file as it was, the usual one first: a backup is
// never replaced, since only it may have what was there before the first setup.
func (p *Plan) backups(path string) (names []string) {
	name := path + p.options.marks().backup
	for i := 2; i < 10; i++ {
		names = append(names, fmt.Sprintf("%s.%d", name, i))
	}
	return append([]string{name}, names...)
}

// freeBackup is where a file as it is can be kept, or is already.
func (p *Plan) freeBackup(path string, before []byte) (string, error) {
	for _, name := range p.backups(path) {
		saved, err := p.place.read(name)
		switch {
		case err != nil:
			return "", err
		case saved == nil || bytes.Equal(saved, before):
			return name, nil
		case len(before) == 0:
			return "", fmt.Errorf("%w: %s is empty, as a write leaves it that is cut off, and %s, the file before an earlier setup, is not: put that in its place, or remove it if the file is meant to be empty, and run setup again", ErrConfig, path, name)
		}
	}
	return "", fmt.Errorf("%w: %s and others beside it keep the file as it was before earlier setups: remove those that nobody needs", ErrConfig, path+p.options.marks().backup)
}

// dropBackup has the undo remove the backup that says what is there after it, and tells
// of others.
func (p *Plan) dropBackup(c *Change) error {
	for _, name := range p.backups(c.Path) {
		saved, err := p.place.read(name)
		switch {
		case err != nil:
			return err
		case saved == nil:
		case c.Backup == "" && bytes.Equal(withoutBlocks(saved), withoutBlocks(c.After)):
			c.Backup, c.dropBackup = name, true
		default:
			p.note("%s, the file before setup, stays: it is not what is there after the undo", name)
		}
	}
	return nil
}

// textChange plans the change of a file with marked blocks. When they are taken
// out and nothing else is in it, it goes away if setup made it, and the
// directories that setup made for it too.
func (p *Plan) textChange(path string, before, after []byte, out bool) error {
	had := string(p.options.marks().cut(before)) != string(before)
	if !out || !had || !blank(after) {
		return p.change(path, before, after, had)
	}
	made, dirs := madeBy(before)
	if !made {
		return p.change(path, before, after, had)
	}
	prune, err := p.place.parents(path, dirs)
	if err != nil {
		return err
	}
	return p.change(path, before, nil, had, prune...)
}

// madeLine is a comment in a file that setup makes, by which the undo knows that
// the file and how many directories above it were not there before. It is empty
// for files that were; those that setup made before keep theirs.
func (p *Plan) madeLine(path string, before []byte) (lines []string, err error) {
	if before != nil {
		if made, dirs := madeBy(before); made {
			return []string{fmt.Sprintf(madeText, dirs)}, nil
		}
		return nil, nil
	}
	dirs, err := p.place.missing(path)
	return []string{fmt.Sprintf(madeText, dirs)}, err
}

const madeText = "# made by setup: this file, and %d directories for it"

var madePattern = regexp.MustCompile(`(?m)^[ \t]*# made by setup: this file, and (\d+) directories for it\r?$`)

// madeBy reads a madeLine.
func madeBy(text []byte) (made bool, dirs int) {
	found := madePattern.FindSubmatch(text)
	if found == nil {
		return false, 0
	}
	dirs, _ = strconv.Atoi(string(found[1])) // digits; one that is too large prunes nothing
	return true, min(dirs, 8)
}
