package server

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// A browser is told of errors by a document that leads on, whoever else by a line.
func TestPageErrors(t *testing.T) {
	const html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	s, _ := startPage(t, func(c *Config) { c.Dir = t.TempDir() })
	if got := s.get("/", html).expect(t, http.StatusServiceUnavailable, ""); got.Header.Get("Retry-After") == "" || !bytes.Contains(got.body, []byte("the store is gone")) || bytes.Contains(got.body, []byte(s.s.cfg.Dir)) {
		t.Errorf("without a store: %v, %s", got.Header, got.body)
	}
	s, _ = startPage(t, nil)
	for _, path := range []string{"/?root=%3Cscript%3Ealert(1)", "/?view=%3Cscript%3Ealert(1)"} {
		got := s.get(path, html).expect(t, http.StatusNotFound, "")
		if !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") || got.Header.Get("Content-Security-Policy") == "" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, got.Header)
		}
		if !bytes.Contains(got.body, []byte(`<a href="/">All images</a>`)) || !bytes.Contains(got.body, []byte("<h1>Not Found</h1>")) || bytes.Contains(got.body, []byte("<script>alert")) {
			t.Errorf("%s: %s", path, got.body)
		}
		s.both(path, html)
		if line := s.get(path); !strings.HasPrefix(line.Header.Get("Content-Type"), "text/plain") || bytes.Contains(line.body, []byte("<h1>")) {
			t.Errorf("%s without Accept: %v, %s", path, line.Header, line.body)
		}
	}
	if got := s.get("/", html, "X-Forwarded-For: 192.0.2.7").expect(t, http.StatusForbidden, ""); !bytes.Contains(got.body, []byte("<h1>Forbidden</h1>")) || bytes.Contains(got.body, []byte("image2ipfs test")) {
		t.Errorf("from elsewhere: %s", got.body)
	}
	if got := s.get("/nothing", html).expect(t, http.StatusNotFound, ""); !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("elsewhere than at /: %v", got.Header)
	}
}

// Addresses of peers are for this machine alone, and where not all is served neither peers
// nor traffic are shown.
func TestWhoSeesPeers(t *testing.T) {
	s, roots := startPage(t, func(c *Config) { c.Catalog, c.Open = true, true })
	for _, path := range []string{"/?view=peers", "/?view=where&root=" + ref.Ciq(roots[0].CID)} {
		for _, far := range []bool{false, true} {
			var header []string
			if far {
				header = []string{"X-Forwarded-For: 192.0.2.7"}
			}
			got := s.get(path, header...).expect(t, http.StatusOK, "")
			addr := map[string]string{"/?view=peers": "/ip4/192.0.2.1/tcp/4001"}[path]
			if addr == "" {
				addr = "<code>&#34;\\&#34;&gt;&lt;script"
			}
			if bytes.Contains(got.body, []byte(addr)) == far {
				t.Errorf("%s, from elsewhere %t: the address is there %t", path, far, !far)
			}
		}
	}
	limited, roots := startPage(t, func(c *Config) { c.Allow = AnyOf(allowFunc(func(cid.Cid) bool { return true })) })
	for _, path := range []string{"/?view=peers", "/?view=traffic"} {
		limited.get(path).expect(t, http.StatusNotFound, "")
		s.get(path).expect(t, http.StatusOK, "")
		if got := limited.get("/"); bytes.Contains(got.body, []byte(strings.TrimPrefix(path, "/?"))) {
			t.Errorf("%s is linked", path)
		}
	}
	limited.get("/?root="+ref.Ciq(roots[0].CID)).expect(t, http.StatusOK, "")
}

// The log tells what somebody looked at, and nothing else of what a query has.
func TestPageLog(t *testing.T) {
	log := &lockedBuffer{}
	s, roots := startPage(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	root := ref.Ciq(roots[0].CID)
	s.get("/?view=traffic&secret=1")
	s.get("/?root=" + root + "&view=where")
	waitUntil(t, func() bool {
		text := log.String()
		return strings.Contains(text, `query="view=traffic"`) && strings.Contains(text, `query="root=`+root+`&view=where"`)
	})
	if strings.Contains(log.String(), "secret") {
		t.Error(log.String())
	}
}

// A thousand images are listed page by page, each once, and read once.
func TestPageOfAThousandImages(t *testing.T) {
	s, _ := startPage(t, func(c *Config) {
		kept, err := c.Kept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := make([]ipfs.Root, 0, 1000)
		for len(all) < 1000 {
			all = append(all, ipfs.Root{CID: kept[len(all)%2].CID, Names: []string{"app:" + strings.Repeat("i", len(all)%50) + string(rune('a'+len(all)/50))}})
		}
		c.Kept = func(context.Context) ([]ipfs.Root, error) { return all, nil }
	})
	rows := 0
	for _, path := range []string{"/", "/?page=2", "/?page=10", "/?page=20"} {
		got := s.get(path).expect(t, http.StatusOK, "")
		rows += bytes.Count(got.body, []byte("<tr><th scope=\"row\">"))
		if len(got.body) > 200<<10 || !bytes.Contains(got.body, []byte("1000 of 1000 images")) {
			t.Errorf("%s: %d bytes", path, len(got.body))
		}
	}
	if rows != 4*50 {
		t.Errorf("%d rows on four pages", rows)
	}
}
