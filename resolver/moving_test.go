package resolver

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

const movingName = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"

// movable are names whose meaning a test changes.
type movable struct {
	m   ipfs.Meaning
	err error
}

func (n *movable) Find(_ context.Context, moving string) (ipfs.Meaning, error) {
	if moving != movingName && moving != "example.com" {
		return ipfs.Meaning{}, fmt.Errorf("%w: %s", ipfs.ErrNotFound, moving)
	}
	return n.m, n.err
}

func (n *movable) Listed(domain string) bool { return domain == "example.com" }

// A pull by a name that moves gets what it means, goes on when it moves meanwhile, and
// finds no other image by a tag that the new one does not have.
func TestMovingNames(t *testing.T) {
	old, young := publish(t, 1), publish(t, 2)
	both := testlayout.NewBlocks()
	old.blocks.CopyTo(both)
	young.blocks.CopyTo(both)
	names := &movable{m: ipfs.Meaning{Root: old.root}}
	r := newResolver(t, WithStore(both), WithNames(names))
	for _, name := range []string{movingName + "/team/app:1", "host:5000/" + movingName + "/team/app:1", "/ipns/" + movingName + "/team/app:1", "example.com/team/app:1"} {
		got, desc, err := r.Resolve(t.Context(), name)
		if err != nil || desc.Digest != old.index.Digest {
			t.Fatalf("%s: %s, %+v, %v", name, got, desc, err)
		}
		if name == "/ipns/"+movingName+"/team/app:1" && got != movingName+"/team/app:1" {
			t.Errorf("containerd is told the name %s", got)
		}
	}
	f, err := r.Fetcher(t.Context(), movingName+"/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	names.m = ipfs.Meaning{Root: young.root, Before: []cid.Cid{old.root}}
	moved, err := r.Fetcher(t.Context(), movingName+"/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Fetcher{f.(*Fetcher), moved.(*Fetcher)} {
		if data, err := fetch(t.Context(), f, old.large); err != nil || len(data) != int(old.large.Size) {
			t.Errorf("a layer of what it meant before: %d bytes, %v", len(data), err)
		}
	}
	if _, _, err := r.Resolve(t.Context(), movingName+"/team/app:2"); !errdefs.IsNotFound(err) {
		t.Errorf("a tag that is not there: %v", err)
	}
	if _, _, err := newResolver(t, WithStore(both)).Resolve(t.Context(), movingName+"/team/app:1"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("without names: %v", err)
	}
	names.err = fmt.Errorf("expired: %w", ipfs.ErrUnavailable)
	if _, _, err := r.Resolve(t.Context(), movingName+"/team/app:1"); !errdefs.IsUnavailable(err) || !errors.Is(err, names.err) {
		t.Errorf("expired: %v", err)
	}
}
