package archive

import (
	"fmt"
	"path"
	"strings"
)

// Links are those of an archive: of files and of directories, by name.
type Links map[string]string

// maxHops is how many links lead on to others before they are taken for a circle
// (Linux' MAXSYMLINKS).
const maxHops = 40

// Resolve gives the name of the entry that name means, through links; has tells
// which entries there are. Where a link leads to nothing, ok is false and the
// result is the name that it leads to. Circles are errors that match
// [ErrFormat].
func (l Links) Resolve(name string, has func(name string) bool) (resolved string, ok bool, err error) {
	at := name
	for range maxHops {
		if has(at) {
			return at, true, nil
		}
		next, found := l.step(at)
		if !found {
			return at, false, nil
		}
		if at, err = CleanName(next); err != nil {
			return next, false, err
		}
	}
	return at, false, fmt.Errorf("%w: links from %s go round in a circle", ErrFormat, name)
}

// step follows the first link on the way to name.
func (l Links) step(name string) (string, bool) {
	for i, c := range name { // the directories above it first
		if c != '/' {
			continue
		}
		if target, ok := l[name[:i]]; ok {
			return path.Join(target, strings.TrimPrefix(name[i:], "/")), true
		}
	}
	target, ok := l[name]
	return target, ok
}
