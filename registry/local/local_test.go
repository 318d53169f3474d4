package local_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// memory is a store of roots that were published elsewhere.
type memory struct {
	*testlayout.Blocks
	name   string
	roots  []ipfs.Root
	err    error // of Roots
	closed error
}

func (m *memory) String() string                             { return m.name }
func (m *memory) Begin(context.Context) (ipfs.Tx, error)     { return nil, errors.ErrUnsupported }
func (m *memory) Close() error                               { return m.closed }
func (m *memory) Roots(context.Context) ([]ipfs.Root, error) { return m.roots, m.err }

func (m *memory) Remove(_ context.Context, c cid.Cid) error {
	for i, r := range m.roots {
		if r.CID.Equals(c) {
			m.roots = append(m.roots[:i:i], m.roots[i+1:]...)
			return nil
		}
	}
	return fmt.Errorf("%w: %s", ipfs.ErrNotFound, c)
}

func newMemory(name string) *memory { return &memory{Blocks: testlayout.NewBlocks(), name: name} }

// publish gives m a root with a layer, and its digest.
func (m *memory) publish(t *testing.T, day int, layer string, names ...string) (cid.Cid, digest.Digest) {
	t.Helper()
	l := testlayout.New(t, m)
	image := l.Image("amd64", []byte(layer))
	root := l.Publish(image)
	m.roots = append(m.roots, ipfs.Root{CID: root, Names: names, Published: time.Date(2024, 1, day, 0, 0, 0, 0, time.UTC), Size: 100})
	return root, digest.FromString(layer)
}

// A name that people type means the newest image of that name, in whichever store
// it is; where a mistake would be costly, it must mean one alone.
func TestFind(t *testing.T) {
	own, other := newMemory("own"), newMemory("other")
	newest, _ := own.publish(t, 3, "three", "app:1", "tool:2")
	oldest, _ := other.publish(t, 1, "one", "app:1")
	single, _ := other.publish(t, 2, "two", "lone:1")
	all := local.Stores{own, other}
	for arg, want := range map[string]cid.Cid{
		"app:1": newest, "app": newest, "localhost:5000/app:1": newest, "tool": newest, "lone": single,
		ref.Ciq(oldest): oldest, ref.Ciq(oldest) + "/app:1": oldest,
	} {
		got, err := all.Find(t.Context(), arg)
		if err != nil || !got.Root.Equals(want) {
			t.Errorf("%s: %s, %v, want %s", arg, got, err, want)
		}
	}
	if _, err := all.Find(t.Context(), "app:9"); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("app:9: %v, want ErrNotFound", err)
	}
	found, err := all.FindAll(t.Context(), "app:1")
	if _, err := local.One("app:1", found, err); !errors.Is(err, local.ErrAmbiguous) {
		t.Errorf("app:1, of which there are two: %v, want ErrAmbiguous", err)
	}
	found, err = all.FindAll(t.Context(), "lone:1")
	if got, err := local.One("lone:1", found, err); err != nil || !got.Name.Root.Equals(single) || got.Size != 100 {
		t.Errorf("lone:1: %v, %v", got, err)
	}
}

// What two stores have is one image, of the later date, with the names of both.
func TestFindAllOfTwoStores(t *testing.T) {
	own, other := newMemory("own"), newMemory("other")
	oldest, _ := own.publish(t, 1, "one", "app:1")
	newest, _ := own.publish(t, 4, "four", "app:1")
	again, _ := other.publish(t, 6, "one", "lone:1") // the same root under another name
	all := local.Stores{own, other}
	if !again.Equals(oldest) {
		t.Fatalf("%s and %s", again, oldest)
	}
	found, err := all.FindAll(t.Context(), "app")
	if err != nil || len(found) != 2 || !found[0].CID.Equals(newest) || !found[1].CID.Equals(oldest) || found[1].Published.Day() != 6 || len(found[1].Names) != 2 {
		t.Fatalf("app: %v, %v", found, err)
	}
}

// A store with a damaged record, or one that does not answer, must not hide what
// is whole, nor pass for an empty one.
func TestFaultyStores(t *testing.T) {
	own, other := newMemory("own"), newMemory("other")
	root, _ := other.publish(t, 1, "one", "app:1")
	all := local.Stores{own, other}
	own.err = fmt.Errorf("%w: a record", ipfs.ErrCorrupt)
	if got, err := all.Find(t.Context(), "app"); err != nil || !got.Root.Equals(root) {
		t.Errorf("beside a damaged record: %s, %v", got, err)
	}
	if _, err := all.Find(t.Context(), "tool"); !errors.Is(err, ipfs.ErrCorrupt) {
		t.Errorf("what the damaged record may be of: %v, want ErrCorrupt", err)
	}
	if roots, size, err := all.Total(t.Context()); err != nil || roots != 1 || size != 100 {
		t.Errorf("%d roots, %d bytes, %v", roots, size, err)
	}
	own.err = fmt.Errorf("%w: down", ipfs.ErrUnavailable)
	if _, err := all.Find(t.Context(), "app"); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("beside a store that is down: %v, want ErrUnavailable", err)
	}
	if _, _, err := all.Total(t.Context()); !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("total beside a store that is down: %v, want ErrUnavailable", err)
	}
	if cids, err := all.CIDs(t.Context()); len(cids) != 1 || !errors.Is(err, ipfs.ErrUnavailable) {
		t.Errorf("%d roots, %v; want the one of the store that answers", len(cids), err)
	}
	own.closed, other.closed = errors.New("first"), errors.New("second")
	if err := all.Close(); !errors.Is(err, own.closed) || !errors.Is(err, other.closed) {
		t.Errorf("closing: %v, want both errors", err)
	}
}

// What is removed is gone from every store, and what nobody keeps is an error.
func TestRemove(t *testing.T) {
	own, other := newMemory("own"), newMemory("other")
	root, _ := own.publish(t, 1, "one", "app:1")
	if again, _ := other.publish(t, 2, "one", "app:1"); !again.Equals(root) {
		t.Fatalf("%s and %s", root, again)
	}
	all := local.Stores{own, other}
	if err := all.Remove(t.Context(), root); err != nil || len(own.roots)+len(other.roots) != 0 {
		t.Errorf("%v; %d and %d roots are left", err, len(own.roots), len(other.roots))
	}
	if err := all.Remove(t.Context(), root); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("removed again: %v, want ErrNotFound", err)
	}
}

// People see which layers cost nothing because another image has them.
func TestSharing(t *testing.T) {
	own := newMemory("own")
	root, layer := own.publish(t, 1, "the same", "app:1")
	l, err := local.Stores{own}.Layout(t.Context(), ref.Name{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := local.Stores{own}.Sharing(t.Context(), l.Files(), []digest.Digest{layer})
	if err != nil || alone[layer].SharedBlocks != 0 || alone[layer].Blocks != 1 || alone[layer].Bytes != 8 {
		t.Errorf("alone: %+v, %v", alone[layer], err)
	}
	two := testlayout.New(t, own)
	other := two.Publish(two.Image("arm64", []byte("the same"), []byte("another")))
	own.roots = append(own.roots, ipfs.Root{CID: other})
	both, err := local.Stores{own}.Sharing(t.Context(), l.Files(), []digest.Digest{layer, layer})
	if err != nil || both[layer].SharedBlocks != 1 || both[layer].SharedBytes != 8 {
		t.Errorf("beside another image: %+v, %v", both[layer], err)
	}
}

// Who removes a root is told which images go with it; a name that means nothing in
// it is refused before anything goes, and a broken layout can be removed.
func TestDoomed(t *testing.T) {
	m := newMemory("own")
	l := testlayout.New(t, m)
	root := l.Publish(oci.Named(l.Image("amd64", []byte("one")), "app:1"), oci.Named(l.Image("amd64", []byte("two")), "db:1"))
	stores := local.Stores{m}
	if names, err := stores.Doomed(t.Context(), ref.Name{Root: root}); err != nil || len(names) != 2 || names[0] != "app:1" || names[1] != "db:1" {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := stores.Doomed(t.Context(), ref.Name{Root: root, Repository: "web", Tag: "1"}); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a name of another image: %v, want ErrNotFound", err)
	}
	gone := testlayout.New(t, testlayout.NewBlocks()).Publish()
	if names, err := stores.Doomed(t.Context(), ref.Name{Root: gone}); err != nil || len(names) > 0 {
		t.Errorf("a layout that cannot be read: %q, %v", names, err)
	}
	if _, err := stores.Doomed(t.Context(), ref.Name{Root: gone, Digest: digest.FromString("x")}); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("a digest in it: %v, want ErrNotFound", err)
	}
}
