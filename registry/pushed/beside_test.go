package pushed_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// result pushes a manifest as tag 1 and gives all that came of it.
func (b *bench) result(repository string, m pushed.Manifest) pushed.Result {
	b.Helper()
	m.Tags = []string{"1"}
	result, err := b.PutManifest(b.Context(), repository, m)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// What stands beside a pushed root stays as long as that, and is nobody's name.
func TestBeside(t *testing.T) {
	b := newBench(t)
	root := b.result("app", b.image("app", "layer")).Roots[0].CID
	put := func(text string) ipfs.Link {
		t.Helper()
		s := b.Beside("app", root)
		tx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		file, err := ipfs.AddFile(t.Context(), tx, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context(), ipfs.Root{CID: file.CID}); err != nil {
			t.Fatal(err)
		}
		return file
	}
	other := put("something else")
	if got, err := b.FindBeside(t.Context(), root); err != nil || got != other.CID {
		t.Errorf("found %s, %v", got, err)
	}
	if _, err := b.store.GC(t.Context(), packstore.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Get(t.Context(), other.CID); err != nil {
		t.Errorf("after gc: %v", err)
	}
	if kept, err := b.store.Roots(t.Context()); err != nil || len(kept) != 1 {
		t.Errorf("published: %v, %v", kept, err)
	}
	if all, err := b.AllBeside(t.Context()); err != nil || len(all) != 1 || all[0] != other.CID {
		t.Errorf("all: %v, %v", all, err)
	}
	tx, err := b.Beside("app", root).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context(), ipfs.Root{CID: root}); err != nil {
		t.Error(err)
	}
	if got, err := b.FindBeside(t.Context(), root); err != nil || got != other.CID {
		t.Errorf("after the same root: %s, %v", got, err)
	}
	if err := b.Remove(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if _, err := b.FindBeside(t.Context(), root); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("after rm: %v", err)
	}
}

// Who pushes is told what it has stored: each blob once, and which shared nothing.
func TestNews(t *testing.T) {
	b := newBench(t)
	large := func(text string) string { return strings.Repeat(text, 2<<20/len(text)) + text }
	first := b.result("app", b.image("app", large("one, "), "small"))
	if first.NewBytes < 2<<20 || first.Size < 2<<20 || len(first.Unshared) > 0 {
		t.Errorf("first: %d of %d, %v", first.NewBytes, first.Size, first.Unshared)
	}
	second := b.result("app", b.image("app", large("another, "), "small"))
	if second.NewBytes < 2<<20 || second.NewBytes > second.Size+10_000 || len(second.Unshared) != 1 || second.Unshared[0].Size < 2<<20 {
		t.Errorf("second: %d of %d, %v", second.NewBytes, second.Size, second.Unshared)
	}
	third := b.result("app", b.image("app", large("one, "), "small"))
	if third.NewBytes > 10_000 || len(third.Unshared) > 0 {
		t.Errorf("third: %d, %v", third.NewBytes, third.Unshared)
	}
}
