package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/internal/budget"
	trustless "github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// A gateway that has said yes and then died is noticed while it is in use, and
// what is local is streamed.
func TestDeadGatewayIsNoticed(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	gw := newGateway("http://gateway:8080", blocks, well)
	limits := patient()
	limits.Found = 20 * time.Millisecond
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: limits})
	s.get(p.blob()).expect(t, http.StatusTemporaryRedirect, "")
	gw.mood.Store(dead)
	waitUntil(t, func() bool { return s.get(p.blob()).StatusCode == http.StatusOK })
	waitUntil(t, func() bool { return !s.s.redirects.asking() }) // of the root and of the blob, each by itself
	asked := gw.asked.Load()
	for range 5 {
		s.get(p.blob()).expect(t, http.StatusOK, "")
	}
	if n := gw.asked.Load(); n != asked {
		t.Errorf("the dead gateway was asked %d times more", n-asked)
	}
}

// A yes for one image is not acted upon when the gateway has since failed for
// another, even after the time to try it again has come.
func TestDoubtfulGateway(t *testing.T) {
	blocks := testlayout.NewBlocks()
	one, two := publish(t, blocks, 2<<20), publish(t, blocks, 1000)
	gw := newGateway("http://gateway:8080", blocks, well)
	limits := patient()
	limits.Retry = time.Nanosecond
	s := start(t, Config{Local: blocks, Gateways: []Gateway{gw}, Limits: limits})
	s.get(one.blob()).expect(t, http.StatusTemporaryRedirect, "")
	gw.mood.Store(dead)
	s.get(two.blob()).expect(t, http.StatusOK, "")
	s.get(one.blob()).expect(t, http.StatusOK, "")
	gw.mood.Store(well)
	waitUntil(t, func() bool { return s.get(one.blob()).StatusCode == http.StatusTemporaryRedirect })
}

// A gateway that is started again gets clients as soon as Limits.Retry says,
// however often it failed before.
func TestRestartedGateway(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	synctest.Test(t, func(t *testing.T) {
		gw := newGateway("http://gateway:8080", blocks, dead)
		life := newLifetime(slog.New(slog.DiscardHandler))
		defer life.end()
		cfg := Config{Gateways: []Gateway{gw}, Logger: slog.New(slog.DiscardHandler)}
		cfg.Limits.setDefaults()
		cfg.Memory = budget.New(0)
		f := newForeign(cfg, life)
		defer f.Close()
		r := newRedirects(life, f, cfg)
		for range 5 {
			if r.probe(t.Context(), question{p.root, 1}, nil) != nil {
				t.Error("a dead gateway is taken")
			}
			time.Sleep(time.Minute)
		}
		r.probe(t.Context(), question{p.root, 1}, nil)
		gw.mood.Store(well)
		time.Sleep(cfg.Limits.Retry)
		if f.gateways[0].Up() || r.probe(t.Context(), question{p.root, 1}, nil) == nil || !f.gateways[0].Up() {
			t.Error("a gateway that is well again is not asked")
		}
	})
}

// A gateway that cannot find one image has the others.
func TestGatewayLacksOneImage(t *testing.T) {
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 2<<20)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("by path"))
			return
		}
		c, err := cid.Decode(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
		if err != nil {
			t.Error(err)
		}
		data, err := blocks.Get(r.Context(), c)
		if err != nil {
			http.Error(w, "no providers found", http.StatusGatewayTimeout)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.ipld.raw")
		w.Write(data)
	}))
	defer web.Close()
	g, err := trustless.New(web.URL, trustless.Options{})
	if err != nil {
		t.Fatal(err)
	}
	limits := patient()
	limits.Retry, limits.Found = time.Hour, time.Hour
	s := start(t, Config{Gateways: []Gateway{g}, Limits: limits})
	s.get(p.blob()).expect(t, http.StatusTemporaryRedirect, "")
	unknown := publish(t, testlayout.NewBlocks(), 1000)
	s.get(unknown.manifest()).expect(t, http.StatusServiceUnavailable, codeUnavailable)
	s.get(p.blob()).expect(t, http.StatusTemporaryRedirect, "")
}

// A server whose disk is gone is not well; clients do not learn where it was.
func TestHealth(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "version"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := testlayout.NewBlocks()
	p := publish(t, blocks, 1000)
	s := start(t, Config{Local: blocks, Dir: dir})
	s.both("/healthz").expect(t, http.StatusOK, "")
	s.both(p.manifest()).expect(t, http.StatusOK, "")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/healthz", p.manifest(), p.blob(), "/ipfs/" + p.root.String() + "/index.json"} {
		got := s.both(path).expect(t, http.StatusServiceUnavailable, "")
		if strings.Contains(string(got.body), dir) {
			t.Errorf("%s: the path is told: %s", path, got.body)
		}
	}
}

// Clients get one line that says what is missing, not where this server keeps
// its files.
func TestClientText(t *testing.T) {
	const dir = "/var/lib/i"
	const block = "block bafybeibr3zcabjbrvsmemxewadyt5kaip2ewxvzcpi7gmf2itkoasxbywe"
	for message, want := range map[string]string{
		"no image: " + block + " in embedded store " + dir + ": not found\nnot found: " + block + " in the cache\n" + block + ": no peer": "no image: " + block + " in embedded store: not found; not found: in the cache; no peer",
		"open /var/lib/i/packs/00.car: no such file":                                                                           "open packs/00.car: no such file",
		"stat /var/lib/i: no such file":                                                                                        "stat: no such file",
		"unavailable: http://gw: dial tcp: lookup gw.test on 10.11.12.13:53: no such host":                                     "unavailable: http://gw: dial tcp: lookup gw.test: no such host",
		"lookup gw.test on [fd00::1]:53: read udp [fd00::2]:4711->[fd00::1]:53: i/o timeout":                                   "lookup gw.test: read udp: i/o timeout",
		"http://gw: dial tcp 10.0.0.7:8080: connect: connection refused; read tcp4 10.0.0.1:99->10.0.0.7:80: connection reset": "http://gw: dial tcp: connect: connection refused; read tcp4: connection reset",
		"plain": "plain",
	} {
		if got := clientText(message, dir); got != want {
			t.Errorf("%q\nbecame %q\nwant   %q", message, got, want)
		}
	}
}
