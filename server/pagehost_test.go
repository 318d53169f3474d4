package server

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/image2ipfs/image2ipfs/ipfs"
	"github.com/image2ipfs/image2ipfs/ref"
)

// Lines that pull go without TLS only where it is known that there is none.
func TestPageLinesByTLS(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, row := range []struct {
		registry string
		proxies  []netip.Prefix
		header   string
		insecure bool
	}{
		{"", nil, "", true},
		{"", nil, "X-Forwarded-Proto: https", true}, // anybody may say so
		{"", loopback, "X-Forwarded-Proto: https", false},
		{"", loopback, "Forwarded: proto=https", false},
		{"", loopback, "X-Forwarded-Proto: http", true},
		{"registry.example", nil, "", false},
		{"registry.example:5000", nil, "", false},
		{"localhost:5000", nil, "", true},
		{"127.0.0.1:5000", nil, "", true},
		{"[::1]:5000", nil, "", true},
	} {
		s, roots := startPage(t, func(c *Config) { c.Registry, c.Proxies, c.Catalog = row.registry, row.proxies, true })
		var header []string
		if row.header != "" {
			header = []string{row.header}
		}
		got := s.get("/?root="+ref.Ciq(roots[0].CID), header...).expect(t, http.StatusOK, "")
		for _, option := range []string{"--tls-verify=false", "--plain-http", "--insecure-registry", "--src-tls-verify=false"} {
			if bytes.Contains(got.body, []byte(option)) != row.insecure {
				t.Errorf("registry %q, proxies %v, %q: %s is there: %t, want %t", row.registry, row.proxies, row.header, option, !row.insecure, row.insecure)
			}
		}
	}
}

// lateStore is a store whose disk does not answer in time, but for the roots.
type lateStore struct {
	ipfs.Getter
	roots map[cid.Cid]bool
}

func (l lateStore) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if !l.roots[c] {
		return nil, context.DeadlineExceeded
	}
	return l.Getter.Get(ctx, c)
}

// A server that is busy says that, and when to ask again; nothing is wrong with the image.
func TestPageOfABusyServer(t *testing.T) {
	late := lateStore{roots: map[cid.Cid]bool{}}
	s, roots := startPage(t, func(c *Config) {
		late.Getter = c.Local
		kept, err := c.Kept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, root := range kept {
			late.roots[root.CID] = true
		}
		c.Local = late
	})
	got := s.get("/?root="+ref.Ciq(roots[0].CID)).expect(t, http.StatusServiceUnavailable, "")
	if got.Header.Get("Retry-After") == "" || bytes.Contains(got.body, []byte("cannot be read as a whole")) {
		t.Errorf("%v: %s", got.Header, got.body)
	}
	if got := s.get("/").expect(t, http.StatusOK, ""); !bytes.Contains(got.body, []byte("not read yet")) {
		t.Errorf("the overview of a busy server: %s", got.body)
	}
}
