package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// twoImages publishes two images in one store.
func twoImages(t *testing.T) (blocks *testlayout.Blocks, mine, other imageAt) {
	t.Helper()
	blocks = testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	image := l.Image("amd64", []byte("mine"))
	mine = imageAt{l.Publish(image), image.Digest.String()}
	l = testlayout.New(t, blocks)
	image = l.Image("amd64", []byte("other"))
	other = imageAt{l.Publish(image), image.Digest.String()}
	return blocks, mine, other
}

type imageAt struct {
	root     cid.Cid
	manifest string
}

// paths are all the ways to something of an image.
func (p imageAt) paths() []string {
	n := name(p.root)
	return []string{
		n + "/app/manifests/latest", n + "/app/manifests/" + p.manifest, n + "/manifests/latest", n + "/app/blobs/" + p.manifest,
		n + "/app/tags/list", n + "/app/referrers/" + p.manifest, "/v2/app/manifests/latest?ns=" + n[len("/v2/"):],
		"/ipfs/" + p.root.String(), "/ipfs/" + p.root.String() + "/index.json", "/ipfs/" + p.root.String() + "?format=raw", "/ipfs/" + p.root.String() + "?format=car",
		"/ipfs/" + cid.NewCidV0(p.root.Hash()).String() + "/index.json",
	}
}

// An open port must be no way to what its owner did not mean to give, by any
// path or spelling, whatever the store or a gateway has.
func TestAllowLimitsEveryPath(t *testing.T) {
	blocks, mine, other := twoImages(t)
	foreign := testlayout.NewBlocks()
	blocks.CopyTo(foreign)
	for name, cfg := range map[string]Config{
		"own store": {Local: blocks},
		"gateway":   {Gateways: []Gateway{newGateway("http://gateway.test", foreign, well)}, Open: true},
		"open":      {Local: testlayout.NewBlocks(), Remote: []ipfs.Getter{foreign}, Open: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Allow = Only(mine.root)
			s := start(t, cfg)
			for _, path := range other.paths() {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					r := s.do(method, path)
					if r.StatusCode != http.StatusForbidden {
						t.Errorf("%s %s: %d", method, path, r.StatusCode)
					}
				}
			}
			s.get("/v2/"+other.paths()[0][len("/v2/"):]).expect(t, http.StatusForbidden, codeDenied, "not among the images")
			for _, path := range mine.paths() {
				if r := s.get(path); r.StatusCode == http.StatusForbidden {
					t.Errorf("%s: %s", path, r.body)
				}
			}
			s.get(mine.paths()[0]).expect(t, http.StatusOK, "")
			s.get("/v2/library/nginx/manifests/1").expect(t, http.StatusNotFound, codeNameUnknown)
		})
	}
}

// What a server refuses must cost no look-up anywhere.
func TestAllowRefusesBeforeLookingUp(t *testing.T) {
	blocks, mine, other := twoImages(t)
	gw := newGateway("http://gateway.test", blocks, well)
	s := start(t, Config{Local: testlayout.NewBlocks(), Gateways: []Gateway{gw}, Open: true, Allow: Only(mine.root)})
	for _, path := range other.paths() {
		s.get(path)
	}
	if n := gw.asked.Load() + gw.read.Load(); n != 0 {
		t.Errorf("the gateway was asked %d times", n)
	}
}

// With --pinned an image is there as soon as it is published.
func TestPinnedFollowsTheStore(t *testing.T) {
	blocks, mine, other := twoImages(t)
	var all atomic.Pointer[[]cid.Cid]
	var looks atomic.Int32
	all.Store(&[]cid.Cid{})
	allow := Pinned(func(context.Context) ([]cid.Cid, error) { looks.Add(1); return *all.Load(), nil }, Options{})
	s := start(t, Config{Local: blocks, Allow: allow})
	s.get(mine.paths()[0]).expect(t, http.StatusForbidden, codeDenied)
	all.Store(&[]cid.Cid{mine.root})
	s.get(mine.paths()[0]).expect(t, http.StatusOK, "")
	s.get(other.paths()[0]).expect(t, http.StatusForbidden, codeDenied)
	before := looks.Load()
	for range 100 {
		s.get(mine.paths()[0]).expect(t, http.StatusOK, "")
	}
	if n := looks.Load() - before; n > 1 {
		t.Errorf("100 requests looked at the store %d times", n)
	}
}

// Many who ask for what is not there must not read the store once each.
func TestPinnedIsCheapForStrangers(t *testing.T) {
	_, mine, _ := twoImages(t)
	var looks atomic.Int32
	allow := Pinned(func(context.Context) ([]cid.Cid, error) { looks.Add(1); return nil, nil }, Options{})
	done := make(chan error)
	for range 200 {
		go func() {
			ok, err := allow.Allowed(context.Background(), mine.root)
			if ok {
				err = errors.New("allowed")
			}
			done <- err
		}()
	}
	for range 200 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := looks.Load(); n > 5 {
		t.Errorf("the store was read %d times", n)
	}
}

// A store that cannot be read is a failure that goes away, and no permission.
func TestPinnedFailure(t *testing.T) {
	blocks, mine, _ := twoImages(t)
	var failure atomic.Bool
	failure.Store(true)
	allow := AnyOf(Only(), Pinned(func(context.Context) ([]cid.Cid, error) {
		if failure.Load() {
			return nil, fmt.Errorf("%w: disk", ipfs.ErrCorrupt)
		}
		return []cid.Cid{mine.root}, fmt.Errorf("%w: one record", ipfs.ErrCorrupt)
	}, Options{}))
	s := start(t, Config{Local: blocks, Allow: allow})
	s.get(mine.paths()[0]).expect(t, http.StatusServiceUnavailable, codeUnavailable, "disk")
	failure.Store(false)
	s.get(mine.paths()[0]).expect(t, http.StatusOK, "")
}
