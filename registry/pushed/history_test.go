package pushed_test

import (
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// retired pushes by a tag as the server does.
func (b *bench) retired(tag string, m pushed.Manifest) (root cid.Cid, gone []cid.Cid) {
	b.Helper()
	m.Tags = []string{tag}
	r, err := b.PutManifest(b.Context(), "app", m)
	if err == nil {
		gone, err = b.Retire(b.Context(), r.Fallen...)
	}
	if err != nil {
		b.Fatal(err)
	}
	return r.Roots[0].CID, gone
}

func (b *bench) keeps(root cid.Cid) bool {
	b.Helper()
	return b.store.Keeps(b.Context(), root)
}

// A tag that is pushed every night must not fill the disk, and a CID that was handed on
// must last for as long as it was promised: for the last images, with all that was
// signed, for what somebody else's tag still is, and for what was published.
func TestHistory(t *testing.T) {
	b := newBench(t)
	b.Registry = pushed.New(b.store, pushed.Options{History: 2})
	published, images := b.published(map[string]string{"app:1": "published"})
	b.name(published, pushed.ByPublish, "app:1", images["app:1"], "app:1")
	var roots []cid.Cid
	var gone []cid.Cid
	push := func(i int) {
		m := b.image("app", fmt.Sprint("layer ", i))
		root, went := b.retired("1", m)
		gone = append(gone, went...)
		roots = append(roots, root)
		for root := range b.put("app", "", b.signature("app", fmt.Sprint("of ", i), m)) {
			_ = root
		}
	}
	for i := range 2 {
		push(i)
	}
	b.name(roots[0], pushed.ByTag, "prod/app:1", b.image("app", "layer 0").Descriptor, "app:1")
	for i := 2; i < 6; i++ {
		push(i)
	}
	for i, want := range []bool{true, false, false, true, true, true} {
		if got := b.keeps(roots[i]); got != want {
			t.Errorf("the root of push %d is kept: %t, want %t", i, got, want)
		}
	}
	if !b.keeps(published) {
		t.Error("what was published is gone")
	}
	if len(gone) != 5 { // of pushes 0 to 2 with and without the signature, but for the one that prod has
		t.Errorf("%d roots are gone: %v", len(gone), gone)
	}
	history, err := b.History(t.Context(), "app", "1")
	if err != nil || len(history) != 6 || !history[0].Current {
		t.Errorf("history %+v, %v", history, err)
	}
	b.gc()
	for i, want := range []string{"good", "a day", "a day", "good", "good", "good"} { // the first belongs to a root that is published as app:1 still
		if got := b.stays("app", fmt.Sprint("layer ", i)); got != want {
			t.Errorf("the layer of push %d stays for %s, want %s", i, got, want)
		}
	}
	if _, err := b.Repository("prod/app").Blob(t.Context(), digest.FromString("layer 0")); err != nil {
		t.Errorf("the layer that prod/app has: %v", err)
	}
}

// Without a history what a tag was goes at once.
func TestNoHistory(t *testing.T) {
	b := newBench(t)
	b.Registry = pushed.New(b.store, pushed.Options{History: -1})
	first, _ := b.retired("1", b.image("app", "one"))
	second, gone := b.retired("1", b.image("app", "two"))
	if len(gone) != 1 || b.keeps(first) || !b.keeps(second) {
		t.Errorf("gone are %v", gone)
	}
}

// Who was told a CID when an image was pushed pulls it for as long as the image is in the
// history, however often it is signed; of what came between some goes.
func TestFirstRootStays(t *testing.T) {
	b := newBench(t)
	b.Registry = pushed.New(b.store, pushed.Options{History: 1})
	image := b.image("app", "layer")
	first, _ := b.retired("1", image)
	var roots []cid.Cid
	for i := range 20 {
		r, err := b.PutManifest(t.Context(), "app", b.signature("app", fmt.Sprint("signature ", i), image))
		if err == nil {
			_, err = b.Retire(t.Context(), r.Fallen...)
		}
		if err != nil {
			t.Fatal(err)
		}
		if roots = append(roots, r.Roots[0].CID); !b.keeps(first) {
			t.Fatalf("after %d signatures the first root is gone", i+1)
		}
	}
	for i, c := range roots {
		if got, want := b.keeps(c), i >= len(roots)-16; got != want {
			t.Errorf("the root of signature %d is kept: %t, want %t", i, got, want)
		}
	}
	b.retired("1", b.image("app", "another"))
	if !b.keeps(first) {
		t.Error("the first root of the image in the history is gone")
	}
	b.retired("1", b.image("app", "one more"))
	if b.keeps(first) {
		t.Error("the first root of what fell out of the history is kept")
	}
}

// What a name that moves means stays until it means something else, and then it goes with
// the history as ever.
func TestMeantStays(t *testing.T) {
	b := newBench(t)
	meant := map[string]string{}
	b.Registry = pushed.New(b.store, pushed.Options{History: -1, Meant: func() (map[string]string, error) { return meant, nil }})
	image := b.image("app", "one")
	first, _ := b.retired("1", image)
	meant[first.KeyString()] = "k51"
	b.retired("1", b.image("app", "two"))
	if _, err := b.DeleteManifest(t.Context(), "app", image.Descriptor.Digest); err != nil || !b.keeps(first) {
		t.Errorf("after a push and DELETE it is kept: %t, %v", b.keeps(first), err)
	}
	second := b.root("app", "1")
	meant[second.KeyString()] = "k52"
	b.retired("1", b.image("app", "three"))
	if gone, err := b.Retire(t.Context(), second); err != nil || len(gone) > 0 || !b.keeps(second) {
		t.Errorf("what is meant: gone %v, %v", gone, err)
	}
	clear(meant)
	if _, gone := b.retired("1", b.image("app", "four")); len(gone) != 2 || b.keeps(second) {
		t.Errorf("when the name means it no more, gone are %v", gone)
	}
}
