package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Who works on the machine sees what is published there; who comes from elsewhere
// learns no CID, unless the operator wants it.
func TestCatalog(t *testing.T) {
	blocks, mine, other := twoImages(t)
	kept := func(context.Context) ([]ipfs.Root, error) {
		return []ipfs.Root{{CID: mine.root, Names: []string{"app:1", "team/app:1", "app:latest", "image@sha256:abc"}}, {CID: other.root}}, nil
	}
	list := func(r *http.Response, status int) (said struct{ Repositories []string }) {
		t.Helper()
		if r.StatusCode != status {
			t.Fatalf("status %d, want %d", r.StatusCode, status)
		}
		if status == http.StatusOK {
			if err := json.NewDecoder(r.Body).Decode(&said); err != nil {
				t.Fatal(err)
			}
		}
		return said
	}
	m := ref.Ciq(mine.root)
	want := []string{m + "/app", m + "/image", m + "/team/app", ref.Ciq(other.root)}
	slices.Sort(want)

	s := start(t, Config{Local: blocks, Kept: kept})
	ask := func(s *site, remote, path string, headers ...string) *http.Response {
		return s.asked(remote, http.MethodGet, path, false, append([]string{"Host: localhost:5000"}, headers...)...)
	}
	if got := list(ask(s, onThisMachine, "/v2/_catalog"), http.StatusOK).Repositories; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := ask(s, onThisMachine, "/v2/_catalog").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("what is not for everybody may be kept: Cache-Control %q", got)
	}
	list(ask(s, elsewhere, "/v2/_catalog"), http.StatusForbidden)
	list(ask(s, onThisMachine, "/v2/_catalog", "X-Forwarded-For: 192.0.2.7"), http.StatusForbidden)
	list(ask(s, onThisMachine, "/v2/_catalog", "Host: evil.example"), http.StatusForbidden)
	list(ask(start(t, Config{Local: blocks, Kept: kept, Catalog: true}), elsewhere, "/v2/_catalog"), http.StatusOK)

	page := ask(s, onThisMachine, "/v2/_catalog?n=3")
	if got := list(page, http.StatusOK).Repositories; !slices.Equal(got, want[:3]) || page.Header.Get("Link") == "" {
		t.Errorf("a page: %q, %v", got, page.Header)
	}
	if got := list(ask(s, onThisMachine, "/v2/_catalog?last="+want[2]), http.StatusOK).Repositories; !slices.Equal(got, want[3:]) {
		t.Errorf("the last page: %q", got)
	}
	list(ask(s, onThisMachine, "/v2/_catalog?n=x"), http.StatusBadRequest)

	limited := start(t, Config{Local: blocks, Kept: kept, Allow: Only(other.root)})
	if got := list(ask(limited, onThisMachine, "/v2/_catalog"), http.StatusOK).Repositories; !slices.Equal(got, []string{ref.Ciq(other.root)}) {
		t.Errorf("under a limit: %q", got)
	}
	empty := start(t, Config{Local: blocks})
	if got := list(ask(empty, onThisMachine, "/v2/_catalog"), http.StatusOK).Repositories; got == nil || len(got) > 0 {
		t.Errorf("of nothing: %v", got)
	}
}
