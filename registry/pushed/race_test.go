package pushed_test

import (
	"context"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/local"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
)

// guarded is a store that finds fault with a root or a record that is taken away while
// somebody may push to app.
type guarded struct {
	*packstore.Store
	t       *testing.T
	removed int
	locking func() // just before the lock of a space is taken; nil for nothing
}

func (g *guarded) check(what string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 20*time.Millisecond)
	defer cancel()
	if unlock, err := g.Store.LockSpace(ctx, "app"); err == nil {
		g.t.Errorf("%s while anybody may push", what)
		_ = unlock()
	}
}

func (g *guarded) LockSpace(ctx context.Context, space string) (func() error, error) {
	if do := g.locking; do != nil {
		g.locking = nil
		do()
	}
	return g.Store.LockSpace(ctx, space)
}

func (g *guarded) Remove(ctx context.Context, c cid.Cid) error {
	g.removed++
	g.check("a root is removed")
	return g.Store.Remove(ctx, c)
}

func (g *guarded) RemoveIf(ctx context.Context, c cid.Cid, may func(ipfs.Root) (bool, error)) (bool, error) {
	g.removed++
	g.check("a root is removed")
	return g.Store.RemoveIf(ctx, c, may)
}

func (g *guarded) Forget(ctx context.Context, keys ...ipfs.Key) error {
	g.check("records are forgotten")
	return g.Store.Forget(ctx, keys...)
}

func (g *guarded) Revise(ctx context.Context, keys []ipfs.Key, fn func(ipfs.Record) (ipfs.Record, bool)) error {
	g.check("records are changed")
	return g.Store.Revise(ctx, keys, fn)
}

// takings are all ways in which an image goes whose tag is another by now.
var takings = map[string]func(b *bench, s ipfs.Recorder, m pushed.Manifest, root cid.Cid) error{
	"the history": func(b *bench, s ipfs.Recorder, _ pushed.Manifest, root cid.Cid) error {
		_, err := pushed.New(s, pushed.Options{}).Retire(b.Context(), root)
		return err
	},
	"the collector": func(b *bench, s ipfs.Recorder, _ pushed.Manifest, root cid.Cid) error {
		_, err := pushed.New(s, pushed.Options{}).Discard(b.Context(), root)
		return err
	},
	"rm": func(b *bench, s ipfs.Recorder, _ pushed.Manifest, root cid.Cid) error {
		return local.Stores{s}.Remove(b.Context(), root)
	},
	"DELETE": func(b *bench, s ipfs.Recorder, m pushed.Manifest, _ cid.Cid) error {
		_, err := pushed.New(s, pushed.Options{}).DeleteManifest(b.Context(), "app", m.Descriptor.Digest)
		return err
	},
}

// superseded pushes an image by a tag that is another then, and that has no history.
func (b *bench) superseded() (m pushed.Manifest, root cid.Cid) {
	b.Helper()
	b.Registry = pushed.New(b.store, pushed.Options{History: -1})
	m = b.image("app", "layer")
	root = b.put("app", "1", m)["1"]
	b.put("app", "1", b.image("app", "another"))
	return m, root
}

// From the moment in which it is found that an image may go until all of it is gone nobody
// pushes it again: who did was answered 201, and had nothing.
func TestTakenInOneGo(t *testing.T) {
	for name, take := range takings {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			m, root := b.superseded()
			s := &guarded{Store: b.store, t: t}
			if err := take(b, s, m, root); err != nil {
				t.Fatal(err)
			}
			if b.keeps(root) || s.removed != 1 {
				t.Errorf("the root is kept: %t; removed %d times", b.keeps(root), s.removed)
			}
		})
	}
}

// Who pushes an image again just before it would be taken away has it.
func TestPushedAgainBeforeItGoes(t *testing.T) {
	for _, name := range []string{"the history", "the collector"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			m, root := b.superseded()
			s := &guarded{Store: b.store, t: t, locking: func() { b.put("app", "1", m) }}
			if err := takings[name](b, s, m, root); err != nil {
				t.Fatal(err)
			}
			desc, err := b.Repository("app").Resolve(t.Context(), ref.Name{Tag: "1"})
			if err != nil || desc.Digest != m.Descriptor.Digest || !b.keeps(root) {
				t.Errorf("app:1 is %s, %v; its root is kept: %t", desc.Digest, err, b.keeps(root))
			}
			if got := b.stays("app", "layer"); got != "good" {
				t.Errorf("its layer stays for %s", got)
			}
		})
	}
}

// A root to which a tag of another repository is set while it goes is looked for there,
// too.
func TestNamedElsewhereBeforeItGoes(t *testing.T) {
	b := newBench(t)
	m, root := b.superseded()
	s := &guarded{Store: b.store, t: t, locking: func() { b.name(root, pushed.ByTag, "prod/app:1", m.Descriptor, "app:1") }}
	if err := takings["rm"](b, s, m, root); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Repository("prod/app").Resolve(t.Context(), ref.Name{Tag: "1"}); err == nil || b.keeps(root) {
		t.Errorf("prod/app:1: %v; its root is kept: %t", err, b.keeps(root))
	}
}

// A name that a root has had before is set again while the root goes: then it is published.
func TestNamedAgainWhileItGoes(t *testing.T) {
	b := newBench(t)
	m, root := b.superseded()
	s := &late{b.store, func() {
		if err := b.store.Remove(t.Context(), root); err != nil {
			t.Error(err)
		}
	}}
	_, err := pushed.New(s, pushed.Options{}).SetNames(t.Context(), root, pushed.ByTag, pushed.Name{Repository: "app", Tag: "1", Image: m.Descriptor, Named: "app:1"})
	if err != nil || !b.keeps(root) {
		t.Errorf("the root of app:1 is kept: %t, %v", b.keeps(root), err)
	}
}
