package names

import (
	"errors"
	"testing"

	"github.com/ipfs/go-cid"
)

// What a name of ours means is kept by its root, and its record goes with its key.
func TestMeant(t *testing.T) {
	s := NewStore(t.TempDir())
	k := created(t, s)
	if _, err := s.LastRecord(k); !errors.Is(err, ErrUnknown) {
		t.Errorf("the record of what was never published: %v, want ErrUnknown", err)
	}
	if meant, err := s.Meant(); err != nil || len(meant) > 0 {
		t.Errorf("before it is published: %v, %v", meant, err)
	}
	root := cid.MustParse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
	if _, err := move(t, publisher(t, s), k, "/ipfs/"+root.String(), Move{}); err != nil {
		t.Fatal(err)
	}
	if meant, err := s.Meant(); err != nil || len(meant) != 1 || meant[root.KeyString()] != k.Name {
		t.Errorf("%v, %v", meant, err)
	}
	raw, err := s.LastRecord(k)
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := verify(k.Name, raw); err != nil || rec.Value != "/ipfs/"+root.String() {
		t.Errorf("the record says %q, %v", rec.Value, err)
	}
}
