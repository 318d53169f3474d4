package archive

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Links are those of an archive: of files and of directories, by name.
type Links map[string]string

// maxHops is how many links lead on to others before they are taken for a circle
// (Linux' MAXSYMLINKS).
const maxHops = 40

// Trail are the names over which links lead, the one that was asked for first.
type Trail []string

// End is the last name, to which the links lead.
func (t Trail) End() string { return t[len(t)-1] }

// String is the trail for messages, such as "a -> b -> c". Of long ones the middle is
// left out.
func (t Trail) String() string {
	const most, begin = 8, 5
	var shown []string
	for i, name := range t {
		switch {
		case len(t) <= most || i < begin || i >= len(t)-2:
			shown = append(shown, abridged(name))
		case i == begin:
			shown = append(shown, "…")
		}
	}
	return strings.Join(shown, " -> ")
}

// abridged is a name for messages that have several.
func abridged(name string) string {
	const most = 200 // bytes
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

// Resolve gives the name of the entry that name means, through links; has tells
// which entries there are. Where a link leads to nothing, ok is false and the
// result is the name that it leads to. Circles are errors that match
// [ErrFormat].
func (l Links) Resolve(name string, has func(name string) bool) (resolved string, ok bool, err error) {
	trail, ok, err := l.Follow(name, has)
	return trail.End(), ok, err
}

// Follow is Resolve that tells all names on the way; its last is the result.
func (l Links) Follow(name string, has func(name string) bool) (trail Trail, ok bool, err error) {
	trail = Trail{name}
	for range maxHops {
		at := trail.End()
		if has(at) {
			return trail, true, nil
		}
		next, found := l.step(at)
		if !found {
			return trail, false, nil
		}
		clean, err := CleanName(next)
		if err != nil {
			return trail, false, err
		}
		isCircle := slices.Contains(trail, clean)
		if trail = append(trail, clean); isCircle {
			return trail, false, fmt.Errorf("%w: link circle %s", ErrFormat, trail)
		}
	}
	return trail, false, fmt.Errorf("%w: links lead over more than %d others: %s", ErrFormat, maxHops, trail)
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
