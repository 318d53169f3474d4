package source

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// maxLike is how many names are offered in place of one that is not there.
const maxLike = 5

// unknownImage is the error about an image that an engine does not have, with the
// names of those that may be meant. It matches [oci.ErrNotFound].
func unknownImage(engine, asked string, have []string) error {
	familiar := make([]string, 0, len(have))
	for _, name := range have {
		if !strings.Contains(name, "<none>") && !strings.Contains(name, "@") {
			familiar = append(familiar, short(name))
		}
	}
	slices.Sort(familiar)
	familiar = slices.Compact(familiar)
	hint := "it has no images with a name"
	if near := like(asked, familiar); len(near) > 0 {
		hint = "is it " + quoted(near) + "?"
	} else if len(familiar) > 0 {
		hint = "it has " + quoted(familiar[:min(maxLike, len(familiar))])
		if more := len(familiar) - maxLike; more > 0 {
			hint += fmt.Sprintf(" and %d more", more)
		}
	}
	return fmt.Errorf("%w: %s has no image %s; %s", oci.ErrNotFound, engine, asked, hint)
}

func quoted(names []string) string { return oci.Quoted(strings.Join(names, ", ")) }

// short is a name as people type it.
func short(name string) string {
	if named, err := reference.ParseDockerRef(name); err == nil {
		return reference.FamiliarString(named)
	}
	return name
}

// like are the names that are most like one: those of the same repository, else those
// whose last word is the same, or begins or ends as that does.
func like(asked string, names []string) []string {
	repository, _, _ := ref.CutTag(short(asked))
	last := path.Base(repository)
	same := func(fits func(repository, last string) bool) (found []string) {
		for _, name := range names {
			r, _, _ := ref.CutTag(name)
			if fits(r, path.Base(r)) && len(found) < maxLike {
				found = append(found, name)
			}
		}
		return found
	}
	for _, fits := range []func(r, l string) bool{
		func(r, _ string) bool { return r == repository },
		func(_, l string) bool { return l == last },
		func(_, l string) bool { return oneApart(l, last) },
		func(_, l string) bool { return strings.Contains(l, last) || strings.Contains(last, l) },
	} {
		if found := same(fits); len(found) > 0 {
			return found
		}
	}
	return nil
}

// oneApart tells whether words differ in one stretch of at most two letters, as by
// a slip of the finger.
func oneApart(a, b string) bool {
	front := 0
	for front < min(len(a), len(b)) && a[front] == b[front] {
		front++
	}
	back := 0
	for back < min(len(a), len(b))-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	return front+back > 0 && max(len(a), len(b))-front-back <= 2
}
