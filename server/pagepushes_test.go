package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/registry/pushed"
	"github.com/image2ipfs/image2ipfs/server/page"
)

// Who looks at the page sees a push when it comes, and does not keep the server from
// ending.
func TestPageTellsOfPushes(t *testing.T) {
	dir := t.TempDir()
	store, err := packstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &pushSite{store: store}
	p.site = start(t, Config{Local: store, Dir: dir, Pushed: pushed.New(store, pushed.Options{}), Kept: store.Roots, Page: &page.Config{}})
	pushes := p.site
	hs := httptest.NewServer(p.s.PushHandler())
	t.Cleanup(hs.Close)
	p.site = &site{t, pushes.s, hs.URL}
	resp, err := client.Get(pushes.url + "/?view=events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("type %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the stream is open, and hears what comes
	p.manifest("team/app", "1", p.image("team/app", []byte("layer"))).expect(t, http.StatusCreated, "")
	var push page.Push
	for lines.Scan() && push.Name == "" {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &push); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept, err := store.Roots(t.Context())
	if err != nil || len(kept) != 1 || push.Name != "team/app:1" || push.Root != ref.Ciq(kept[0].CID) || push.Size == 0 {
		t.Errorf("told of %+v, %v", push, err)
	}
	got := pushes.get("/")
	_, last, _ := strings.Cut(string(got.body), `data-last="`)
	last, _, _ = strings.Cut(last, `"`)
	if !bytes.Contains(got.body, []byte("team/app:1")) || !bytes.Contains(got.body, []byte(">"+push.When+"</time>")) || last == "" {
		t.Errorf("the page does not list the push as the script does, at %q, with its ID %q", push.When, last)
	}
	if head := pushes.do(http.MethodHead, "/?view=events").expect(t, http.StatusOK, ""); head.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %v", head.Header)
	}
	p.s.pushes.End()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	pushes.get("/?view=events").expect(t, http.StatusServiceUnavailable, "")
}
