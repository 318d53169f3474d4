// Changes of files: how they are planned and shown.

package setup

import (
	"bytes"
	"os"
	"path/filepath"

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

// Diff shows the change as a unified diff.
func (c Change) Diff() string {
	before, after := c.Path, c.Path
	if c.Before == nil {
		before = os.DevNull
	}
	if c.After == nil {
		after = os.DevNull
	}
	text := diff.Diff(before, c.Before, after, c.After)
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
	c := Change{Path: path, Before: before, After: after, prune: prune}
	switch backup := path + backupSuffix; {
	case p.Undo:
		saved, err := readable(backup)
		if err != nil {
			return err
		}
		c.dropBackup = saved != nil && after != nil && bytes.Equal(saved, after)
		if c.dropBackup {
			c.Backup = backup
		} else if saved != nil {
			p.note("%s, the file before setup, stays: it is not what is there after the undo", backup)
		}
	case before != nil && !had:
		c.Backup = backup
	}
	p.Changes = append(p.Changes, c)
	return nil
}

// resolved follows symbolic links, so that they stay and their target changes.
func resolved(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if os.IsNotExist(err) {
		return path, nil
	}
	return real, err
}
