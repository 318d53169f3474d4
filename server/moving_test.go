package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/ref"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

const movingName = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"

// movable are names whose meaning a test changes.
type movable struct {
	mu  sync.Mutex
	m   ipfs.Meaning
	err error
}

func (n *movable) Find(_ context.Context, moving string) (ipfs.Meaning, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if moving != movingName && moving != "example.com" {
		return ipfs.Meaning{}, fmt.Errorf("%w: nobody knows %s", ipfs.ErrNotFound, moving)
	}
	return n.m, n.err
}

func (n *movable) Listed(domain string) bool { return domain == "example.com" }

func (n *movable) set(m ipfs.Meaning, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m, n.err = m, err
}

// What a name means now is served by tag, with its age, and what it meant before by
// digest, so that a pull goes on while it moves.
func TestMovingNames(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	first := oci.Named(l.Image("amd64", []byte("first")), "docker.io/library/app:1")
	one := l.Publish(first)
	l2 := testlayout.New(t, blocks)
	second := oci.Named(l2.Image("amd64", []byte("second")), "docker.io/library/app:1")
	two := l2.Publish(second)
	names := &movable{}
	names.set(ipfs.Meaning{Root: one, Got: time.Now().Add(-90 * time.Second), Record: []byte("record"), Fresh: time.Now()}, nil)
	s := start(t, Config{Local: blocks, Names: names})
	at := "/v2/" + movingName + "/app/"
	r := s.both(at + "manifests/1")
	age, err := strconv.Atoi(r.Header.Get("Age"))
	if err != nil || age < 90 || r.StatusCode != http.StatusOK || r.Header.Get("Docker-Content-Digest") != first.Digest.String() ||
		r.Header.Get("Cache-Control") != "no-cache" || !strings.HasSuffix(r.Header.Get("Image2ipfs-Name"), "/"+ref.Ciq(one)+"/app:1") {
		t.Fatalf("%s %v %s", r.Status, r.Header, r.body)
	}
	for _, path := range []string{"/v2/example.com/app/manifests/1", "/v2/app/manifests/1?ns=example.com", "/v2/app/manifests/1?ns=" + movingName, "/v2/library/" + movingName + "/app/manifests/1"} {
		if r := s.get(path); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", path, r.Status, r.body)
		}
	}
	if r := s.get("/ipns/" + movingName + "?format=ipns-record"); r.StatusCode != http.StatusOK || string(r.body) != "record" || r.Header.Get("Content-Type") != ipfs.TypeRecord {
		t.Errorf("its record: %s %v %q", r.Status, r.Header, r.body)
	}

	names.set(ipfs.Meaning{Root: two, Before: []cid.Cid{one}, Got: time.Now()}, nil)
	if r := s.get(at + "manifests/1"); r.Header.Get("Docker-Content-Digest") != second.Digest.String() {
		t.Errorf("after it moved: %s %v", r.Status, r.Header)
	}
	for _, path := range []string{"manifests/" + first.Digest.String(), "manifests/" + second.Digest.String()} {
		if r := s.both(at + path); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", path, r.Status, r.body)
		}
	}
	if r := s.get(at + "referrers/" + second.Digest.String()); r.StatusCode != http.StatusOK {
		t.Errorf("referrers: %s %s", r.Status, r.body)
	}
	for path, want := range map[string]int{
		at + "manifests/2": 404, "/v2/" + movingName + "/other/manifests/1": 404, "/v2/" + movingName + "/other/tags/list": 404,
		at + "tags/list": 200, at + "manifests/sha256:" + strings.Repeat("0", 64): 404, "/v2/example.org/app/manifests/1": 404,
		"/v2/" + strings.Replace(movingName, "l2r", "l2s", 1) + "/app/manifests/1": 404,
	} {
		if r := s.get(path); r.StatusCode != want {
			t.Errorf("%s: %s, want %d: %s", path, r.Status, want, r.body)
		}
	}
	names.set(ipfs.Meaning{}, fmt.Errorf("%w: expired since yesterday", ipfs.ErrUnavailable))
	if r := s.get(at + "manifests/1"); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(r.body), "since yesterday") {
		t.Errorf("expired: %s %s", r.Status, r.body)
	}
}

// Who limits the roots limits what names lead to.
func TestMovingNameLeadsToForbiddenRoot(t *testing.T) {
	blocks := testlayout.NewBlocks()
	l := testlayout.New(t, blocks)
	root := l.Publish(oci.Named(l.Image("amd64", []byte("layer")), "docker.io/library/app:1"))
	names := &movable{m: ipfs.Meaning{Root: root, Record: []byte("record")}}
	s := start(t, Config{Local: blocks, Names: names, Allow: Only()})
	for _, path := range []string{"/v2/" + movingName + "/app/manifests/1", "/ipns/" + movingName + "?format=ipns-record"} {
		if r := s.get(path); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s %s", path, r.Status, r.body)
		}
	}
}

// denying allows a root, and says of all others what it was told.
type denying struct {
	allowed cid.Cid
	err     error
}

func (d denying) Allowed(_ context.Context, root cid.Cid) (bool, error) {
	if root.Equals(d.allowed) {
		return true, nil
	}
	return false, d.err
}

// A pull of what a name meant before goes on where what it means now is not served, or
// cannot be reached; the older root is served only if it may be.
func TestMovingPullGoesOn(t *testing.T) {
	blocks, older, newest := twoImages(t)
	names := &movable{}
	names.set(ipfs.Meaning{Root: newest.root, Before: []cid.Cid{older.root}, Got: time.Now()}, nil)
	at := "/v2/" + movingName + "/manifests/"
	for want, err := range map[int]error{http.StatusForbidden: nil, http.StatusServiceUnavailable: ipfs.ErrUnavailable} {
		s := start(t, Config{Local: blocks, Names: names, Allow: denying{older.root, err}})
		if r := s.get(at + older.manifest); r.StatusCode != http.StatusOK {
			t.Errorf("the older one: %s %s", r.Status, r.body)
		}
		for _, of := range []string{newest.manifest, "latest"} {
			if r := s.get(at + of); r.StatusCode != want {
				t.Errorf("%s of the newest: %s, want %d: %s", of, r.Status, want, r.body)
			}
		}
		s = start(t, Config{Local: blocks, Names: names, Allow: denying{newest.root, err}})
		if r := s.get(at + older.manifest); r.StatusCode == http.StatusOK {
			t.Errorf("the older one, where it may not be served: %s", r.Status)
		}
	}
}
