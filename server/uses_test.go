package server

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
)

// What is pulled by its digest from where it was pushed is in use, as what is pulled by tag
// is: gc takes away by that what nobody pulls.
func TestPulledByDigest(t *testing.T) {
	p := startPush(t, t.TempDir())
	p.s.cfg.Used, p.s.cfg.UsedHeld = p.store.NoteUse, p.store.NoteHeld
	was, is, loose := p.image("app", []byte("was")), p.image("app", []byte("is")), p.image("app", []byte("loose"))
	path := func(m []byte) string { return "/v2/app/manifests/" + digest.FromBytes(m).String() }
	root := func() cid.Cid {
		name, err := p.s.cfg.Pushed.Root(t.Context(), "app", "1")
		if err != nil {
			t.Fatal(err)
		}
		return name.Root
	}
	p.manifest("app", "1", was).expect(t, http.StatusCreated, "")
	first := root()
	p.manifest("app", "1", is).expect(t, http.StatusCreated, "")
	second := root()
	p.manifest("app", digest.FromBytes(loose).String(), loose).expect(t, http.StatusCreated, "")
	all, err := p.s.cfg.Pushed.Loose(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	p.get(path(was)).expect(t, http.StatusOK, "")
	if p.store.LastUse(first).IsZero() || !p.store.LastUse(second).IsZero() {
		t.Errorf("used are %s and %s", p.store.LastUse(first), p.store.LastUse(second))
	}
	if got := p.get(path(loose)); !bytes.Equal(got.body, loose) || p.store.LastUse(all[0].Hold).IsZero() {
		t.Errorf("what no image has is not noted: %v", got)
	}
	p.get(path(is)).expect(t, http.StatusOK, "")
	if p.store.LastUse(second).IsZero() {
		t.Error("the image of a tag is not noted")
	}
}
