package names

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Follow has a name move with what is pushed to a repository.
type Follow struct {
	Key        string // what the key is called
	Repository string
	Tag        string // "" for all tags
}

// ParseFollow reads KEY=REPOSITORY[:TAG]. The error matches [ErrKey].
func ParseFollow(text string) (f Follow, err error) {
	alias, rest, ok := strings.Cut(text, "=")
	f.Key = alias
	f.Repository, f.Tag, _ = ref.CutTag(rest)
	if !ok || !oci.ValidName(f.Repository) || f.Tag != "" && !oci.ValidTag(f.Tag) || strings.HasSuffix(rest, ":") {
		return f, fmt.Errorf("%w: %q: want KEY=REPOSITORY or KEY=REPOSITORY:TAG, such as app=team/app:stable", ErrKey, text)
	}
	return f, CheckAlias(alias)
}

// Following moves names with what is pushed.
type Following struct {
	publisher *Publisher
	all       []Follow
	keys      map[string]Key
	root      func(ctx context.Context, repository, tag string) (cid.Cid, error)
}

// NewFollowing makes one of which root tells what a tag is now. The error matches
// [ErrNoKey] where there is no such key.
func NewFollowing(p *Publisher, all []Follow, root func(ctx context.Context, repository, tag string) (cid.Cid, error)) (*Following, error) {
	f := &Following{publisher: p, all: all, keys: map[string]Key{}, root: root}
	for _, one := range all {
		k, err := p.store.Key(one.Key)
		if err != nil {
			return nil, err
		}
		f.keys[one.Key] = k
	}
	return f, nil
}

// Pushed is what a tag became by a push.
type Pushed struct {
	Tag string
	// Referrer says that what was pushed refers to an image, such as a signature: it
	// replaces what names mean that is one of Was, and has them mean no other tag.
	Referrer bool
	// Remade says that the tag itself was not pushed.
	Remade bool
	Was    []cid.Cid // what the tag was before
}

// chooses tells whether a name means what was pushed from now on, whatever it means now.
func (p Pushed) chooses(f Follow) bool {
	return !p.Remade && (!p.Referrer || f.Tag == p.Tag)
}

// Moved is a name that was moved.
type Moved struct {
	Name string // base36
	Root cid.Cid
	Tag  string
}

// Moved moves the names that follow what one push made of a repository's tags, each once
// at most, and gives them: to the first of the tags that they follow, those that were
// pushed itself before others. What cannot be moved is told by the error, beside those that were.
func (f *Following) Moved(ctx context.Context, repository string, tags ...Pushed) (moved []Moved, err error) {
	for _, one := range f.all {
		if one.Repository != repository {
			continue
		}
		for _, t := range tags {
			if one.Tag != "" && one.Tag != t.Tag {
				continue
			}
			k := f.keys[one.Key]
			m, failed := f.move(ctx, k, one, t)
			if errors.Is(failed, errElsewhere) {
				continue
			}
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("moving %s (key %s) to %s:%s: %w", k.Name, k.Alias, repository, t.Tag, failed))
			} else {
				moved = append(moved, m)
			}
			break
		}
	}
	return moved, err
}

// errElsewhere is matched by errors about names that mean something else than what is
// replaced.
var errElsewhere = errors.New("the name means something else")

// move moves the name of a key to what a tag is now. Others are asked first, unless they
// just were: another machine may have the key by now, or this store be an older copy. The error matches [errElsewhere] when the name is left as it is.
func (f *Following) move(ctx context.Context, k Key, follow Follow, t Pushed) (moved Moved, err error) {
	l, err := f.publisher.store.load(k.Name)
	if err != nil {
		return moved, err
	}
	m := Move{Replaces: t.Was, OnlyReplaces: !t.chooses(follow)}
	if err := m.checkReplaced(l); err != nil {
		return moved, err
	}
	if l.imported() {
		if err := f.publisher.Ask(ctx, k); err != nil {
			return moved, err
		}
		m.Asked = true
	} else if err := f.publisher.askSoon(ctx, k, l, settle); err != nil {
		return moved, err
	}
	_, err = f.publisher.Publish(ctx, k, m, func(ctx context.Context) (string, error) {
		root, err := f.root(ctx, follow.Repository, t.Tag) // which another push may have moved meanwhile
		moved = Moved{k.Name, root, t.Tag}
		return "/ipfs/" + root.String(), err
	})
	return moved, err
}

// checkReplaced gives an error that matches [errElsewhere] where a name that is kept means
// nothing that a move is to replace.
func (m Move) checkReplaced(l loaded) error {
	if !m.OnlyReplaces {
		return nil
	}
	if l.has() {
		root, _, err := target(l.seen.Name, l.seen.Value)
		if err == nil && slices.ContainsFunc(m.Replaces, root.Equals) {
			return nil
		}
	}
	return errElsewhere
}
