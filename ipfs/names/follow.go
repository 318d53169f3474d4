package names

import (
	"context"
	"errors"
	"fmt"
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

// Moved moves the names that follow a tag which was just pushed, and gives them. What
// cannot be moved is told by the error, beside those that were.
func (f *Following) Moved(ctx context.Context, repository, tag string) (moved []string, err error) {
	for _, one := range f.all {
		if one.Repository != repository || one.Tag != "" && one.Tag != tag {
			continue
		}
		k := f.keys[one.Key]
		r, failed := f.move(ctx, k, func(ctx context.Context) (string, error) {
			c, err := f.root(ctx, repository, tag) // which another push may have moved meanwhile
			return "/ipfs/" + c.String(), err
		})
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("moving %s (key %s) to %s:%s: %w", k.Name, k.Alias, repository, tag, failed))
			continue
		}
		moved = append(moved, r.Name)
	}
	return moved, err
}

// move moves the name of a key. Others are asked first while it is an imported one.
func (f *Following) move(ctx context.Context, k Key, value func(context.Context) (string, error)) (r Record, err error) {
	l, err := f.publisher.store.load(k.Name)
	if err != nil {
		return r, err
	}
	var m Move
	if l.imported() {
		if err := f.publisher.Ask(ctx, k); err != nil {
			return r, err
		}
		m.Asked = true
	}
	return f.publisher.Publish(ctx, k, m, value)
}
