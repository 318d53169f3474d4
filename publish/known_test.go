package publish

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/archive"
	"github.com/image2ipfs/image2ipfs/dockerarchive"
	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/layer"
)

// watched counts what the store.s memory recalls.
type watched struct {
	ipfs.Store
	hits int
}

type watchedTx struct {
	ipfs.Tx
	ipfs.Memory
	w *watched
}

func (w *watched) Begin(ctx context.Context) (ipfs.Tx, error) {
	tx, err := w.Store.Begin(ctx)
	return watchedTx{tx, tx.(ipfs.Memory), w}, err
}

func (t watchedTx) Recall(ctx context.Context, key string) (ipfs.Known, bool) {
	k, ok := t.Memory.Recall(ctx, key)
	if ok {
		t.w.hits++
	}
	return k, ok
}

// forgetful hides the memory.
type forgetful struct{ ipfs.Store }

func (f forgetful) Begin(ctx context.Context) (ipfs.Tx, error) {
	tx, err := f.Store.Begin(ctx)
	return struct{ ipfs.Tx }{tx}, err
}

// What is recognised instead of compressed again must be published under the
// same name, or the name of an image would depend on the store's history.
func TestRecognisedIsTheSame(t *testing.T) {
	for name, f := range map[string]files{"docker20": docker20(), "docker28": docker28(), "layout": layout()} {
		s := newStore(t)
		path := f.write(t)
		want := mustPublish(t, forgetful{newStore(t)}, path)
		first := mustPublish(t, s, path)
		w := &watched{Store: s}
		again := mustPublish(t, w, path)
		if w.hits == 0 {
			t.Errorf("%s: nothing was recognised", name)
		}
		for _, r := range []*Result{first, again} {
			if !r.Root.Equals(want.Root) {
				t.Errorf("%s: root %s with memory, %s without", name, r.Root, want.Root)
			}
		}
		if len(again.Layers) != len(first.Layers) || len(first.Layers) == 0 {
			t.Fatalf("%s: layers %v, then %v", name, first.Layers, again.Layers)
		}
		for i, l := range again.Layers {
			if l.Blocks != first.Layers[i].Blocks || l.NewBlocks != 0 || l.NewBytes != 0 {
				t.Errorf("%s: layer %v, published again %v", name, first.Layers[i], l)
			}
		}
		if l := first.Layers[0]; l.NewBlocks != l.Blocks || l.NewBytes < l.Size {
			t.Errorf("%s: the first layer of an empty store is not new: %v", name, l)
		}
	}
}

// A layer known with one compression is not taken for another.
func TestRecognisesOnlyTheSameCompression(t *testing.T) {
	s := newStore(t)
	path := docker20().write(t)
	mustPublish(t, s, path)
	for _, o := range []layer.Options{{Level: 1}, {Compression: layer.Zstd}, {Compression: layer.None}} {
		a, err := archive.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		w := &watched{Store: s}
		if _, err := Publish(context.Background(), a, w, Options{Compression: o}); err != nil || w.hits != 0 {
			t.Errorf("%v: %d layers recognised, %v", o, w.hits, err)
		}
		a.Close()
	}
}

// A layer that is not what its config says is refused, however well the
// expected one is known.
func TestKnownLayerIsChecked(t *testing.T) {
	s := newStore(t)
	mustPublish(t, s, docker20().write(t))
	_, err := publishPath(t, s, docker20().replace("bb/layer.tar", layerTar(3)).write(t))
	if !errors.Is(err, dockerarchive.ErrInvalid) || !strings.Contains(err.Error(), "expects diff_id") {
		t.Errorf("error %v", err)
	}
	broken := layout()
	for i, e := range broken {
		if bytes.Equal(e.data, layerTar(1)) {
			broken[i].data = layerTar(2)
		}
	}
	mustPublish(t, s, layout().write(t))
	if _, err := publishPath(t, s, broken.write(t)); !errors.Is(err, archive.ErrFormat) {
		t.Errorf("error %v", err)
	}
}

// After its blocks have gone a layer is stored anew.
func TestCollectedLayerIsNotRecognised(t *testing.T) {
	s := newStore(t)
	path := docker20().write(t)
	first := mustPublish(t, s, path)
	if err := s.Remove(context.Background(), first.Root); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(context.Background(), packstore.GCOptions{}); err != nil {
		t.Fatal(err)
	}
	w := &watched{Store: s}
	again := mustPublish(t, w, path)
	if w.hits != 0 || !again.Root.Equals(first.Root) || again.Stats.NewBytes != first.Stats.NewBytes {
		t.Errorf("%d recognised, root %s and %d bytes instead of %s and %d", w.hits, again.Root, again.Stats.NewBytes, first.Root, first.Stats.NewBytes)
	}
}
