package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	gatewayclient "github.com/image2ipfs/image2ipfs/ipfs/gateway"
	"github.com/image2ipfs/image2ipfs/test/testlayout"
)

// Whatever a client writes into a request, and wherever a gateway redirects,
// the server talks to the gateways it was given and to nobody else: the trap
// stands for what only this machine can reach.
func TestNoRequestLeavesTheConfiguredHosts(t *testing.T) {
	var trapped atomic.Value
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { trapped.Store(r.URL.String()) }))
	t.Cleanup(trap.Close)
	var asked atomic.Int32
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, trap.URL+r.URL.Path, http.StatusFound)
	}))
	t.Cleanup(redirecting.Close)
	gw, err := gatewayclient.New(redirecting.URL, gatewayclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, mine, _ := twoImages(t)
	s := start(t, Config{Local: testlayout.NewBlocks(), Gateways: []Gateway{gw}, Open: true})
	host := strings.TrimPrefix(trap.URL, "http://")
	escaped := url.PathEscape(trap.URL)
	paths := append(mine.paths(),
		"/v2/"+host+"/app/manifests/latest", "/v2/"+escaped+"/manifests/latest", "/v2/app/manifests/latest?ns="+host,
		"/v2/app/manifests/latest?ns="+escaped, name(mine.root)+"/app/manifests/latest?ns="+host, name(mine.root)+"/manifests/@"+host,
		"/ipfs/"+escaped, "/ipfs/"+host+"/x", "/ipns/"+host, "/ipns/"+host+"/index.json", "//"+host+"/v2/",
		"/ipfs/"+mine.root.String()+"?url="+escaped, "/v2/"+escaped, "/"+trap.URL,
	)
	for _, path := range paths {
		s.get(path, "Host: "+host, "X-Forwarded-Host: "+host, "Forwarded: host="+host, "X-Forwarded-For: "+host, "X-Ipfs-Gateway: "+trap.URL, "Referer: "+trap.URL)
		r, err := http.NewRequest(http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		// In absolute form, as proxies are asked.
		r.URL.Opaque = trap.URL + path
		r.URL.Host = strings.TrimPrefix(s.url, "http://")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if to := resp.Header.Get("Location"); strings.Contains(to, host) {
			t.Errorf("%s: redirects the client to %s", path, to)
		}
	}
	if asked.Load() == 0 {
		t.Error("the gateway was not asked: the test proves nothing")
	}
	if where := trapped.Load(); where != nil {
		t.Errorf("a host that is not configured was asked for %s", where)
	}
}
