package local_test

import (
	"errors"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A name that tag takes means afterwards what it was given, in each spelling of it: one
// without a tag is that of :latest, and only what has none there is what came last.
func TestFindWithoutTag(t *testing.T) {
	c := newCollected(t)
	one, two := c.push(t, "1", 1), c.push(t, "2", 2)
	all := local.Stores{c.Store}
	if got, err := all.Find(t.Context(), "app"); err != nil || !got.Root.Equals(two) {
		t.Errorf("app, which has no :latest: %s, %v, want the newest, %s", got, err, two)
	}
	if _, _, err := all.Tag(t.Context(), "app", "app:1"); err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{"app", "app:latest", "localhost:5000/app", "docker.io/library/app"} {
		if got, err := all.Find(t.Context(), arg); err != nil || !got.Root.Equals(one) {
			t.Errorf("%s: %s, %v, want %s, as it was tagged", arg, got, err, one)
		}
	}
	if _, err := all.Untag(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if got, err := all.Find(t.Context(), "app"); err != nil || !got.Root.Equals(two) {
		t.Errorf("app, untagged: %s, %v, want the newest, %s", got, err, two)
	}
}

// A name of nothing in a layout is refused before anything is done by it; of a layout
// that is not here nobody knows, and a root alone always means something.
func TestCheck(t *testing.T) {
	m := newMemory("own")
	l := testlayout.New(t, m)
	root := l.Publish(oci.Named(l.Image("amd64", []byte("one")), "app:1"), oci.Named(l.Image("amd64", []byte("two")), "db:1"))
	gone := testlayout.New(t, testlayout.NewBlocks()).Publish()
	stores := local.Stores{m}
	for _, n := range []ref.Name{{Root: root}, {Root: root, Repository: "app", Tag: "1"}, {Root: gone, Repository: "web"}} {
		if err := stores.Check(t.Context(), n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	for _, n := range []ref.Name{{Root: root, Repository: "web"}, {Root: root, Repository: "app", Tag: "9"}} {
		if err := stores.Check(t.Context(), n); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", n, err)
		}
	}
}

// Who has no store that keeps local names is told so, by a name for the error.
func TestNoNames(t *testing.T) {
	m := newMemory("Kubo") // no [ipfs.Recorder]
	m.publish(t, 1, "one", "app:1")
	all := local.Stores{m}
	_, _, tag := all.Tag(t.Context(), "app:2", "app:1")
	_, untag := all.Untag(t.Context(), "app:1")
	_, history := all.History(t.Context(), "app")
	for what, err := range map[string]error{"tag": tag, "untag": untag, "history": history} {
		if !errors.Is(err, local.ErrNoNames) {
			t.Errorf("%s: %v, want ErrNoNames", what, err)
		}
	}
}
