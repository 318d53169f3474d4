package legacy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/oldtree"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// failing lacks one block, for a reason.
type failing struct {
	ipfs.Getter
	without cid.Cid
	err     error
}

func (f failing) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Equals(f.without) {
		return nil, f.err
	}
	return f.Getter.Get(ctx, c)
}

// One source lacks a block and another does not answer: the tree may be there,
// and who asked is to come back. A block that nobody has now is no smaller tree.
func TestBlocksOutOfReach(t *testing.T) {
	files := oldtree.Files(t, "0.1.0", "app", oldtree.NewImage(t, "old"))
	files["zoo/manifests/latest"] = files["app/manifests/latest-v2"]
	files["zoo/blobs/x"] = nil
	_, blocks := open(t, files)
	root := oldtree.Add(t, blocks, files)
	for _, at := range []string{"app", "app/manifests", "app/blobs", "zoo"} {
		c := resolve(t, blocks, root, at)
		for _, reason := range []error{errors.Join(ipfs.ErrNotFound, ipfs.ErrUnavailable), ipfs.ErrNotFound} {
			g := failing{blocks, c, reason}
			tree, err := Open(t.Context(), g, root, Size(g))
			if !errors.Is(err, ipfs.ErrNotFound) || errors.Is(err, ipfs.ErrUnavailable) != errors.Is(reason, ipfs.ErrUnavailable) {
				t.Errorf("without %s: opened %v, %v", at, tree != nil, err)
			}
		}
	}
}

// trail keeps the CID that was read last.
type trail struct {
	ipfs.Getter
	last cid.Cid
}

func (g *trail) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	g.last = c
	return g.Getter.Get(ctx, c)
}

// Without a part of the directory of blobs it is not known which blobs there are:
// an uncorrected manifest, or a 404 for a layer, would be wrong.
func TestShardOutOfReach(t *testing.T) {
	image := oldtree.NewImage(t, "old")
	files := oldtree.Files(t, "0.1.0", "app", image)
	config, layer := digest.FromBytes(image.Config), digest.FromBytes(image.Layers[0])
	_, blocks := open(t, files)
	root := oldtree.Add(t, blocks, files)
	entries := map[string]cid.Cid{}
	for d := range files {
		if name := path.Base(d); path.Dir(d) == "app/blobs" {
			entries[name] = resolve(t, blocks, root, d)
		}
	}
	for i := range 6000 { // so many that the directory is sharded
		entries[fmt.Sprintf("sha256:%064x", i)] = entries[layer.String()]
	}
	blobs := testlayout.Dir(t, blocks, entries)
	app := testlayout.Dir(t, blocks, map[string]cid.Cid{"manifests": resolve(t, blocks, root, "app/manifests"), "blobs": blobs})
	root = testlayout.Dir(t, blocks, map[string]cid.Cid{"app": app})
	if tree, err := Open(t.Context(), blocks, root, Size(blocks)); err != nil || !tree.Stored[0].Corrected {
		t.Fatalf("not corrected: %v", err)
	}
	for _, d := range []digest.Digest{config, layer} {
		g := &trail{Getter: blocks}
		resolve(t, g, blobs, d.String())
		away := failing{blocks, g.last, errors.Join(ipfs.ErrNotFound, ipfs.ErrUnavailable)}
		if g.last.Equals(blobs) {
			t.Fatal("the directory has one shard")
		}
		if tree, err := Open(t.Context(), away, root, Size(away)); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s out of reach: opened %v, %v", d, tree != nil, err)
		}
		dir, err := ipfs.OpenDir(t.Context(), away, blobs)
		if err != nil {
			t.Fatal(err)
		}
		tree := &Tree{Root: root, g: away, places: []place{{name: "app", blobs: dir}}}
		if b, err := tree.Locate(t.Context(), d); !errors.Is(err, ipfs.ErrUnavailable) {
			t.Errorf("%s out of reach: %+v, %v", d, b, err)
		}
	}
}

func resolve(t *testing.T, g ipfs.Getter, root cid.Cid, at string) cid.Cid {
	t.Helper()
	c, err := ipfs.Resolve(t.Context(), g, root, at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
