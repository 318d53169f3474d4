package packstore_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ipfs/storetest"
)

// What is being read when an image is removed and garbage is collected, by another
// process, is read to its end; who asks afterwards is told at once that it is gone.
func TestHeldThroughGC(t *testing.T) {
	for _, inProcess := range []bool{false, true} {
		path := newPath(t)
		s, other := open(t, path), open(t, path)
		if inProcess {
			other = s
		}
		shared := storetest.Random(2<<20, "shared")
		content := map[string][]byte{"f": storetest.Random(5<<20, "held"), "shared": shared}
		c, _ := storetest.Publish(t, s, content)
		stays, _ := storetest.Publish(t, s, map[string][]byte{"shared": shared})
		f, err := ipfs.Resolve(t.Context(), s, c, "f")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is remembered
			_, release, err := s.Hold(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
		held, release, err := s.Hold(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		late, lateRelease, err := s.Hold(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		remove(t, other, c)
		wantGone(t, s, c)
		if _, err := s.Get(t.Context(), f); err != nil {
			t.Errorf("before gc a block that is no root is gone: %v", err)
		}
		gc(t, other)
		wantGone(t, s, c, f)
		storetest.Check(t, held, c, content)
		release()
		release() // twice does no harm
		var sent bytes.Buffer
		file, err := ipfs.OpenFile(t.Context(), late, f, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteTo(&readerFrom{&sent}); err != nil || !bytes.Equal(sent.Bytes(), content["f"]) {
			t.Errorf("%d bytes were sent: %v", sent.Len(), err)
		}
		file.Close()
		lateRelease()
		storetest.Check(t, s, stays, map[string][]byte{"shared": shared})
		storetest.Publish(t, other, content)
		storetest.Check(t, s, c, content)
	}
}

// readerFrom takes blocks as a connection does.
type readerFrom struct{ *bytes.Buffer }

func wantGone(t *testing.T, s *packstore.Store, cids ...cid.Cid) {
	t.Helper()
	for _, c := range cids {
		if _, err := s.Get(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s is still found (%v)", c, err)
		}
		if s.Has(t.Context(), c) {
			t.Errorf("the store says that it has %s", c)
		}
		if _, _, err := s.Hold(t.Context(), c); !errors.Is(err, ipfs.ErrNotFound) {
			t.Errorf("%s can be held: %v", c, err)
		}
	}
}

// A root that is published again, or was not removed after all, is found.
func TestRemovedAndPublishedAgain(t *testing.T) {
	s := open(t, newPath(t))
	content := map[string][]byte{"f": storetest.Random(1000, "again")}
	c, _ := storetest.Publish(t, s, content)
	remove(t, s, c)
	wantGone(t, s, c)
	storetest.Publish(t, open(t, s.Path()), content)
	storetest.Check(t, s, c, content)
	never, _ := storetest.RawBlock(t, 100, "never")
	if err := s.Remove(t.Context(), never); !errors.Is(err, ipfs.ErrNotFound) {
		t.Errorf("what was never there was removed: %v", err)
	}
}
