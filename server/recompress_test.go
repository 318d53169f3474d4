package server

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// A second root is told and pulled, moves no tag, and is no condition of a push.
func TestRecompress(t *testing.T) {
	p := startPush(t, t.TempDir())
	log := &testlog.Log{}
	p.s.log = log.Logger()
	file := filepath.Join(t.TempDir(), "events")
	to, err := OpenEvents(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	p.s.cfg.Events = to
	var failed error
	second := cid.Undef
	p.s.cfg.Recompress = func(ctx context.Context, root cid.Cid, to ipfs.Store) (cid.Cid, error) {
		if failed != nil || second == root {
			return root, failed
		}
		tx, err := to.Begin(ctx)
		if err != nil {
			return root, err
		}
		link, err := ipfs.AddFile(ctx, tx, strings.NewReader("another"))
		if err != nil {
			return root, err
		}
		dir, err := ipfs.AddDirectory(ctx, tx, map[string]ipfs.Link{"file": link})
		if err != nil {
			return root, err
		}
		_, err = tx.Commit(ctx, ipfs.Root{CID: dir.CID})
		return dir.CID, err
	}
	image := p.image("app", []byte("layer"))
	put := p.manifest("app", "1", image).expect(t, http.StatusCreated, "")
	first, again := put.Header.Get("Image2ipfs-Name"), put.Header.Get("Image2ipfs-Recompressed")
	if again == "" || again == first || !strings.Contains(log.String(), "msg=recompressed name=app:1 pull="+again) || events(t, file, 1)[0].Again != again {
		t.Errorf("%v, log: %s", put.Header, log)
	}
	_, root, _ := strings.Cut(again, "/")
	root, _, _ = strings.Cut(root, "/")
	beside, err := ref.ParseRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	p.get("/ipfs/"+beside.String()+"/file").expect(t, http.StatusOK, "")
	if got := p.get("/v2/app/manifests/1").expect(t, http.StatusOK, ""); string(got.body) != string(image) {
		t.Errorf("the tag has moved to %s", got.body)
	}
	path := "/v2/app/manifests/" + digest.FromBytes(image).String() + "?tag=a&tag=b" // both by one request
	both := p.send(http.MethodPut, path, image, "Content-Type: "+ocispec.MediaTypeImageManifest).expect(t, http.StatusCreated, "")
	told := both.Header.Values("Image2ipfs-Recompressed")
	if e := events(t, file, 3)[1:]; len(told) != 2 || e[0].Again != told[0] || e[1].Again != told[1] {
		t.Errorf("two tags: %v, events %+v", both.Header, e)
	}
	failed = errors.New("no layer to be read")
	other := p.manifest("app", "2", image).expect(t, http.StatusCreated, "")
	if other.Header.Get("Image2ipfs-Recompressed") != "" || !strings.Contains(log.String(), "was not recompressed") || events(t, file, 4)[3].Again != "" {
		t.Errorf("after a failure: %v, log: %s", other.Header, log)
	}
}

// Who runs the server is told once what pushes of images built here cost, and what not.
func TestAdvice(t *testing.T) {
	p := startPush(t, t.TempDir())
	log := &testlog.Log{}
	p.s.log = log.Logger()
	advice := func() int { return strings.Count(log.String(), "shares less than 10 %") }
	for i, want := range []int{0, 1, 1} {
		p.manifest("app", "1", p.image("app", big(2<<20+i*100))).expect(t, http.StatusCreated, "")
		if got := advice(); got != want {
			t.Errorf("push %d: told %d times, want %d", i, got, want)
		}
	}
}
