package pushed_test

import (
	"context"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// follower is a name that moves with what is pushed to the repository app.
type follower struct {
	*bench
	moving *names.Following
}

func (b *bench) follow(text string) *follower {
	b.Helper()
	store := names.NewStore(b.TempDir())
	if _, err := store.Create("app"); err != nil {
		b.Fatal(err)
	}
	follow, err := names.ParseFollow(text)
	if err != nil {
		b.Fatal(err)
	}
	r := names.NewResolver(store, names.Options{})
	b.Cleanup(func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	})
	moving, err := names.NewFollowing(names.NewPublisher(store, r, names.PublisherOptions{}), []names.Follow{follow}, func(ctx context.Context, repository, tag string) (cid.Cid, error) {
		n, err := b.Root(ctx, repository, tag)
		return n.Root, err
	})
	if err != nil {
		b.Fatal(err)
	}
	return &follower{bench: b, moving: moving}
}

// push pushes a manifest by tags, and checks to which tag that moves the name, "" for none.
func (f *follower) push(m pushed.Manifest, want string, tags ...string) {
	f.Helper()
	m.Tags = tags
	result, err := f.PutManifest(f.Context(), "app", m)
	if err != nil {
		f.Fatal(err)
	}
	var all []names.Pushed
	for _, root := range result.Roots {
		if root.Remade == slices.Contains(tags, root.Tag) {
			f.Errorf("%s remade: %t", root.Tag, root.Remade)
		}
		all = append(all, names.Pushed{Tag: root.Tag, Referrer: result.Subject != "", Remade: root.Remade, Was: root.Was})
	}
	moved, err := f.moving.Moved(f.Context(), "app", all...)
	if err != nil {
		f.Fatal(err)
	}
	switch {
	case want == "" && len(moved) == 0:
		return
	case want == "" || len(moved) != 1 || moved[0].Tag != want:
		f.Errorf("%q pushed: the name moves to %v, want %q", tags, moved, want)
		return
	}
	if n, err := f.Root(f.Context(), "app", want); err != nil || !n.Root.Equals(moved[0].Root) {
		f.Errorf("it means %s; %s is %v, %v", moved[0].Root, want, n, err)
	}
}

// What refers to an image replaces what a name means, and moves it to no other tag, and
// not back to an older image.
func TestReferrersMoveNoNameElsewhere(t *testing.T) {
	f := newBench(t).follow("app=app")
	image := f.image("app", "layer")
	f.push(image, "v9", "v9")
	f.push(image, "latest", "latest")
	f.push(f.signature("app", "one", image), "latest")
	f.push(f.signature("app", "two", image), "latest")
	f.push(f.signature("app", "two", image), "") // which changes nothing
	f.push(f.signature("app", "tagged", image), "latest", "signed-by-me")
	sig := "sha256-" + image.Descriptor.Digest.Encoded() + ".sig"
	f.push(f.image("app", "a signature of cosign"), "latest", sig)
	f.push(f.image("app", "another"), "b", "b", "a")

	newer := f.image("app", "newer")
	f.push(newer, "next", "next")
	f.push(f.signature("app", "three", image), "")
	f.push(f.image("app", "a later signature of cosign"), "", sig)
	f.push(f.signature("app", "four", newer), "next")
	f.push(f.signature("app", "five", newer), "next", "next-signed")
	f.push(image, "next", "next")
	f.push(f.signature("app", "six", newer), "")
}

// A name that follows a tag moves with what is pushed as that tag, whatever it is.
func TestNameFollowsTag(t *testing.T) {
	f := newBench(t).follow("app=app:stable")
	image := f.image("app", "layer")
	f.push(image, "", "v9")
	f.push(image, "stable", "stable")
	f.push(f.signature("app", "one", image), "stable")
	f.push(f.signature("app", "two", image), "stable", "stable")
	f.push(f.signature("app", "three", image), "")
}
