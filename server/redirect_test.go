package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/opencontainers/go-digest"

	"github.com/image2ipfs/image2ipfs/ipfs"
	trustless "github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/oci"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
	"github.com/image2ipfs/image2ipfs/test/testlog"
)

// quick are limits for tests that wait for time-outs.
var quick = Limits{
	Open: 10 * time.Second, Fetch: 3 * time.Second, Hedge: 20 * time.Millisecond, Probe: 2 * time.Second,
	Found: time.Hour, Retry: time.Hour, Again: time.Nanosecond,
}

// published is a layout with one image of one layer.
type published struct {
	root  cid.Cid
	data  []byte
	layer digest.Digest
	image digest.Digest
}

func publish(t *testing.T, blocks *testlayout.Blocks, size int) published {
	l := testlayout.New(t, blocks)
	p := published{data: big(size)}
	image := l.Image("amd64", p.data)
	p.layer, p.image = digest.FromBytes(p.data), image.Digest
	p.root = l.Publish(oci.Named(image, "app:1"))
	return p
}

func (p published) blob() string     { return name(p.root) + "/app/blobs/" + p.layer.String() }
func (p published) manifest() string { return name(p.root) + "/app/manifests/1" }

// A gateway that answers takes the load off this server; it is asked once for
// the root and once for the blob.
func TestRedirect(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	gw := newGateway("http://gateway:8080", blocks, well)
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: patient()})
	for range 3 {
		got := s.both(p.blob()).expect(t, http.StatusTemporaryRedirect, "")
		want := "http://gateway:8080/ipfs/" + p.root.String() + "/blobs/sha256/" + p.layer.Encoded()
		if got.Header.Get("Location") != want || got.Header.Get("Docker-Content-Digest") != p.layer.String() {
			t.Errorf("header %v, want Location %s", got.Header, want)
		}
	}
	if n := gw.asked.Load(); n != 2 {
		t.Errorf("the gateway was asked %d times, want 2", n)
	}
	// Manifests are never redirected, blobs that are not there neither.
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	s.both(name(p.root)+"/app/blobs/"+digest.FromString("x").String()).expect(t, http.StatusNotFound, codeBlobUnknown)
	// --no-redirect
	s = start(t, Config{Local: blocks, Gateways: []Gateway{gw}, NoRedirect: true, Limits: quick})
	if got := s.both(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
		t.Error("other bytes")
	}
}

// A gateway that is dead, slow or has nothing must not cost a pull: what is
// local is streamed, and the gateway is not waited for again.
func TestBadGatewayIsPassedBy(t *testing.T) {
	for mood, what := range map[int32]string{dead: "dead", hangs: "hangs", empty: "has nothing"} {
		t.Run(what, func(t *testing.T) {
			blocks := testlayout.NewBlocks()
			p := publish(t, blocks, 2<<20)
			gw := newGateway("http://gateway:8080", blocks, mood)
			s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: quick})
			for range 5 {
				if got := s.get(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
					t.Error("other bytes")
				}
			}
			if n := gw.asked.Load(); n != 1 {
				t.Errorf("the gateway was asked %d times, want 1", n)
			}
			other := publish(t, blocks, 1000)
			s.get(other.blob()).expect(t, http.StatusOK, "")
			if n := gw.asked.Load(); mood == dead && n != 1 {
				t.Errorf("the dead gateway was asked again for another root")
			}
		})
	}
}

// A gateway that has the root of an image and no more must not get the blobs'
// readers: they are here.
func TestGatewayWithNothingButTheRoot(t *testing.T) {
	blocks, top := testlayout.NewBlocks(), testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	data, err := blocks.Get(t.Context(), p.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := top.Put(t.Context(), p.root, data); err != nil {
		t.Fatal(err)
	}
	shallow, whole := newGateway("http://shallow", top, well), newGateway("http://whole", blocks, hangs)
	limits := quick
	limits.Found, limits.Retry = time.Nanosecond, time.Nanosecond // always asked again
	for _, local := range []ipfs.Getter{blocks, own{blocks}} {
		whole.mood.Store(hangs)
		s := start(t, Config{Local: local, Gateways: []Gateway{shallow, whole}, Limits: limits})
		for range 3 {
			if got := s.both(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
				t.Error("other bytes")
			}
		}
		shallow.mood.Store(dead)
		whole.mood.Store(well)
		waitUntil(t, func() bool { return s.get(p.blob()).StatusCode == http.StatusTemporaryRedirect })
		shallow.mood.Store(well)
	}
}

// The password of a gateway is this server's: clients get blocks by way of it,
// and never its URL. Nor does the log.
func TestGatewayWithPassword(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		c, err := cid.Decode(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
		if err != nil {
			t.Error(err)
		}
		data, err := blocks.Get(r.Context(), c)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write(data)
	}))
	defer web.Close()
	g, err := trustless.New(strings.Replace(web.URL, "//", "//me:secret@", 1), trustless.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var log testlog.Log
	open := start(t, Config{Gateways: []Gateway{g}, Open: true, Logger: log.Logger()})
	if got := open.both(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
		t.Error("other bytes")
	}
	closed := start(t, Config{Gateways: []Gateway{g}, Logger: log.Logger()})
	closed.both(p.manifest()).expect(t, http.StatusOK, "")
	closed.both(p.blob()).expect(t, http.StatusForbidden, codeDenied, "--open")
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "not redirected") {
		t.Errorf("log: %s", log.String())
	}
}

// Of several gateways the one that answers is taken; when it dies, the next.
func TestFailOver(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	first, second := newGateway("http://one", blocks, hangs), newGateway("http://two", blocks, well)
	limits := patient()
	limits.Found, limits.Retry = time.Nanosecond, time.Nanosecond // always asked again
	s := start(t, Config{Local: blocks, Gateways: []Gateway{first, second}, Limits: limits})
	host := func() string {
		location, err := s.get(p.blob()).expect(t, http.StatusTemporaryRedirect, "").Location()
		if err != nil {
			t.Fatal(err)
		}
		return location.Host
	}
	if got := host(); got != "two" {
		t.Fatalf("redirected to %s", got)
	}
	first.mood.Store(well)
	for range 5 { // sticky while it answers
		if got := host(); got != "two" {
			t.Fatalf("redirected to %s", got)
		}
	}
	second.mood.Store(dead)
	if got := host(); got != "one" {
		t.Fatalf("after the gateway died: redirected to %s", got)
	}
	first.mood.Store(dead)
	for range 5 {
		s.get(p.blob()).expect(t, http.StatusOK, "") // streamed
	}
	second.mood.Store(well)
	waitUntil(t, func() bool { return s.get(p.blob()).StatusCode == http.StatusTemporaryRedirect })
}

// asking tells whether gateways are being asked for a root or a blob.
func (p *redirects) asking() bool {
	p.probes.mu.Lock()
	defer p.probes.mu.Unlock()
	return len(p.probes.running) > 0
}

func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the condition was not met in time")
		}
	}
}

// With nothing but a gateway the server still works: manifests come from it as
// checked blocks, blobs by redirect; nothing of a blob passes through here.
func TestNothingButAGateway(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 200<<10)
	gw := newGateway("http://gateway", blocks, well)
	s := start(t, Config{Gateways: []Gateway{gw}, Limits: patient()})
	if got := s.both(p.manifest()).expect(t, http.StatusOK, ""); digest.FromBytes(got.body) != p.image {
		t.Error("another manifest")
	}
	read := gw.read.Load()
	s.both(p.blob()).expect(t, http.StatusTemporaryRedirect, "")
	if n := gw.read.Load() - read; n > 1 { // the directory
		t.Errorf("%d blocks read to redirect", n)
	}
	s.get("/ipfs/"+p.root.String()).expect(t, http.StatusNotFound, "")
}

// A gateway that lies is found out, block by block; another one heals it.
func TestLyingGateway(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 3<<20)
	liar, honest := newGateway("http://liar", blocks, lies), newGateway("http://honest", blocks, well)
	s := start(t, Config{Gateways: []Gateway{liar}, Limits: quick})
	s.both(p.manifest()).expect(t, http.StatusInternalServerError, codeUnknown, "http://liar", "integrity")
	s = start(t, Config{Gateways: []Gateway{liar, honest}, Open: true, NoRedirect: true, Limits: quick})
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	if got := s.get(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
		t.Error("other bytes")
	}
}

// Off loopback a server must not fetch for strangers: foreign roots are
// redirected or refused with a hint, and streamed when it is open.
func TestForeignRoots(t *testing.T) {
	blocks, own := testlayout.NewBlocks(), testlayout.NewBlocks()
	p := publish(t, blocks, 40<<20)
	closed := start(t, Config{Local: own, Remote: []ipfs.Getter{blocks}, Limits: quick})
	closed.both(p.manifest()).expect(t, http.StatusOK, "")
	closed.both(p.blob()).expect(t, http.StatusForbidden, codeDenied, "--open")
	open := start(t, Config{Local: own, Remote: []ipfs.Getter{blocks}, Open: true, Limits: quick})
	if got := open.both(p.blob()).expect(t, http.StatusOK, ""); !bytes.Equal(got.body, p.data) {
		t.Error("other bytes")
	}
	got := open.get(p.blob(), "Range: bytes=30000000-30000999").expect(t, http.StatusPartialContent, "")
	if !bytes.Equal(got.body, p.data[30000000:30001000]) {
		t.Error("other bytes in a range")
	}
}

// When no source answers, the client is told soon, which ones, and to try again.
func TestNobodyAnswers(t *testing.T) {
	blocks, own := testlayout.NewBlocks(), testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	for mood, status := range map[int32]int{dead: http.StatusServiceUnavailable, hangs: http.StatusServiceUnavailable, empty: http.StatusNotFound} {
		gw := newGateway("http://the-gateway", blocks, mood)
		s := start(t, Config{Local: own, Gateways: []Gateway{gw}, Limits: quick})
		code := codeUnavailable
		if mood == empty {
			code = codeNameUnknown
		}
		got := s.both(p.manifest()).expect(t, status, code, "http://the-gateway")
		if status == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	gw := newGateway("http://the-gateway", blocks, well)
	s := start(t, Config{Local: own, Gateways: []Gateway{gw}, Limits: quick})
	s.get(p.manifest()).expect(t, http.StatusOK, "")
	waitUntil(t, func() bool {
		_, ok := s.s.redirects.known.Get(question{p.root, 1})
		return ok && !s.s.redirects.asking() // else the next question joins this one
	})
	s.s.redirects.known.Forget(question{p.root, 1})
	gw.mood.Store(empty)
	s.both(p.blob()).expect(t, http.StatusServiceUnavailable, codeUnavailable, "http://the-gateway", "--open")
}

// A gateway that asks for patience gets it, and so do the clients that have to
// wait for it; another that has the image is asked instead.
func TestBusyGateway(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	gw, other := newGateway("http://busy", blocks, busy), newGateway("http://other", blocks, well)
	s := start(t, Config{Gateways: []Gateway{gw}, Limits: quick})
	for range 3 {
		got := s.get(p.manifest()).expect(t, http.StatusServiceUnavailable, codeUnavailable, "http://busy")
		if after, err := strconv.Atoi(got.Header.Get("Retry-After")); err != nil || after < 20 || after > 30 {
			t.Errorf("Retry-After: %q, want about 30", got.Header.Get("Retry-After"))
		}
	}
	if n := gw.read.Load(); n > 1 {
		t.Errorf("it was asked %d times", n)
	}
	s = start(t, Config{Gateways: []Gateway{gw, other}, Limits: patient()})
	s.get(p.manifest()).expect(t, http.StatusOK, "")
	got := s.get(p.blob()).expect(t, http.StatusTemporaryRedirect, "")
	if location := got.Header.Get("Location"); !strings.HasPrefix(location, "http://other/") {
		t.Errorf("sent to %s", location)
	}
}

// What is published while the server runs is served at once, also when it was
// asked for before, and when it was known from elsewhere before.
func TestPublishedWhileRunning(t *testing.T) {
	blocks, own := testlayout.NewBlocks(), testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	s := start(t, Config{Local: own, Limits: quick})
	s.both(p.manifest()).expect(t, http.StatusNotFound, codeNameUnknown)
	blocks.CopyTo(own)
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	s.both(p.blob()).expect(t, http.StatusOK, "")

	own = testlayout.NewBlocks()
	s = start(t, Config{Local: own, Remote: []ipfs.Getter{blocks}, Limits: quick})
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	s.both(p.blob()).expect(t, http.StatusForbidden, codeDenied)
	blocks.CopyTo(own)
	s.both(p.blob()).expect(t, http.StatusOK, "")
}

// A root that nobody has is not asked for again and again.
func TestUnknownRootIsRememberedBriefly(t *testing.T) {
	gw := newGateway("http://gateway", testlayout.NewBlocks(), well)
	p := publish(t, testlayout.NewBlocks(), 10)
	s := start(t, Config{Local: testlayout.NewBlocks(), Gateways: []Gateway{gw}, Limits: quick})
	for range 20 {
		s.get(p.manifest()).expect(t, http.StatusNotFound, codeNameUnknown)
	}
	if n := gw.read.Load(); n > 2 {
		t.Errorf("the gateway was asked %d times", n)
	}
}

// The message for a manifest missing from a partial store names the source.
func TestMissingBlock(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 3<<20)
	s := start(t, Config{Local: blocks, Limits: quick})
	s.get(p.manifest()).expect(t, http.StatusOK, "")
	l, err := s.s.roots.open(t.Context(), p.root)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Locate(t.Context(), p.layer)
	if err != nil {
		t.Fatal(err)
	}
	blocks.Drop(b.CID)
	s.both(p.blob()).expect(t, http.StatusNotFound, codeBlobUnknown, "missing")
}

// A block that is lost in mid-blob must cut the transfer, never end it as if
// it were whole.
func TestCutTransfer(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 3<<20)
	leaf, err := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum(p.data[1<<20 : 2<<20])
	if err != nil {
		t.Fatal(err)
	}
	blocks.Drop(leaf)
	s := start(t, Config{Local: blocks, Limits: quick})
	resp, err := client.Get(s.url + p.blob())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := new(bytes.Buffer).ReadFrom(resp.Body)
	if err == nil || n > 1<<20 {
		t.Errorf("read %d bytes, %v", n, err)
	}
	// At the wanted offset it is an error before the answer begins.
	s.both(p.blob(), fmt.Sprintf("Range: bytes=%d-", 1<<20)).expect(t, http.StatusNotFound, codeBlobUnknown)
}
